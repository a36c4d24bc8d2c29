"""The pictures of reports in docs/, made anew from the reports of the commands that docs/evaluation.md shows.

python -m benchmarks.report_pictures --bags evaluation/bags/report.html --simulated evaluation/simulated/report.html
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from act_inference_ros.errors import ActInferenceError, ConfigurationError
from benchmarks.program import run
from test.evaluation.browser import CHROMIUM, chromium_command

DOCS = Path(__file__).resolve().parents[1] / "docs"
DESK, PHONE = 1280, 390
"""Widths in pixels."""
HEIGHTS = {DESK: 1900, PHONE: 1560}
WINDOW = 1400
"""A headless window does not get as narrow as a phone: the report is shown in a frame."""
DEADLINE_S = 120.0
_FRAME = """<!doctype html><meta charset="utf-8"><body style="margin:0">
<iframe style="border:0;width:{width}px;height:{height}px" src="{address}"></iframe>"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bags", type=Path, metavar="HTML", help="a report of bags: two pictures")
    parser.add_argument("--simulated", type=Path, metavar="HTML", help="a report of simulated episodes: one picture")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where the pictures go (default: docs/)")
    options = parser.parse_args()
    wanted = (
        (options.bags, DESK, "evaluation_report.png"),
        (options.bags, PHONE, "evaluation_report_phone.png"),
        (options.simulated, DESK, "evaluation_simulated.png"),
    )
    if CHROMIUM is None:
        raise ConfigurationError("pictures of reports are taken by Chromium, which is not installed")
    for report, width, name in wanted:
        if report is not None:
            take(report, width, options.docs / name)
            print(f"written to {options.docs / name}")
    return 0


def take(report: Path, width: int, picture: Path) -> None:
    """Open a report from disk in a page `width` pixels wide, and write what is seen of it as a PNG.

    Raises ConfigurationError if there is no such report, ActInferenceError if the browser takes no picture.
    """
    if not report.is_file():
        raise ConfigurationError(f"{report}: no such report; docs/evaluation.md says how it is made")
    height = HEIGHTS[width]
    with TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        frame, whole = Path(directory) / "frame.html", Path(directory) / "whole.png"
        frame.write_text(_FRAME.format(width=width, height=height, address=report.resolve().as_uri()))
        options = (f"--screenshot={whole}", f"--window-size={WINDOW},{height}", "--virtual-time-budget=20000")
        command = chromium_command(Path(directory) / "profile", frame.as_uri(), *options)
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        if not whole.is_file():
            raise ActInferenceError(f"Chromium took no picture of {report}:\n{done.stderr[-2000:]}")
        with Image.open(whole) as image:
            image.convert("RGB").crop((0, 0, width, height)).save(picture, optimize=True)


if __name__ == "__main__":
    sys.exit(run(main))
