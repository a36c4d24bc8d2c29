"""eval_policy: measures whether the policy does its task (episodes) and predicts the operator (bags, data sets)."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from act_inference_ros.errors import ActInferenceError, ConfigurationError
from act_inference_ros.evaluation.cli.arguments import check, make_parser
from act_inference_ros.evaluation.cli.black_boxes import dumps_in, show
from act_inference_ros.evaluation.cli.dataset_run import refuse_dataset, run_dataset
from act_inference_ros.evaluation.cli.runners import run_bags, run_episodes
from act_inference_ros.evaluation.cli.thresholds import failed, unmet
from act_inference_ros.evaluation.episodes import demo_policy
from act_inference_ros.evaluation.export.directory import make_directory
from act_inference_ros.evaluation.report.compare import chunk_difference, read_metrics
from act_inference_ros.evaluation.report.html_report import plotly_javascript, write_report
from act_inference_ros.evaluation.report.table import make_console, print_tables
from act_inference_ros.evaluation.results import PARTIAL
from act_inference_ros.evaluation.runs import Run
from act_inference_ros.program.exit_status import INTERRUPTED, MISTAKE, NOT_MET, OK
from act_inference_ros.program.signals import StopSignals
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.robot.parameter_file import read_configuration
from act_inference_ros.robot.topic_names import node_in
from act_inference_ros.simulation.success import success_line


def main(arguments: Sequence[str] | None = None) -> int:
    """Run eval_policy; returns the exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # the name of a bag may have bytes that are no text
    parser = make_parser()
    options = parser.parse_args(arguments)
    check(parser, options)
    signals = StopSignals(on_first=lambda: say("stopping; once more to leave at once"))
    try:
        with signals.interrupting(after=1):
            return evaluate(options, lambda: signals.given)
    except ActInferenceError as error:
        print(f"eval_policy: {error}", file=sys.stderr)
        return MISTAKE
    except KeyboardInterrupt:
        print("eval_policy: interrupted; nothing was written", file=sys.stderr)
        return INTERRUPTED


def evaluate(options: argparse.Namespace, stopped: Callable[[], bool]) -> int:
    """Evaluate, write, print, and return the exit status. Once `stopped` is true, it ends and keeps the results so far.

    Raises ActInferenceError if the evaluation is impossible.
    """
    if options.bag and (black_boxes := dumps_in(options)):
        show(black_boxes, options.out, say)
        return OK
    # Files and packages that are needed at the end are checked first, not after an hour of evaluation.
    plotly_javascript()
    make_console()
    other = read_metrics(options.compare) if options.compare else None
    refuse_dataset(options.bag or ())
    _make_directory(options.out)
    if options.mcap:
        make_directory(options.mcap)
    files = options.params or [demo_policy.parameter_file()]
    configuration = read_configuration(*files, node=node_in(options.namespace))
    runs: list[Run] = []
    for mode in options.mode or (configuration.mode or os.environ.get("INFERENCE_MODE") or "local",):
        if not stopped():
            runs.append(_run(mode, options, configuration, files, stopped))
    shown = [*runs, Run(_label(options.compare, runs[0]), other)] if other else runs
    written = [_write_metrics(options.out / run.label if len(runs) > 1 else options.out, run) for run in runs]
    write_report(options.out / "report.html", shown)
    print_tables(shown)
    if len(shown) > 1:
        say(chunk_difference(shown[0], shown[1]).text)
    say(f"wrote {', '.join(str(path) for path in written)} and {options.out / 'report.html'}")
    if options.mcap:
        say(f"wrote {options.mcap}: an mcap for each episode, and a layout for Foxglove")
    missed = [line for run in runs for line in unmet(run, options, named=len(runs) > 1)]
    for line in missed:
        say(f"not met: {line}")
    nothing = [f"{run.label}: {line}" if len(runs) > 1 else line for run in runs for line in failed(run)]
    for line in nothing:
        say(line)
    for run in runs:
        if run.result.simulation is not None:
            line = success_line(run.result.simulation.successes, len(run.result.simulation.episodes))
            say(f"{run.label}: {line}" if len(runs) > 1 else line)
    if stopped():
        return INTERRUPTED
    return NOT_MET if missed or nothing else OK


def say(text: str) -> None:
    """Print a line for people at once, even into a log file."""
    print(text, flush=True)


def _run(
    mode: str,
    options: argparse.Namespace,
    configuration: RobotConfiguration,
    files: Sequence[Path],
    stopped: Callable[[], bool],
) -> Run:
    run = run_dataset if options.dataset else run_bags if options.bag else run_episodes
    found = run(mode, options, configuration, files, stopped, say)
    if found.result.status == PARTIAL:
        say(f"{mode}: partial: {'; '.join(found.result.reasons) or 'see the report'}")
    return found


def _label(path: Path, run: Run) -> str:
    """Return a label for the other run: its folder's name, unless that is this run's label."""
    name = (path if path.is_dir() else path.parent).resolve().name or str(path)
    return f"{name} (compared)" if name == run.label else name


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"--out {path}: cannot be made: {error}") from error


def _write_metrics(directory: Path, run: Run) -> Path:
    path = directory / "metrics.json"
    _make_directory(directory)
    try:
        path.write_text(run.result.to_json() + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error}") from error
    return path


if __name__ == "__main__":
    sys.exit(main())
