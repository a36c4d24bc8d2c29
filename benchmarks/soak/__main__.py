"""Does anything grow in a long run? `python -m benchmarks.soak --minutes 60`, or `make soak`.

The real policy_node with its inference process and its black box, a robot of 640x480 cameras at 30 Hz, joint states at
100 Hz, a stream of 100 commands a second and a trajectory controller that shows its state, a policy of the standard
size that infers without a pause, and a person who does again and again what is done in a day. Every few seconds the
processes are measured. The rule by which they are judged stands in `judgement`; exit status 1 says that it is broken.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from act_inference_ros.black_box import dumps
from act_inference_ros.program.processes import ManagedProcess
from benchmarks.others import Others
from benchmarks.program import RESULTS, count, machine, run, write_results
from benchmarks.robot_stand import node_arguments, node_parameters, private_environment
from benchmarks.soak import judgement
from benchmarks.soak.judgement import Growth
from benchmarks.soak.measuring import Measured, Measuring, Series
from benchmarks.soak.robot import COMMAND_RATE, robot_changes
from benchmarks.standard_act import ACTION_DIM, write_checkpoint

CYCLE_S = 120.0
AGE = "age_in_chunks"
JUDGED = ("rss_mb", "anonymous_mb", "threads", "descriptors", "sockets", "shm_files", "shm_mb", "python_blocks",
          "python_objects")  # fmt: skip
"""Ends of the names of the series that must be flat; the others depend on the machine, or have rules of their own."""
ALARMS = ("helped", "no answer")
"""Events that should not be: the arm was not commanded again by itself, or a service did not answer."""
MOST_NAMED = 12


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0, help="from the first command on (default: 60)")
    parser.add_argument("--cameras", type=count, default=1)
    parser.add_argument("--engine", default="torch", help="the node's parameter (default: torch)")
    parser.add_argument("--precision", default="float32", help="the node's parameter (default: float32)")
    parser.add_argument(
        "--cycle", type=float, default=CYCLE_S, help=f"length of what repeats itself, s (default {CYCLE_S:g})"
    )
    parser.add_argument("--output", type=Path, default=RESULTS / "soak.json")
    arguments = parser.parse_args()
    policy = {"engine": arguments.engine, "precision": arguments.precision}
    others = Others()
    measured = soak(arguments.minutes, arguments.cameras, arguments.cycle, policy)
    results = summary(measured)
    settings = {**policy, "cameras": arguments.cameras, "cycle_s": arguments.cycle}
    report(results)
    write_results(
        arguments.output, {**settings, **machine(), "others": others.share(), **results, **everything(measured)}
    )
    return 1 if results["broken"] else 0


def soak(minutes: float, cameras: int, cycle_s: float, policy: Mapping[str, str]) -> Measured:
    """Let everything run for so long. Raises ActInferenceError if a process ends by itself."""
    with tempfile.TemporaryDirectory() as place, private_environment() as environment:
        directory = Path(place)
        write_checkpoint(directory / "checkpoint", cameras)
        environment["XDG_CACHE_HOME"] = str(directory / "cache")
        (directory / "black_box").mkdir()
        parameters = node_parameters(
            cameras,
            ACTION_DIM,
            checkpoint=str(directory / "checkpoint"),
            black_box=str(directory / "black_box"),
            **robot_changes(),
            **policy,
        )
        del parameters["controller.arm.topic"], parameters["controller.arm.joints"]
        day = [str(cameras), str(cycle_s)]
        node = [str(directory / "notes"), *node_arguments(parameters)]
        with (
            ManagedProcess.module("benchmarks.soak.day", day, environment, directory / "day.txt") as robot,
            ManagedProcess.module("benchmarks.soak.observed_node", node, environment, None) as policy_node,
        ):
            return Measuring(policy_node, robot, directory).measure(minutes * 60.0)


def summary(measured: Measured) -> dict[str, Any]:
    """What is said of a run; `broken` has a sentence for each rule that it broke."""
    grown: dict[str, Growth] = {}
    for series in (measured.sizes, measured.python):
        values = {name: each for name, each in series.values.items() if name.endswith(JUDGED)}
        grown |= judgement.judge(series.times, values)
    age = judgement.growth(
        measured.stream.times, measured.stream.of(AGE), judgement.LARGEST_AGE_GROWTH, judgement.MIDDLE
    )
    if age is not None:
        grown[AGE] = age
    begins = [event["at"] for event in measured.events if event["event"] == "activate"]
    drift_s = judgement.drift_s(measured.stream.times, measured.stream.of("phase_s"), 1.0 / COMMAND_RATE, begins)
    return {
        "broken": broken(measured, grown, drift_s),
        "growth": {name: {"first": g.first, "last": g.last, "growth": g.share} for name, g in sorted(grown.items())},
        "drift_ms": drift_s * 1e3,
        "alarms": [event for event in measured.events if event["event"] in ALARMS],
        "more_objects": more_objects(measured),
    }


def broken(measured: Measured, grown: Mapping[str, Growth], drift_s: float) -> list[str]:
    """A sentence for each rule that was broken."""
    said = [
        f"{name} grew by {each.share:.1%}, from {each.first:g} to {each.last:g}"
        for name, each in sorted(grown.items())
        if not each.is_flat
    ]
    if not grown:
        said.append("nothing could be judged: the run was too short")
    if abs(drift_s) > judgement.LARGEST_DRIFT_S:
        said.append(f"the stream's instants drifted by {drift_s * 1e3:.1f} ms")
    said += [f"{name} ended and was started again" for name, pids in sorted(measured.pids.items()) if len(pids) > 1]
    most, most_mb = max(measured.sizes.of("dumps"), default=0), max(measured.sizes.of("dumps_mb"), default=0.0)
    if most > dumps.KEEP_DUMPS or most_mb > dumps.KEEP_BYTES / 2**20:
        said.append(f"the black box kept {most:g} dumps of {most_mb:.0f} MB")
    return said


def more_objects(measured: Measured) -> dict[str, list[int]]:
    """Type -> how many objects of it the node had at most just after the warm-up, and at least at the end.

    Only of those that became more, the largest differences; none if the types were counted too seldom.
    """
    warm = measured.types[math.ceil(judgement.WARM_UP * len(measured.types)) :]
    quarter = len(warm) // 4
    if not quarter:
        return {}
    first = {name: max(counted.get(name, 0) for counted in warm[:quarter]) for name in warm[-1]}
    last = {name: min(counted.get(name, 0) for counted in warm[-quarter:]) for name in warm[-1]}
    more = sorted(last, key=lambda name: first[name] - last[name])[:MOST_NAMED]
    return {name: [first[name], last[name]] for name in more if last[name] > first[name]}


def report(results: Mapping[str, Any]) -> None:
    for name, each in results["growth"].items():
        print(f"{name:28} {each['first']:12.4g} -> {each['last']:12.4g}  {each['growth']:+.2%}")
    print(f"the stream's instants drifted by {results['drift_ms']:+.3f} ms at worst while one timer ran")
    for event in results["alarms"]:
        print(f"{event['event']}: {event['detail']}")
    print("\n".join(f"BROKEN: {sentence}" for sentence in results["broken"]) or "flat")


def everything(measured: Measured) -> dict[str, Any]:
    """All series, with None for what was not measured, which JSON has a word for."""

    def plain(series: Series) -> dict[str, Any]:
        numbers = {
            name: [each if math.isfinite(each) else None for each in values] for name, values in series.values.items()
        }
        return {"times": series.times, **numbers}

    return {
        "sizes": plain(measured.sizes),
        "stream": plain(measured.stream),
        "python": plain(measured.python),
        "events": measured.events,
    }


if __name__ == "__main__":
    sys.exit(run(main))
