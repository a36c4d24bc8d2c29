"""bag_to_dataset: converts recorded bags to a LeRobot data set for training the node's policy."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from act_inference_ros.errors import ActInferenceError, ConfigurationError
from act_inference_ros.evaluation.bags.bag import Bag, find_bags
from act_inference_ros.evaluation.bags.status_topic import ran_unseen, status_topics
from act_inference_ros.evaluation.cli.arguments import add_namespace
from act_inference_ros.evaluation.cli.bag_progress import shown
from act_inference_ros.evaluation.comparison.who_commanded import OPERATOR, POLICY
from act_inference_ros.evaluation.conversion.bag_conversion import BagReport, Marking, convert_bags
from act_inference_ros.evaluation.conversion.dataset_writer import ACTION, DatasetWriter
from act_inference_ros.evaluation.conversion.output_directory import check_output, replacing
from act_inference_ros.evaluation.conversion.recorded_spec import recorded_spec
from act_inference_ros.evaluation.datasets.description import HIGHEST_FPS
from act_inference_ros.evaluation.datasets.reading import pyarrow, pyav
from act_inference_ros.program.exit_status import INTERRUPTED, MISTAKE, NOT_MET, OK
from act_inference_ros.program.progress import progress_bar
from act_inference_ros.program.signals import StopSignals
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.robot.parameter_file import read_configuration
from act_inference_ros.robot.topic_names import node_in
from act_inference_ros.spec import PolicySpec

PROGRAM = "bag_to_dataset"
_LONGEST_TASK = 1000
_LINES_SHOWN = 20
"""Most lines of each kind and bag."""
_DESCRIPTION = """\
Makes a LeRobot data set (v3.0) of recorded bags, with the node's own inputs, order and units, so that a policy is
trained on what it will see.

  bag_to_dataset --bag recorded/ --params robot.yaml --output data/cube --task "pick the cube"
"""
_EPILOG = """\
Needs pip install 'act_inference_ros[datasets,eval]'.
exit status: 0 ok, 1 a bag gave no episode (with --only: because of a problem; where none did, nothing is written),
2 a mistake in what was asked for, 130 interrupted (nothing is written)
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run bag_to_dataset; returns the exit status."""
    options = _parser().parse_args(arguments)
    signals = StopSignals()
    try:
        return convert(options, signals.check)
    except ActInferenceError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return NOT_MET if isinstance(error, _NoEpisodeError) else MISTAKE
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted; nothing was written", file=sys.stderr)
        return INTERRUPTED


def convert(options: argparse.Namespace, check: Callable[[], None]) -> int:
    """Convert, print the table, and return the exit status. `check` is called often and may raise to stop.

    Raises ActInferenceError if the conversion is impossible.
    """
    check_output(options.output, options.force)
    pyarrow()
    configuration = read_configuration(*options.params, node=node_in(options.namespace))
    if configuration.cameras:
        pyav()
    fps = _whole_fps(options.fps, configuration)
    bags = find_bags(options.bag)
    marking = _marking(bags, options)
    spec = recorded_spec(bags, configuration)
    with replacing(options.output) as directory:
        writer = DatasetWriter(directory, spec, _names(spec, configuration), fps, options.task, marking.marked)
        try:
            with progress_bar(PROGRAM, "bags", say) as progress:
                reports = convert_bags(bags, configuration, spec, fps, writer, marking, shown(progress), check)
            print_reports(reports, fps)
            if not writer.episodes:
                raise _NoEpisodeError("no bag gave an episode; nothing was written")
            writer.finish()
        except BaseException:
            writer.abandon()
            raise
    say(f"wrote {options.output}: {writer.episodes} episodes, {writer.frames} frames at {fps} fps")
    if fps != configuration.fps:
        say(f"a policy that is trained on it needs `fps: {fps}` in the parameter file, which has {configuration.fps:g}")
    # With --only operator, a run without corrections is no failure.
    failed = [report for report in reports if not report.episodes and (report.problems or not options.only)]
    return NOT_MET if failed else OK


class _NoEpisodeError(ActInferenceError):
    """No bag gave an episode."""


def print_reports(reports: Sequence[BagReport], fps: int) -> None:
    """Print a line for each bag, and below it the cuts with their reasons."""
    width = max(len("bag"), *(len(report.name) for report in reports))
    say(f"{'bag':{width}}  episodes  frames  kept")
    for report in reports:
        share = report.frames / fps / report.duration_s if report.duration_s > 0.0 else 0.0
        kept = f"{report.frames / fps:.1f} of {report.duration_s:.1f} s ({100.0 * min(share, 1.0):.0f} %)"
        say(f"{report.name:{width}}  {len(report.episodes):8d}  {report.frames:6d}  {kept}")
        for kind, lines in (("problem", report.problems), ("", report.cuts), ("note", report.notes)):
            for line in lines[:_LINES_SHOWN]:
                say(f"  {kind}: {line}" if kind else f"  {line}")
            if len(lines) > _LINES_SHOWN:
                say(f"  and {len(lines) - _LINES_SHOWN} more of that kind")


def say(text: str) -> None:
    """Print a line for people at once, even into a log file."""
    print(text, flush=True)


def _marking(bags: Sequence[Path], options: argparse.Namespace) -> Marking:
    """Return who commanded in which bag. Raises ConfigurationError if it would be a guess."""
    topics = status_topics(bags, options.status_topic)
    silent = [path for path, topic in topics.items() if not topic]
    marked = len(silent) < len(bags) or options.unmarked == OPERATOR
    if options.unmarked != OPERATOR:
        asked = silent if marked or options.only else [path for path in silent if _ran_unseen(path)]
        why = "as in other bags" if marked else "for --only" if options.only else "because a policy ran"
        if asked:
            raise ConfigurationError(
                f"who commanded in {', '.join(path.name for path in asked[:_LINES_SHOWN])} is not known: expected the "
                f"policy node's ~/status there, {why}; if a person commanded, say so with --unmarked operator"
            )
    return Marking(topics, marked, options.only)


def _ran_unseen(path: Path) -> bool:
    with Bag(path) as bag:
        return bool(ran_unseen(bag))


def _whole_fps(given: int | None, configuration: RobotConfiguration) -> int:
    """Return the rate as a whole number, which LeRobot's data sets require."""
    fps = configuration.fps if given is None else given
    if fps != int(fps):
        raise ConfigurationError(f"fps: expected a whole number of frames per second, got {fps:g}; give one with --fps")
    return int(fps)


def _names(spec: PolicySpec, configuration: RobotConfiguration) -> dict[str, tuple[str, ...]]:
    names = {ACTION: configuration.action.names}
    if configuration.state is not None:
        names[spec.state_key] = configuration.state.names
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description=_DESCRIPTION, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--bag", nargs="+", type=Path, required=True, metavar="DIR", help="recorded bags (rosbag2: sqlite3 or mcap)"
    )
    parser.add_argument(
        "--params", nargs="+", type=Path, required=True, metavar="FILE", help="the node's parameter file"
    )
    add_namespace(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="the data set's directory")
    parser.add_argument("--fps", type=_fps, metavar="N", help="frames per second (default: the parameter file's fps)")
    parser.add_argument("--task", type=_task, default="", metavar="TEXT", help="what is done in the bags, in words")
    parser.add_argument(
        "--only", choices=(OPERATOR, POLICY), default="", help="bags of a policy's run: keep what one of them commanded"
    )
    parser.add_argument(
        "--unmarked", choices=(OPERATOR,), default="", help="who commanded in bags without a policy node's ~/status"
    )
    parser.add_argument(
        "--status-topic", default="", metavar="TOPIC", help="the policy node's ~/status, if the bags have several"
    )
    parser.add_argument("--force", action="store_true", help="replace a data set that is in --output")
    return parser


def _fps(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:5]) <= HIGHEST_FPS and len(text) <= 5):
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to {HIGHEST_FPS:g}, got {text!r}")
    return int(text)


def _task(text: str) -> str:
    if not text.isprintable() or len(text) > _LONGEST_TASK:
        raise argparse.ArgumentTypeError(f"expected one line of at most {_LONGEST_TASK} characters")
    return text


if __name__ == "__main__":
    sys.exit(main())
