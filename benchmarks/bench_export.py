"""How long export_policy takes, from its start to its end, for ACT's standard size with random weights; and on what.

The program runs in a process of its own, as a user starts it. Its lines tell when each phase begins: start (Python and
its imports), loading the checkpoint, exporting to ONNX, comparing with local mode.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # so that it also runs as a script

from benchmarks.program import processor  # noqa: E402
from benchmarks.standard_act import write_checkpoint  # noqa: E402

TARGET_S = 10.0
PHASES = {"loading": "load", "exporting": "export", "comparing": "compare"}
"""First word of a line -> the phase that begins with it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="once")
    parser.add_argument("--repeat", type=int, default=None, help="exports (default 3, quick 1)")
    parser.add_argument("--cameras", type=int, default=1, help="of 640x480 pixels")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "export.json")
    arguments = parser.parse_args()
    runs = []
    with tempfile.TemporaryDirectory() as directory:
        checkpoint = Path(directory) / "checkpoint"
        checkpoint.mkdir()
        write_checkpoint(checkpoint, arguments.cameras)
        for index in range(arguments.repeat or (1 if arguments.quick else 3)):
            runs.append(measure(checkpoint, Path(directory) / f"repository{index}"))
            print("  ".join(f"{phase} {seconds:.1f} s" for phase, seconds in runs[-1].items()), flush=True)
    total_s = statistics.median(run["total"] for run in runs)
    print(f"export_policy: {total_s:.1f} s (target {TARGET_S:g} s)")
    results = {"cameras": arguments.cameras, "processor": processor(), "load": os.getloadavg()[0], "runs": runs}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(results, indent=1) + "\n")
    print(f"written to {arguments.output}")


def measure(checkpoint: Path, repository: Path) -> dict[str, Any]:
    """Seconds of each phase, all together, and of processor time."""
    arguments = ["--checkpoint", str(checkpoint), "--repository", str(repository)]
    command = [sys.executable, "-m", "act_inference_ros.serving.export", *arguments]
    used = _processor_s()
    began = since = time.monotonic()
    phase = "start"
    seconds: dict[str, Any] = {}
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            following = PHASES.get(line.partition(" ")[0])
            if following:
                seconds[phase], phase, since = time.monotonic() - since, following, time.monotonic()
    if process.returncode != 0:
        raise SystemExit(f"the export failed (exit status {process.returncode})")
    now = time.monotonic()
    return {**seconds, phase: now - since, "total": now - began, "processor": _processor_s() - used}


def _processor_s() -> float:
    times = os.times()
    return times.children_user + times.children_system


if __name__ == "__main__":
    main()
