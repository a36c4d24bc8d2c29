"""What policy_node adds to an inference: from the arrival of the newest image to the command, less the inference.

Arrival is the middleware's received timestamp of the image in the node's process; the command counts when `publish` has
returned. The real node runs in a process of its own with a policy that computes nothing; another process plays the
cameras (640x480 rgb8, 30 Hz) and the joints. Baseline: `bare relay`, a node of twenty lines that subscribes to the same
images and publishes a trajectory of the same size when each camera's image has come; it reads no pixel.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # so that it also runs as a script

import numpy as np  # noqa: E402

from benchmarks.instant_policy import InstantPolicy  # noqa: E402
from benchmarks.robot_stand import (  # noqa: E402
    COMMAND_TOPIC,
    IMAGE_RATE,
    joint_names,
    node_arguments,
    node_parameters,
    running_robot,
)
from benchmarks.standard_act import HEIGHT, WIDTH  # noqa: E402

JOINTS = joint_names(7)
CHUNK_SIZE, FPS = 100, 50.0
TARGET_MS = {1: 5.0, 4: 12.0}
WARM_UP = 60
ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one camera, few samples")
    parser.add_argument("--samples", type=int, default=None, help="commands measured (default 300, quick 60)")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "node.json")
    parser.add_argument("--role", choices=ROLES, help=argparse.SUPPRESS)  # the role of a child process
    parser.add_argument("--cameras", type=int, default=1, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    samples = arguments.samples or (60 if arguments.quick else 300)
    if arguments.role:
        ROLES[arguments.role](arguments.cameras, samples)
        return
    runs = []
    for cameras in (1,) if arguments.quick else (1, 4):
        measured: dict[str, list[dict[str, list[float]]]] = {"node": [], "relay": []}
        for _ in range(ROUNDS):  # alternated, so that other load on the machine affects both
            for role, times in measured.items():
                times.append(measure(role, cameras, samples // ROUNDS))
        runs.append({"cameras": cameras, **{role: summary(times) for role, times in measured.items()}})
        report(runs[-1])
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps({"samples": samples, "runs": runs}, indent=1) + "\n")
    print(f"written to {arguments.output}")


def measure(role: str, cameras: int, samples: int) -> dict[str, list[float]]:
    """Milliseconds of each command of one role, with the robot's process beside it."""
    command = [sys.executable, str(Path(__file__).resolve()), "--cameras", str(cameras), "--samples", str(samples)]
    with running_robot(cameras, len(JOINTS), listens=True) as environment:
        limit_s = 60 + (WARM_UP + samples) / IMAGE_RATE * 10
        done = subprocess.run(
            [*command, "--role", role], env=environment, check=True, stdout=subprocess.PIPE, timeout=limit_s
        )
    times: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return times


def summary(rounds: list[dict[str, list[float]]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in rounds[0]:
        values = np.concatenate([times[name] for times in rounds])
        found |= {f"{name}_p50_ms": float(np.median(values)), f"{name}_p95_ms": float(np.percentile(values, 95))}
    return found


def report(run: dict[str, Any]) -> None:
    node, relay = run["node"], run["relay"]
    print(
        f"{run['cameras']} camera(s): overhead median {node['overhead_p50_ms']:.1f} ms (target "
        f"{TARGET_MS[run['cameras']]:.0f}), p95 {node['overhead_p95_ms']:.1f} ms; bare relay "
        f"{relay['overhead_p50_ms']:.1f} ms, p95 {relay['overhead_p95_ms']:.1f} ms; ratio "
        f"{node['overhead_p50_ms'] / relay['overhead_p50_ms']:.1f}\n"
        f"  camera's publish to command, across processes: median {node['latency_p50_ms']:.1f} ms, p95 "
        f"{node['latency_p95_ms']:.1f} ms; bare relay {relay['latency_p50_ms']:.1f} ms, p95 "
        f"{relay['latency_p95_ms']:.1f} ms",
        flush=True,
    )


class Stopwatch:
    """Notes when each image arrived, and for each command how long ago that of its observation was."""

    def __init__(self, samples: int, on_done: Callable[[], None]) -> None:
        self.inference_s = 0.0
        self.sequence = 0
        self._arrivals: dict[int, float] = {}
        self._stamps: dict[int, float] = {}
        self._wanted = WARM_UP + samples
        self._on_done = on_done
        self._overheads: list[float] = []
        self._latencies: list[float] = []

    def arrived(self, message: Any, received_ns: int) -> int:
        """Note an image; with several cameras the last one counts. Returns its sequence number."""
        sequence = int.from_bytes(bytes(message.data[:3]), "little")
        self._arrivals[sequence] = max(self._arrivals.get(sequence, 0.0), received_ns * 1e-9)
        stamp = message.header.stamp
        self._stamps[sequence] = max(self._stamps.get(sequence, 0.0), stamp.sec + stamp.nanosec * 1e-9)
        return sequence

    def commanded(self) -> None:
        """Note a command that belongs to the images of `sequence`, inferred in `inference_s`."""
        now = time.time()
        if len(self._overheads) < self._wanted:
            self._overheads.append(now - self._arrivals[self.sequence] - self.inference_s)
            self._latencies.append(now - self._stamps[self.sequence] - self.inference_s)
            if len(self._overheads) == self._wanted:
                self._print()
                self._on_done()

    def _print(self) -> None:
        times = {"overhead": self._overheads[WARM_UP:], "latency": self._latencies[WARM_UP:]}
        print(json.dumps({name: [value * 1e3 for value in values] for name, values in times.items()}), flush=True)


def play_node(cameras: int, samples: int) -> None:
    """The real policy_node; only the policy, and what passes in and out of ROS, is instrumented."""
    from sensor_msgs.msg import Image

    from act_inference_ros.inference import client
    from act_inference_ros.ros.policy import policy_node
    from act_inference_ros.spec import ImageSpec, PolicySpec

    watch = Stopwatch(samples, on_done=lambda: os.kill(os.getpid(), signal.SIGTERM))
    images = tuple(ImageSpec(f"observation.images.cam{i}", HEIGHT, WIDTH) for i in range(cameras))
    chunk = np.zeros((CHUNK_SIZE, len(JOINTS)), np.float32)

    spec = PolicySpec(CHUNK_SIZE, len(JOINTS), images=images, state_dim=len(JOINTS))

    def answer(inputs: Mapping[str, Any]) -> Any:
        began = time.perf_counter()
        first = next(inputs[image.key] for image in images)
        watch.sequence = int.from_bytes(first[0, 0].tobytes(), "little")
        watch.inference_s = time.perf_counter() - began
        return chunk

    class TimedNode(policy_node.PolicyNode):
        def create_subscription(self, kind: Any, topic: str, callback: Any, *rest: Any, **options: Any) -> Any:
            def timed(message: Any, info: Any) -> None:
                watch.arrived(message, info["received_timestamp"])
                callback(message, info)

            return super().create_subscription(kind, topic, timed if kind is Image else callback, *rest, **options)

        def create_publisher(self, kind: Any, topic: str, *rest: Any, **options: Any) -> Any:
            publisher = super().create_publisher(kind, topic, *rest, **options)
            if topic == COMMAND_TOPIC:
                publish = publisher.publish
                publisher.publish = lambda message: (publish(message), watch.commanded())  # type: ignore[func-returns-value]  # None is as good
            return publisher

    client.BACKENDS["local"] = lambda _options: InstantPolicy(spec, answer)  # type: ignore[index]
    policy_node.PolicyNode = TimedNode  # type: ignore[misc]
    sys.exit(policy_node.main(node_arguments(node_parameters(cameras, len(JOINTS), fps=FPS))))


def play_relay(cameras: int, samples: int) -> None:
    """The baseline."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from sensor_msgs.msg import Image
    from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

    from act_inference_ros.interfaces import duration
    from act_inference_ros.ros.messages import make_message
    from act_inference_ros.ros.policy.input_subscriptions import SENSOR_QOS

    rclpy.init()
    node = rclpy.create_node("relay")
    over = threading.Event()
    watch = Stopwatch(samples, on_done=over.set)
    publisher = node.create_publisher(JointTrajectory, COMMAND_TOPIC, 10)
    seen: dict[int, int] = {}

    kept: list[Any] = []

    def on_image(message: Any, info: Any) -> None:
        # Without this each image's memory goes back to the kernel and is allocated again, which is slow.
        kept.append(message)
        del kept[: -4 * cameras]
        sequence = watch.arrived(message, info["received_timestamp"])
        seen[sequence] = seen.get(sequence, 0) + 1
        if seen[sequence] < cameras:
            return
        trajectory = JointTrajectory(joint_names=JOINTS)
        trajectory.points = [
            JointTrajectoryPoint(positions=[0.0] * len(JOINTS), time_from_start=duration(make_message, (i + 1) / FPS))
            for i in range(CHUNK_SIZE)
        ]
        watch.sequence = sequence
        publisher.publish(trajectory)
        watch.commanded()

    for i in range(cameras):
        node.create_subscription(Image, f"/cam{i}/image", on_image, SENSOR_QOS)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not over.is_set():
        executor.spin_once(timeout_sec=0.1)


ROLES = {"node": play_node, "relay": play_relay}

if __name__ == "__main__":
    main()
