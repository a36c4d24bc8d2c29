"""The command-line arguments of eval_policy."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from pathlib import Path

from act_inference_ros.evaluation.bags.bag_options import COMMANDED_BY, CONFIGURED, MERGED_BY
from act_inference_ros.evaluation.comparison.who_commanded import OPERATOR
from act_inference_ros.evaluation.episodes.closed_loop import DEFAULT_LATENCY_S, DEFAULT_LIMIT_S
from act_inference_ros.interfaces import ENGINES, MODES, PRECISIONS

MEASURED = "measured"
"""A value of --latency-s: the wall time that inference takes."""

_RANGE = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")
_DESCRIPTION = """\
Evaluates a policy with the node's own code, before a robot is risked.

  eval_policy --mode local --episodes 5          does it do the task? (demo simulator)
  eval_policy --bag recorded/ --mode triton      does it say what the operator did? (recorded bags)
  eval_policy --dataset DIR --checkpoint DIR     the same, against the episodes of a LeRobot data set
"""
_EPILOG = """\
Writes metrics.json (for machines) and report.html (for people; opens without a network) into --out.
exit status: 0 ok, 1 a threshold is not met or nothing could be evaluated, 2 a mistake in what was asked for,
130 interrupted (what there is, is written)
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="eval_policy",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_argument_group("what to evaluate on (one of them)").add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--bag",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="recorded bags (rosbag2: sqlite3 or mcap); dumps of a node's black box are shown",
    )
    what.add_argument(
        "--dataset",
        type=Path,
        metavar="DIR",
        help="a LeRobot data set (v2.1, v3.0); needs no --params, but takes units and limits from it",
    )
    what.add_argument("--episodes", type=_count, metavar="N", help="closed-loop episodes in the demo simulator")

    policy = parser.add_argument_group("the policy (default: as the parameter file and the environment say)")
    policy.add_argument(
        "--mode", type=_modes, default=(), metavar="M[,M]", help="local or triton; local,triton compares the two"
    )
    policy.add_argument(
        "--checkpoint",
        metavar="DIR",
        help="local mode: LeRobot checkpoint directory or hub id hf:owner/name, or an exported repository",
    )
    policy.add_argument("--engine", choices=ENGINES, help="local mode: what computes the network")
    policy.add_argument(
        "--providers", metavar="P[,P]", help="engine onnxruntime: auto, or some of tensorrt,cuda,openvino,cpu"
    )
    policy.add_argument("--precision", choices=PRECISIONS, help="local mode: arithmetic of the network")
    policy.add_argument("--device", help="local mode: auto, cpu, cuda, cuda:N or mps")
    policy.add_argument("--server", metavar="HOST:PORT", help="triton mode: address of the server")
    policy.add_argument("--model", metavar="NAME", help="triton mode: the model's name")
    policy.add_argument(
        "--params", nargs="+", type=Path, default=[], metavar="FILE", help="the node's parameter file (default: demo)"
    )
    add_namespace(policy)

    how = parser.add_argument_group("how")
    how.add_argument(
        "--episodes-of", type=_ranges, metavar="N[-M][,...]", help="data set: only these episodes, such as 0,3-5"
    )
    how.add_argument("--seed", type=_whole, default=0, help="episodes: of the cube's places (default: 0)")
    how.add_argument(
        "--latency-s",
        type=_latency,
        metavar="S",
        help="pretended time from an observation to its chunk, or for bags and data sets: measured "
        f"(default: episodes {DEFAULT_LATENCY_S}, else 0)",
    )
    how.add_argument(
        "--limit-s",
        type=_positive,
        metavar="S",
        help=f"length of an episode ({DEFAULT_LIMIT_S:g}), or at most of each bag",
    )
    how.add_argument(
        "--stride", type=_count, default=1, metavar="N", help="bags, data set: every Nth observation (default: 1)"
    )
    how.add_argument(
        "--truth", choices=("auto", "commands", "state"), default="auto", help="bags: what to compare with"
    )
    how.add_argument(
        "--commanded-by",
        choices=COMMANDED_BY,
        default=OPERATOR,
        help="bags and data sets of a policy's run: compare with what the operator commanded, or with all; then "
        "--max-error is never met (default: operator)",
    )
    how.add_argument(
        "--status-topic", default="", metavar="TOPIC", help="bags: the policy node's ~/status, if they have several"
    )
    how.add_argument(
        "--unmarked",
        choices=(OPERATOR,),
        default="",
        help="bags in which a policy ran, without its ~/status: a person commanded all the same",
    )
    how.add_argument(
        "--merges",
        choices=MERGED_BY,
        default=CONFIGURED,
        help="bags, data set: execute the plan as `merge` says, or, for comparison, in each other way, too "
        "(default: configured)",
    )
    how.add_argument("--expert", action="store_true", help="episodes: the scripted expert drives; needs no policy")

    out = parser.add_argument_group("results")
    out.add_argument("--out", type=Path, default=Path("evaluation"), metavar="DIR", help="(default: evaluation)")
    out.add_argument("--compare", type=Path, metavar="JSON", help="an earlier metrics.json to show beside this run")
    out.add_argument("--record", type=Path, metavar="DIR", help="episodes: write each as a bag (mcap) into DIR")
    out.add_argument(
        "--mcap",
        type=Path,
        metavar="DIR",
        help="write each episode as an mcap for Foxglove and Rerun",
    )

    bounds = parser.add_argument_group("thresholds (exit status 1 if one is not met)")
    bounds.add_argument("--max-error", type=_positive, metavar="E", help="mean error of the worst joint, rad or m")
    bounds.add_argument("--min-success", type=_rate, metavar="R", help="success rate of the episodes, 0 to 1")
    bounds.add_argument("--max-jerk", type=_positive, metavar="J", help="RMS jerk of the worst joint, rad/s3 or m/s3")
    bounds.add_argument(
        "--max-acceleration", type=_positive, metavar="A", help="peak acceleration of the worst joint, rad/s2 or m/s2"
    )
    bounds.add_argument(
        "--max-seam-jump", type=_positive, metavar="D", help="largest step in 2 ms where a chunk joins, rad or m"
    )
    bounds.add_argument("--max-latency-p95", type=_positive, metavar="S", help="95th percentile of inference, s")
    return parser


def add_namespace(parser: argparse._ActionsContainer) -> None:
    """Add `--namespace`: the namespace of the recorded node, which relative topics belong to."""
    parser.add_argument(
        "--namespace",
        type=_namespace,
        default="",
        metavar="NAME",
        help="bags: the node's namespace, where relative topics of the parameter file lie (default: none)",
    )


def _namespace(text: str) -> str:
    if not re.fullmatch(r"/?([A-Za-z_]\w*(/[A-Za-z_]\w*)*)?/?", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"expected a namespace such as left or /cell_2/left, got {text!r}")
    return text


def check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End the program with one line for options that contradict each other."""
    if options.episodes is None:
        for name in ("record", "expert", "min_success"):
            if getattr(options, name):
                parser.error(f"--{name.replace('_', '-')} is for --episodes")
    elif options.max_error is not None:
        parser.error("--max-error is for --bag and --dataset: an episode has no operator to compare with")
    if options.bag is None:
        for name in ("status_topic", "unmarked"):
            if getattr(options, name):
                parser.error(f"--{name.replace('_', '-')} is for --bag")
    if options.dataset is None:
        if options.episodes_of:
            parser.error("--episodes-of is for --dataset")
    elif options.truth == "state":
        parser.error("--truth state is for --bag: a data set is compared with its actions")
    if options.expert and (options.mode or options.checkpoint):
        parser.error("--expert takes the policy's place: leave out --mode and --checkpoint")
    if len(options.mode) > 1 and options.compare:
        parser.error("--compare shows one run beside another; --mode with two modes already is two runs")


def _modes(text: str) -> tuple[str, ...]:
    modes = tuple(text.split(","))
    if not set(modes) <= set(MODES) or len(set(modes)) != len(modes):
        raise argparse.ArgumentTypeError(f"expected local, triton or local,triton, got {text!r}")
    return modes


def _ranges(text: str) -> tuple[tuple[int, int], ...]:
    """Parse `0,3-5` as ranges that include both ends."""
    found = [_RANGE.fullmatch(part) for part in text.split(",")]
    ranges = tuple((int(part[1]), int(part[2] or part[1])) for part in found if part)
    if len(ranges) != len(found) or not all(first <= last for first, last in ranges):
        raise argparse.ArgumentTypeError(f"expected numbers of episodes such as 0,3-5, got {text!r}")
    return ranges


def _count(text: str) -> int:
    return int(_number(text, "a whole number from 1", lambda value: value >= 1 and value == int(value)))


def _whole(text: str) -> int:
    return int(_number(text, "a whole number from 0", lambda value: 0 <= value < 2**31 and value == int(value)))


def _positive(text: str) -> float:
    return _number(text, "a number above 0", lambda value: value > 0.0)


def _latency(text: str) -> float | str:
    return MEASURED if text == MEASURED else _number(text, "seconds from 0, or measured", lambda value: value >= 0.0)


def _rate(text: str) -> float:
    return _number(text, "a rate from 0 to 1", lambda value: 0.0 <= value <= 1.0)


def _number(text: str, expected: str, holds: Callable[[float], bool]) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and holds(value)):
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
    return value
