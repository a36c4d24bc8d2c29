"""draft_robot: a parameter file for a new robot, from a checkpoint, its data set, and a bag or the live graph."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from act_inference_ros.drafting.bag_facts import read_bag_facts
from act_inference_ros.drafting.dataset_facts import find_dataset, read_dataset_facts
from act_inference_ros.drafting.draft import draft_file
from act_inference_ros.drafting.facts import RobotFacts
from act_inference_ros.drafting.policy_facts import read_policy_facts
from act_inference_ros.errors import ActInferenceError, ConfigurationError, MissingDependencyError
from act_inference_ros.program.exit_status import INTERRUPTED, MISTAKE, OK
from act_inference_ros.program.signals import StopSignals
from act_inference_ros.robot.parameters import UNKNOWN

LISTEN_S = 5.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run draft_robot; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        with StopSignals().interrupting(after=0):
            return _draft(options)
    except ActInferenceError as error:
        print(f"draft_robot: {error}", file=sys.stderr)
        return MISTAKE
    except KeyboardInterrupt:
        print("draft_robot: interrupted; nothing was written", file=sys.stderr)
        return INTERRUPTED


def _draft(options: argparse.Namespace) -> int:
    out: Path = options.out
    _check_free(out, options.force)
    policy, directory = read_policy_facts(options.checkpoint)
    place, without = (options.dataset, "") if options.dataset else find_dataset(directory)
    dataset = read_dataset_facts(place, policy.spec.state_dim) if place else None
    draft = draft_file(policy, dataset, without, _robot(options), options.joints)
    try:
        with out.open("w" if options.force else "x", encoding="utf-8") as file:
            file.write(draft.text)
    except FileExistsError:
        _check_free(out, force=False)
    except OSError as error:
        raise ConfigurationError(f"{out}: cannot be written: {error.strerror}") from error
    rest = f"{draft.to_fill_in} places are left to fill in: search for {UNKNOWN}" if draft.to_fill_in else "it is whole"
    print(f"wrote {out}: {rest}; read every line before the arm moves", flush=True)
    return OK


def _check_free(out: Path, force: bool) -> None:
    if out.exists() and not force:
        raise ConfigurationError(f"{out}: is there already; give another --out, or --force to write over it")


def _robot(options: argparse.Namespace) -> RobotFacts | None:
    if options.bag:
        return read_bag_facts(options.bag)
    if not options.live:
        return None
    try:
        from act_inference_ros.ros.draft.live_graph import listen
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"--live needs ROS 2, and {error.name} cannot be imported: source ROS 2's setup file, or give --bag"
        ) from error
    print(f"listening for {options.listen:g} s", flush=True)
    return listen(options.listen)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="draft_robot",
        description="Write a parameter file of policy_node for a new robot. Every value has a comment that says where "
        f"it is from; what nobody can know is left as {UNKNOWN}, and the node refuses the file until it is filled in.",
        epilog="example: draft_robot --checkpoint pretrained_model --dataset my_data --bag recorded --out robot.yaml",
    )
    parser.add_argument(
        "--checkpoint", required=True, metavar="DIR", help="LeRobot checkpoint directory or hub id hf:owner/name"
    )
    parser.add_argument(
        "--dataset",
        type=Path,
        metavar="DIR",
        help="LeRobot data set that it was trained on (default: what train_config.json beside the checkpoint names)",
    )
    parser.add_argument(
        "--joints",
        type=_names,
        default=(),
        metavar="A,B,...",
        help="what the joints of the state and the action are called in ROS, in the policy's order, where the data set "
        "has other names",
    )
    robot = parser.add_mutually_exclusive_group()
    robot.add_argument(
        "--bag", type=Path, metavar="DIR", help="a bag recorded on the robot, moving and being commanded"
    )
    robot.add_argument("--live", action="store_true", help="look at the robot itself: the ROS graph as it is now")
    parser.add_argument(
        "--listen", type=_seconds, default=LISTEN_S, metavar="S", help="--live: for how long (default: %(default)g)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("robot.yaml"), metavar="FILE", help="the file to write (default: %(default)s)"
    )
    parser.add_argument("--force", action="store_true", help="write over a file that is there")
    return parser


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"expected different names with commas between, got {text!r}")
    return names


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 < value <= 3600.0:
        raise argparse.ArgumentTypeError(f"expected seconds from 0 to 3600, got {text!r}")
    return value


if __name__ == "__main__":
    sys.exit(main())
