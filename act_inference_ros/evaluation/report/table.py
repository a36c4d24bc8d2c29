"""The result on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from act_inference_ros.errors import MissingDependencyError
from act_inference_ros.evaluation.report.summary import (
    NOTHING,
    SMOOTHNESS_COLUMNS,
    Number,
    all_smoothness,
    figure,
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
        if total is not None and (total.refused or total.failed_inferences or total.holds):
            console.print(_refused(run, total, titled=len(runs) > 1))
        for finding in total.findings if total is not None else ():
            console.print(f"[yellow]{_of(run, runs)}{_plain(finding.text)}[/yellow]")
        reasons = [*run.result.reasons, *(f"{e.name}: {r}" for e in run.result.episodes for r in e.reasons)]
        if run.result.status != COMPLETE:
            console.print(f"[bold red]{_of(run, runs)}{run.result.status}[/bold red]: {_plain('; '.join(reasons))}")


def make_console() -> Any:
    """A rich console on stdout. Raises MissingDependencyError without rich."""
    try:
        from rich.console import Console
    except ModuleNotFoundError as error:
        raise MissingDependencyError("eval_policy needs rich: pip install rich") from error
    console = Console(highlight=False, soft_wrap=False)
    # In a log there is no terminal to be as wide as.
    return console if console.is_terminal else Console(highlight=False, width=_WIDTH_IN_LOGS)


def _table(title: str | None, *columns: str) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for i, column in enumerate(columns):
        table.add_column(_plain(column), justify="left" if i == 0 else "right", no_wrap=i == 0)
    return table


def _summary(runs: Sequence[Run]) -> Any:
    several = len(runs) > 1
    table = _table(None, "", *(run.label for run in runs), *([] if several else ["of"]))
    for name, found in rows([run.result for run in runs]):
        hints = [] if several or found[0] is None else [_plain(found[0].hint)]
        table.add_row(name, *(_value(number) for number in found), *hints)
    if not several:
        table.columns[-1].justify = "left"
    return table


def _value(number: Number | None) -> str:
    return NOTHING if number is None else _plain(f"{number.value} {number.unit}".strip())


def _joints(run: Run, total: Metrics, titled: bool) -> Any:
    name = f"{run.label}: error" if titled else "error"
    table = _table(f"{name} per joint, rad or m", "joint", "mean", "rms", "largest", "bias", "executed", "clamped")
    merged = total.by_merge.get(run.result.settings.merge)
    for joint, error in total.chunk_error.items():
        executed = merged.executed.get(joint) if merged else None
        clamps = merged.clamps.get(joint) if merged else None
        clamped = clamps.clamped_position + clamps.clamped_velocity if clamps else 0
        table.add_row(
            _plain(joint),
            figure(error.mae_ros_units),
            figure(error.rmse_ros_units),
            figure(error.max_ros_units),
            figure(error.bias_ros_units),
            figure(executed.mae_ros_units) if executed else NOTHING,
            f"{100 * clamped / clamps.targets:.1f} %" if clamps and clamps.targets else NOTHING,
        )
    return table


def _smoothness(run: Run, titled: bool) -> Any:
    name = f"{run.label}: smoothness" if titled else "smoothness"
    title = f"{name} per joint, rad or m, and s; executed: {run.result.settings.merge}"
    table = _table(_plain(title), "joint", "motion", *SMOOTHNESS_COLUMNS)
    table.columns[1].justify = "left"
    for what, joints in all_smoothness(run.result).items():
        for joint, figures in joints.items():
            table.add_row(_plain(joint), _plain(what), *smoothness_figures(figures))
    return table


def _refused(run: Run, total: Metrics, titled: bool) -> Any:
    name = f"{run.label}: not used" if titled else "not used"
    table = _table(name, "what", "times", "the first")
    table.columns[-1].justify = "left"
    for label, count in total.refused.items():
        table.add_row(_plain(label), str(count), _plain(total.refused_examples.get(label, "")))
    for label, count in total.failed_inferences.items():
        table.add_row(f"inference failed: {_plain(label)}", str(count), "")
    for label, count in total.holds.items():
        table.add_row(f"the arm would have held: {_plain(label)}", str(count), "")
    return table


def _of(run: Run, runs: Sequence[Run]) -> str:
    return f"{_plain(run.label)}: " if len(runs) > 1 else ""


def _plain(text: str) -> str:
    """Text that rich shall not take for markup."""
    from rich.markup import escape

    return escape(text)
