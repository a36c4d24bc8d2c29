"""Shows a dump of the node's black box on the terminal: inputs, status and commands at that moment."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from act_inference_ros.evaluation.bags.black_box import LONGEST_TEXT, DumpContent, Said, one_line
from act_inference_ros.evaluation.report.summary import NOTHING
from act_inference_ros.evaluation.report.table import make_console, make_table, plain

LAST = 12
"""How many inferences are shown."""


def print_dump(content: DumpContent) -> None:
    """Print it. Raises MissingDependencyError without rich."""
    console = make_console()
    for table in (_about(content), _states(content), _inferences(content), _joints(content), _traffic(content)):
        console.print(table)
    for problem in content.problems:
        console.print(f"[yellow]{_shown(problem, longest=4096)}[/yellow]")


def _about(content: DumpContent) -> Any:
    about = content.about
    table = make_table(f"black box {one_line(content.path.name)}: recorded then, nothing was inferred again", "", "")
    table.columns[1].justify = "left"
    facts, left_out = about.get("facts"), about.get("not_written")
    rows = {
        "reason": about.get("reason"),
        "detail": about.get("detail"),
        "when": about.get("utc"),
        "node": about.get("node"),
        "policy_id": about.get("policy_id") or "unknown",
        "version": about.get("version") or "unknown",
        "computed with": ", ".join(f"{k}: {v}" for k, v in facts.items()) if isinstance(facts, dict) else "",
        "recorded": f"{content.span_s:.1f} s, {sum(each.count for each in content.traffic.values())} messages",
        "lost": f"{about.get('dropped', 0)} messages, because too many came at once",
        "not written": ", ".join(map(str, left_out)) if isinstance(left_out, list) else left_out,
    }
    for name, value in rows.items():
        if value:
            table.add_row(name, _shown(value))
    return table


def _shown(told: object, longest: int = LONGEST_TEXT) -> str:
    """Return something out of a dump so that it is shown as it is, and as nothing else."""
    return plain(one_line(told, longest))


def _states(content: DumpContent) -> Any:
    table = make_table("what it said (s after that moment)", "at", "state", "reason", "detail")
    for column in table.columns[1:]:
        column.justify = "left"
    for said in _changes(content.statuses):
        row = (said.text, said.values.get("reason", ""), said.values.get("detail", ""))
        table.add_row(f"{said.at:+.2f}", *map(plain, row))
    return table


def _changes(statuses: list[Said]) -> Iterator[Said]:
    """The first status, and each that differs from the one before in state or reason."""
    before: tuple[str, str] | None = None
    for said in statuses:
        what = said.text, said.values.get("reason", "")
        if what != before:
            yield said
        before = what


def _inferences(content: DumpContent) -> Any:
    count = sum(said.text == "begun" for said in content.inferences)
    title = f"inferences: {count} begun; the last {LAST} lines"
    table = make_table(title, "at", "what", "observation", "computed in", "error")
    for column in (table.columns[1], table.columns[4]):
        column.justify = "left"
    for said in content.inferences[-LAST:]:
        observed, took = (_number(said.values.get(name, "")) for name in ("t_obs", "inference_s"))
        table.add_row(
            f"{said.at:+.3f}",
            plain(said.text),
            NOTHING if observed is None else f"{observed - content.moment_s:+.3f}",
            NOTHING if took is None else f"{took:.3f} s",
            plain(said.values.get("error", "")),
        )
    return table


def _number(text: str) -> float | None:
    """Return the number that a text states, or None if it states none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _joints(content: DumpContent) -> Any:
    title = "the joints at that moment, rad or m; chunk: first row, policy's units"
    named = {"measured": content.measured, "told last": content.told, "chunk": content.wanted}
    if content.reference:  # published by the controllers themselves
        named |= {"controller's reference": content.reference, "its feedback": content.feedback}
    table = make_table(title, "joint", *named)
    columns = tuple(named.values())
    for joint in dict.fromkeys(name for column in columns for name in column):
        values = [f"{column[joint]:.4f}" if joint in column else NOTHING for column in columns]
        table.add_row(plain(joint), *values)
    return table


def _traffic(content: DumpContent) -> Any:
    table = make_table("messages", "topic", "count", "per s", "longest gap", "last at")
    for topic, traffic in sorted(content.traffic.items()):
        gap = f"{traffic.longest_gap:.3f} s" if traffic.count > 1 else NOTHING
        last = f"{traffic.last:+.2f}" if traffic.count else NOTHING
        table.add_row(_shown(topic), str(traffic.count), f"{traffic.rate:.1f}", gap, last)
    return table
