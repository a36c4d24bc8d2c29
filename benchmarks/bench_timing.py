"""Is the stream of commands as regular as ros2_control asks of its own loop, and how old is what it follows?

The real policy_node publishes 100 commands a second for minutes while it infers the standard ACT (640x480 images) in
the process of its own without a pause; beside it a bag is written (mcap) of the commands, joint states, chunks, status,
diagnostics and images of one camera; once more with real-time priority (`thread_priority`), where this user may have
that. Baseline in the same run: `idle`, the same node, robot and bag with a policy that computes nothing. The periods
are those between the middleware's stamps of the commands. `benchmarks/stream_figures.py` has ros2_control's formula and
limits; the age of a command is that of its observation when the node wrote it.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # so that it also runs as a script

import numpy as np  # noqa: E402

from act_inference_ros.errors import ActInferenceError  # noqa: E402
from act_inference_ros.evaluation.bags.bag import Bag  # noqa: E402
from benchmarks.bench_stream import IDLE, PROCESS, REAL_TIME, kinds_here, node_settings, one_round  # noqa: E402
from benchmarks.others import QUIET  # noqa: E402
from benchmarks.program import RESULTS, count, machine, run, write_results  # noqa: E402
from benchmarks.robot_stand import COMMAND_TOPIC, IMAGE_RATE  # noqa: E402
from benchmarks.standard_act import HEIGHT, WIDTH, write_checkpoint  # noqa: E402
from benchmarks.stream_figures import ERROR, ERROR_HZ, OK, WARNING_HZ, ages_s, level, periodicity  # noqa: E402
from benchmarks.stream_parts import RATE, stream_parameters  # noqa: E402

KINDS = (IDLE, PROCESS, REAL_TIME)
RECORDER = "act_inference_ros.ros.record.record_topics"
BAG = "bag"
RECORDED = {
    COMMAND_TOPIC: "std_msgs/msg/Float64MultiArray",
    "/joint_states": "sensor_msgs/msg/JointState",
    "/policy_node/action_chunk": "trajectory_msgs/msg/JointTrajectory",
    "/policy_node/status": "diagnostic_msgs/msg/DiagnosticStatus",
    "/diagnostics": "diagnostic_msgs/msg/DiagnosticArray",
}
FPS = 10.0
"""Steps of the plan per second: a chunk is 10 s long, so that a slow machine can follow it, too."""
ROOM = 1.3
"""How many times the expected size of a bag must be free on the disk."""
START_S = 60.0
"""The bag also has what passes before the first command."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one camera, six seconds of each")
    parser.add_argument("--minutes", type=float, default=None, help="of each kind (default 10, quick 0.1)")
    parser.add_argument("--cameras", type=count, default=None, help="default 4, quick 1")
    parser.add_argument(
        "--recorded-cameras", type=int, default=1, help="whose images go into the bag, 28 MB/s each (default 1)"
    )
    parser.add_argument("--engine", default="torch", help="the node's parameter (default: torch)")
    parser.add_argument("--precision", default="float32", help="the node's parameter (default: float32)")
    parser.add_argument("--output", type=Path, default=RESULTS / "timing.json")
    arguments = parser.parse_args()
    seconds = 60.0 * (arguments.minutes or (0.1 if arguments.quick else 10.0))
    cameras = arguments.cameras or (1 if arguments.quick else 4)
    recorded = min(arguments.recorded_cameras, cameras)
    policy = {"engine": arguments.engine, "precision": arguments.precision}
    runs = measure(cameras, recorded, seconds, policy)
    limits = {"warning_hz": WARNING_HZ, "error_hz": ERROR_HZ}
    settings = {**policy, "cameras": cameras, "recorded_cameras": recorded, "seconds": seconds, "rate_hz": RATE}
    write_results(arguments.output, {**settings, **machine(), **limits, "runs": runs})
    return 0


def measure(cameras: int, recorded: int, seconds: float, policy: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the figures of each kind."""
    runs: list[dict[str, Any]] = []
    for kind in kinds_here(KINDS):
        with tempfile.TemporaryDirectory() as place:
            directory = Path(place)
            check_room(directory, recorded, seconds)
            write_checkpoint(directory / "checkpoint", cameras)
            checkpoint = str(directory / "checkpoint")
            parameters = stream_parameters(cameras, checkpoint=checkpoint, fps=FPS, **policy, **node_settings(kind))
            bag = directory / BAG
            beside = {RECORDER: recorder_arguments(bag, recorded)}
            noted = one_round(kind, cameras, seconds, parameters, directory / "cache", beside)
            runs.append({"inference": kind, **figures(noted), "bag": contents(bag)})
        runs[-1]["verdict"] = verdict(runs[-1], runs[0])
        report(runs[-1])
    return runs


def check_room(directory: Path, recorded: int, seconds: float) -> None:
    """Raise ActInferenceError if the bag would not fit on the disk: the images are noise, which does not compress."""
    wanted = ROOM * recorded * HEIGHT * WIDTH * 3 * IMAGE_RATE * (seconds + START_S)
    free = shutil.disk_usage(directory).free
    if free < wanted:
        raise ActInferenceError(
            f"{directory}: {free / 1e9:.0f} GB are free, the bag needs {wanted / 1e9:.0f}; set TMPDIR to another "
            "directory, or give --minutes or --recorded-cameras"
        )


def recorder_arguments(bag: Path, cameras: int) -> list[str]:
    topics = RECORDED | {f"/cam{i}/image": "sensor_msgs/msg/Image" for i in range(cameras)}
    return ["--bag", str(bag), "--topics", *(f"{topic}={kind}" for topic, kind in topics.items())]


def contents(bag: Path) -> dict[str, Any]:
    """The size of a bag, and how many messages of each topic it has."""
    with Bag(bag) as opened:
        messages = dict(sorted(opened.counts.items()))
    return {"mb": sum(each.stat().st_size for each in bag.iterdir()) / 1e6, "messages": messages}


def figures(noted: Mapping[str, Any]) -> dict[str, Any]:
    """Figures of the receiver's notes: of the commands as they were published, and as they were received.

    The formula of ros2_control is for the node's own instants. A receiver may be given two commands at once.
    """
    published_s = np.diff(noted["published"]) * 1e-9
    hz = periodicity(published_s, RATE)
    found: dict[str, Any] = {"commands": len(noted["published"]), "states": noted["states"], **hz, "level": level(**hz)}
    for name in ("published", "received"):
        periods_s = np.diff(noted[name]) * 1e-9
        found[name] = {
            "rate_hz": len(periods_s) / float(periods_s.sum()),
            "deviation_ms": float(periods_s.std()) * 1e3,
            "p99_ms": float(np.percentile(periods_s, 99)) * 1e3,
            "max_ms": float(periods_s.max()) * 1e3,
        }
    ages = ages_s(np.array(noted["published"]) * 1e-9, np.array(noted["chunks"], float) * 1e-9)
    for name, percentile in (("p50", 50), ("p99", 99), ("max", 100)):
        found[f"age_{name}_s"] = float(np.percentile(ages, percentile)) if len(ages) else None
    return found | {name: noted[name] for name in ("chunks_per_s", "others", "node_peak_memory_mb")}


def verdict(run: Mapping[str, Any], idle: Mapping[str, Any]) -> str:
    """What ros2_control would say of the stream as it was published, or why that says nothing here."""
    if run["states"] != ["commanding"]:
        return f"not judged: the node was {', '.join(run['states']) or 'silent'}"
    found = str(run["level"])
    if found == OK:
        return found
    if run["others"] > QUIET:
        return f"not judged ({found}): other programs took {run['others']:.0%} of the processor"
    if run is not idle and idle["level"] == found == ERROR:
        return f"not judged ({found}): on this machine the idle node is no better"
    return found


def report(run: Mapping[str, Any]) -> None:
    print(
        f"{run['inference']}: error of the mean {run['mean_error_hz']:.2f} Hz, deviation {run['deviation_hz']:.2f} Hz; "
        f"limits of ros2_control ({WARNING_HZ:g} Hz warning, {ERROR_HZ:g} Hz error): {run['verdict']}"
    )
    for name in ("published", "received"):
        each = run[name]
        print(
            f"  {name}: {each['rate_hz']:.2f} Hz; period p99 {each['p99_ms']:.1f} ms, worst {each['max_ms']:.1f} ms, "
            f"deviation {each['deviation_ms']:.2f} ms"
        )
    ages = ", ".join(f"{name} {run[f'age_{name}_s'] or float('nan'):.2f} s" for name in ("p50", "p99", "max"))
    print(
        f"  age of the observation behind a command: {ages}; {run['chunks_per_s']:.1f} chunks/s; bag of "
        f"{run['bag']['mb']:.0f} MB",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(run(main))
