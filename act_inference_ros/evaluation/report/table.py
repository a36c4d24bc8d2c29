"""The result on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from act_inference_ros.errors import MissingDependencyError
from act_inference_ros.evaluation.report.summary import (
    ERROR_COLUMNS,
    LIMIT_COLUMNS,
    NOTHING,
    SMOOTHNESS_COLUMNS,
    Number,
    all_smoothness,
    error_figures,
    figure,
    limit_shares,
    of_episodes,
    rows,
    smoothness_figures,
)
from act_inference_ros.evaluation.results import COMPLETE, Metrics
from act_inference_ros.evaluation.runs import Run

_WIDTH_IN_LOGS = 110


def print_tables(runs: Sequence[Run]) -> None:
    """Print the summary of the runs side by side, the joints' errors and smoothness, what was refused and found.

    Raises MissingDependencyError without rich.
    """
    console = make_console()
    console.print(_summary(runs))
    for run in runs:
        total = run.result.total
        if total is not None and total.chunk_error:
            console.print(_joints(run, total, titled=len(runs) > 1))
        if all_smoothness(run.result):
            console.print(_smoothness(run, titled=len(runs) > 1))
        if total is not None and (refused := _refused(run, total, titled=len(runs) > 1)).row_count:
            console.print(refused)
        for finding in total.findings if total is not None else ():
            console.print(f"[yellow]{_of(run, runs)}{plain(finding.text)}[/yellow]")
        for note in of_episodes([(e.name, e.notes) for e in run.result.episodes]):
            console.print(f"{_of(run, runs)}note: {plain(note)}")
        reasons = [*run.result.reasons, *of_episodes([(e.name, e.reasons) for e in run.result.episodes])]
        if run.result.status != COMPLETE:
            console.print(f"[bold red]{_of(run, runs)}{plain(run.result.status)}[/bold red]:")
            for reason in reasons:
                console.print(f"  {plain(reason)}")


def make_console() -> Any:
    """A rich console on stdout. Raises MissingDependencyError without rich."""
    try:
        from rich.console import Console
    except ModuleNotFoundError as error:
        raise MissingDependencyError("eval_policy needs rich: pip install rich") from error
    console = Console(highlight=False, soft_wrap=False)
    # A log file has no terminal width.
    return console if console.is_terminal else Console(highlight=False, width=_WIDTH_IN_LOGS)


def make_table(title: str | None, *columns: str) -> Any:
    """An empty table; the first column is on the left, the others on the right. Title and columns are plain text."""
    from rich import box
    from rich.table import Table

    table = Table(
        title=None if title is None else plain(title), box=box.SIMPLE_HEAD, title_justify="left", title_style="bold"
    )
    for i, column in enumerate(columns):
        table.add_column(plain(column), justify="left" if i == 0 else "right", no_wrap=i == 0)
    return table


def _summary(runs: Sequence[Run]) -> Any:
    several = len(runs) > 1
    table = make_table(None, "", *(run.label for run in runs), *([] if several else ["of"]))
    for name, found in rows([run.result for run in runs]):
        hints = [] if several or found[0] is None else [plain(found[0].hint)]
        table.add_row(name, *(_value(number) for number in found), *hints)
    if not several:
        table.columns[-1].justify = "left"
    return table


def _value(number: Number | None) -> str:
    return NOTHING if number is None else plain(f"{number.value} {number.unit}".strip())


def _joints(run: Run, total: Metrics, titled: bool) -> Any:
    name = f"{run.label}: error" if titled else "error"
    table = make_table(f"{name} per joint, rad or m", "joint", *ERROR_COLUMNS, "executed", *LIMIT_COLUMNS)
    merged = total.by_merge.get(run.result.settings.merge)
    for joint in total.chunk_error:
        executed = merged.executed.get(joint) if merged else None
        table.add_row(
            plain(joint),
            *error_figures(total, joint),
            figure(executed.mae_ros_units) if executed else NOTHING,
            *limit_shares(merged.limits.get(joint) if merged else None),
        )
    return table


def _smoothness(run: Run, titled: bool) -> Any:
    name = f"{run.label}: smoothness" if titled else "smoothness"
    title = f"{name} per joint, rad or m, and s; executed: {run.result.settings.merge}"
    table = make_table(title, "joint", "motion", *SMOOTHNESS_COLUMNS)
    table.columns[1].justify, table.columns[1].no_wrap = "left", True
    for what, joints in all_smoothness(run.result).items():
        for joint, figures in joints.items():
            table.add_row(plain(joint), plain(what), *smoothness_figures(figures))
    return table


def _refused(run: Run, total: Metrics, titled: bool) -> Any:
    name = f"{run.label}: not used" if titled else "not used"
    table = make_table(name, "what", "times", "the first")
    table.columns[-1].justify = "left"
    reasons = tuple(reason for episode in run.result.episodes for reason in episode.reasons)
    for label, count in total.refused.items():
        if any(reason.startswith(f"{label} (") for reason in reasons):
            continue  # it is printed below as a reason, episode by episode
        table.add_row(plain(label), str(count), plain(total.refused_examples.get(label, "")))
    for label, count in total.failed_inferences.items():
        table.add_row(f"inference failed: {plain(label)}", str(count), "")
    for label, count in total.holds.items():
        table.add_row(f"the arm would have held: {plain(label)}", str(count), "")
    return table


def _of(run: Run, runs: Sequence[Run]) -> str:
    return f"{plain(run.label)}: " if len(runs) > 1 else ""


def plain(text: str) -> str:
    """Escape text so that rich does not read it as markup."""
    from rich.markup import escape

    return escape(text)
