"""The fault matrix as a table of Markdown, in docs/reliability.md between two marks."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from test.ros.ros_helpers import PROJECT
from test.witness.cells import WAYS

if TYPE_CHECKING:
    from test.witness.matrix import Result

PAGE = PROJECT / "docs" / "reliability.md"
BEGIN, END = "<!-- fault matrix: begin -->", "<!-- fault matrix: end -->"
NO_SENSE = {
    ("environment state", "stuck"): "a", ("environment state", "delayed"): "a",
    ("enabling topic", "stuck"): "b", ("enabling topic", "garbage"): "c", ("enabling topic", "delayed"): "a",
    ("inference process", "delayed"): "d",
    ("controller", "garbage"): "e", ("controller", "slow"): "f", ("controller", "delayed"): "f",
    ("controller", "intermittent"): "f",
    ("operator's services", "garbage"): "c", ("operator's services", "slow"): "g",
    ("operator's services", "delayed"): "g",
    ("parameters", "off"): "g", ("parameters", "stuck"): "g", ("parameters", "garbage"): "c",
    ("parameters", "slow"): "g", ("parameters", "delayed"): "g",
    ("lifecycle", "stuck"): "g", ("lifecycle", "garbage"): "c", ("lifecycle", "slow"): "g",
    ("lifecycle", "delayed"): "g",
    ("robot description", "off"): "h", ("robot description", "stuck"): "h", ("robot description", "wrong"): "h",
    ("robot description", "slow"): "h", ("robot description", "delayed"): "h",
    ("robot description", "intermittent"): "h",
    ("node", "off"): "i", ("node", "garbage"): "j", ("node", "wrong"): "j", ("node", "slow"): "j",
    ("node", "delayed"): "j", ("node", "intermittent"): "j",
    ("clock", "garbage"): "k", ("clock", "wrong"): "k", ("clock", "slow"): "l", ("clock", "delayed"): "l",
    ("server", "delayed"): "d",
}  # fmt: skip
NOTES = {
    "a": "Its messages have no stamp, so a repeated or late one cannot be told from a new one.",
    "b": "A word that is repeated is what it has to be.",
    "c": "Its messages have no content that could be garbage; what has the wrong type does not arrive.",
    "d": "The same as slow: one chunk after the other is computed.",
    "e": "A controller publishes nothing that the stage's node reads; what it says of itself is in "
    "`test/ros/test_controller_states.py`.",
    "f": "An arm that follows late: `following_lag`, in `test/execution/test_listening_and_following.py`.",
    "g": "A request that does not come, or comes late, is no other than one that comes then.",
    "h": "It is read at configure only.",
    "i": "A dead node does not come back by itself; `test/ros/test_policy_node_supervision.py` kills it.",
    "j": "These are what all other rows are about.",
    "k": "The witness judges by the wall's clock. One that jumps is tried with a clock that is moved by hand, in "
    "`test/execution/test_clock_jumps.py` and `test/execution/test_properties.py`.",
    "l": "A robot on simulated time has one clock for all: nobody on it can see that it is slow or late.",
}


def table(results: Sequence[Result]) -> str:
    """The table and what it needs to be read."""
    whats = list(dict.fromkeys(result.cell.what for result in results))
    lines = [f"| what fails | {' | '.join(WAYS)} |", "| --- |" + " --- |" * len(WAYS)]
    lines += [f"| {what} | {' | '.join(_cell(results, what, way) for way in WAYS)} |" for what in whats]
    used = {NO_SENSE.get((what, way)) for what in whats for way in WAYS}
    notes = [f"* {letter}: {text}" for letter, text in NOTES.items() if letter in used]
    counts = Counter((result.mode, result.interface) for result in results)
    interfaces = ", ".join(f"{mode} mode `{name}` {count}" for (mode, name), count in counts.items())
    unsafe = [result for result in results if result.unsafe]
    rests = [result.rest_s for result in results if result.rest_s is not None]
    backs = [result.back_s for result in results if result.back_s is not None]
    granted = [result.allowance_s for result in results]
    summary = (
        f"{len(results)} cells ({interfaces}): {len(unsafe)} broke a rule of safety, "
        f"{sum(bool(result.breaches) for result in results) - len(unsafe)} only one of what a person sees or waits "
        f"for. At rest after {_quantiles(rests)} s, going on after {_quantiles(backs)} s (p50 / p95). Granted to the "
        f"machine: {_quantiles(granted)} s. Load {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores."
    )
    return "\n".join([summary, "", *lines, "", *notes])


def _cell(results: Sequence[Result], what: str, way: str) -> str:
    found = [result for result in results if result.cell.what == what and result.cell.way.split(" ")[0] == way]
    if not found:
        return NO_SENSE.get((what, way), "not tried")
    rests = [result.rest_s for result in found if result.rest_s is not None]
    backs = [result.back_s for result in found if result.back_s is not None]
    times = f"{max(rests):.2f} / " if rests else "- / "
    times += f"{max(backs):.2f}" if backs else "-"
    rules = sorted({breach.rule for result in found for breach in result.breaches})
    return times + (f" **{', '.join(rules)}**" if rules else "")


def _quantiles(values: Sequence[float]) -> str:
    return " / ".join(f"{np.quantile(values, q):.2f}" for q in (0.5, 0.95)) if values else "-"


def write(results: Sequence[Result], page: Path = PAGE) -> None:
    """Put the table between the page's marks. Raises ValueError for a page without them."""
    text = page.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    if BEGIN not in text or END not in text:
        raise ValueError(f"{page}: no line {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n{table(results)}\n{END}{after}")
