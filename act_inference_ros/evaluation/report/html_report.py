"""report.html: one complete file that opens from disk without a network, on desktops and phones."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from act_inference_ros.errors import ConfigurationError, MissingDependencyError
from act_inference_ros.evaluation.report import report_sections as sections
from act_inference_ros.evaluation.report.joint_section import joints
from act_inference_ros.evaluation.report.report_data import EPISODES_SHOWN, plot_data
from act_inference_ros.evaluation.report.smoothness_section import smoothness
from act_inference_ros.evaluation.runs import Run

MOST_BYTES = 14_000_000
"""Largest size of a report, since people send reports by mail and open them on phones."""

_PAGE = "act_inference_ros.evaluation.report"


def write_report(path: Path, runs: Sequence[Run]) -> None:
    """Write the report of one run, or of two side by side.

    Raises ConfigurationError if `path` cannot be written, MissingDependencyError without plotly.
    """
    content = render(runs)
    try:
        path.write_text(content, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error}") from error


def render(runs: Sequence[Run]) -> str:
    """Return the page. If it would get too large, fewer episodes are plotted."""
    page = _render(runs, EPISODES_SHOWN)
    for fewer in (2, 1, 0):
        if len(page.encode("utf-8", "backslashreplace")) <= MOST_BYTES:
            break
        page = _render(runs, fewer)
    return page


def stylesheet() -> str:
    """How this package's pages look."""
    return _file("report.css")


def plotly_javascript() -> str:
    """plotly.js as it comes with plotly. Raises MissingDependencyError without it."""
    try:
        from plotly.offline import get_plotlyjs
    except ModuleNotFoundError as error:
        raise MissingDependencyError("the report needs plotly: pip install plotly") from error
    code: str = get_plotlyjs()
    return code


def _render(runs: Sequence[Run], episodes_shown: int) -> str:
    data = plot_data(runs, episodes_shown)
    simulated = any(run.episodes for run in runs)
    body = [
        sections.heading(runs),
        sections.cards(runs),
        sections.findings(runs),
        sections.comparison(runs),
        sections.simulation(runs, data) if simulated else sections.horizon(data),
        sections.motion(runs, data),
        smoothness(runs, data),
        joints(runs),
        sections.thumbnails(runs),
        sections.latency(data),
        sections.refused(runs),
        sections.episodes(runs),
        sections.settings(runs),
        "<footer>Made by eval_policy of act_inference_ros. Positions are in ROS units: rad or m.</footer>",
    ]
    parts = {
        "title": "Policy evaluation",
        "css": stylesheet(),
        "body": "\n".join(part for part in body if part),
        "plotly": plotly_javascript(),
        # "</script>" in a name must not end the element.
        "data": json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
        "js": _file("report.js"),
    }
    return re.sub("@(title|css|body|plotly|data|js)@", lambda match: parts[match[1]], _file("report.html"))


def _file(name: str) -> str:
    return (resources.files(_PAGE) / "page" / name).read_text(encoding="utf-8")
