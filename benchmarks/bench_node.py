"""What policy_node adds to an inference: from the arrival of the newest image to the command, less the inference.

Arrival is the middleware's received timestamp of the image in the node's process; the command counts when `publish` has
returned. The real node runs in a process of its own with a policy that computes nothing; another process plays the
cameras (640x480 rgb8, 30 Hz) and the joints. Baseline: `bare relay`, a node of twenty lines that subscribes to the same
images and publishes a trajectory of the same size once each camera's has come; it looks at no pixel.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # so that it also runs as a script

import numpy as np  # noqa: E402

HEIGHT, WIDTH, IMAGE_RATE, STATE_RATE = 480, 640, 30.0, 100.0
JOINTS = [f"joint{i}" for i in range(7)]
CHUNK_SIZE, FPS = 100, 50.0
TARGET_MS = {1: 5.0, 4: 12.0}
WARM_UP = 60
ROUNDS = 3
TOPIC = "/arm/command"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one camera, few samples")
    parser.add_argument("--samples", type=int, default=None, help="commands measured (default 300, quick 60)")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "node.json")
    parser.add_argument("--role", choices=ROLES, help=argparse.SUPPRESS)  # what a child process plays
    parser.add_argument("--cameras", type=int, default=1, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    samples = arguments.samples or (60 if arguments.quick else 300)
    if arguments.role:
        ROLES[arguments.role](arguments.cameras, samples)
        return
    runs = []
    for cameras in (1,) if arguments.quick else (1, 4):
        measured: dict[str, list[dict[str, list[float]]]] = {"node": [], "relay": []}
        for _ in range(ROUNDS):  # alternated: what else the machine does befalls both
            for role, times in measured.items():
                times.append(measure(role, cameras, samples // ROUNDS))
        runs.append({"cameras": cameras, **{role: summary(times) for role, times in measured.items()}})
        report(runs[-1])
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps({"samples": samples, "runs": runs}, indent=1) + "\n")
    print(f"written to {arguments.output}")


def measure(role: str, cameras: int, samples: int) -> dict[str, list[float]]:
    """Milliseconds of each command of one role, with the camera process beside it."""
    from act_inference_ros.demo.domain import private_domain

    command = [sys.executable, str(Path(__file__).resolve()), "--cameras", str(cameras), "--samples", str(samples)]
    with private_domain() as domain, tempfile.TemporaryDirectory() as logs:
        environment = os.environ | {
            "ROS_DOMAIN_ID": str(domain),
            "ROS_LOG_DIR": logs,
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            "FASTDDS_DEFAULT_PROFILES_FILE": str(ROOT / "config" / "fastdds.xml"),
        }
        publisher = subprocess.Popen([*command, "--role", "cameras"], env=environment)
        try:
            limit_s = 60 + (WARM_UP + samples) / IMAGE_RATE * 10
            done = subprocess.run(
                [*command, "--role", role], env=environment, check=True, stdout=subprocess.PIPE, timeout=limit_s
            )
        finally:
            publisher.kill()
            publisher.wait()
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
        """Note an image; of several cameras the last counts. Returns its sequence number."""
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

    class Nothing:
        spec = PolicySpec(CHUNK_SIZE, len(JOINTS), images=images, state_dim=len(JOINTS))
        source = "the benchmark"
        takes_jpeg = False
        reconnects = 0
        model_version = ""
        warm_up_s = 0.0

        def infer(self, inputs: Any, request_id: str = "") -> Any:
            began = time.perf_counter()
            first = next(inputs[image.key] for image in images)
            watch.sequence = int.from_bytes(first[0, 0].tobytes(), "little")
            watch.inference_s = time.perf_counter() - began
            return chunk

        def accept_policy(self, policy_id: str) -> None:
            pass

        def close(self) -> None:
            pass

    class TimedNode(policy_node.PolicyNode):
        def create_subscription(self, kind: Any, topic: str, callback: Any, *rest: Any, **options: Any) -> Any:
            def timed(message: Any, info: Any) -> None:
                watch.arrived(message, info["received_timestamp"])
                callback(message)

            return super().create_subscription(kind, topic, timed if kind is Image else callback, *rest, **options)

        def create_publisher(self, kind: Any, topic: str, *rest: Any, **options: Any) -> Any:
            publisher = super().create_publisher(kind, topic, *rest, **options)
            if topic == TOPIC:
                publish = publisher.publish
                publisher.publish = lambda message: (publish(message), watch.commanded())  # type: ignore[func-returns-value]  # None is as good
            return publisher

    client.BACKENDS["local"] = lambda _options: Nothing()  # type: ignore[index]
    policy_node.PolicyNode = TimedNode  # type: ignore[misc]
    parameters = {
        "mode": "local", "inference_rate": 1000.0, "fps": FPS, "max_age": 1.0, "state.topic": "/joint_states",
        "state.joints": JOINTS, "cameras": [f"cam{i}" for i in range(cameras)], "controllers": ["arm"],
        "controller.arm.topic": TOPIC, "controller.arm.joints": JOINTS,
        **{f"camera.cam{i}.topic": f"/cam{i}/image" for i in range(cameras)},
        **{f"joint.{joint}.{end}": limit for joint in JOINTS for end, limit in (("min", -3.0), ("max", 3.0))},
    }  # fmt: skip
    assignments = [part for name, value in parameters.items() for part in ("-p", f"{name}:={json.dumps(value)}")]
    sys.exit(policy_node.main(["--ros-args", "--log-level", "error", *assignments]))


def play_relay(cameras: int, samples: int) -> None:
    """The baseline."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from sensor_msgs.msg import Image
    from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

    from act_inference_ros.interfaces import duration
    from act_inference_ros.ros.messages import make_message
    from act_inference_ros.ros.policy.session import SENSOR_QOS

    rclpy.init()
    node = rclpy.create_node("relay")
    over = threading.Event()
    watch = Stopwatch(samples, on_done=over.set)
    publisher = node.create_publisher(JointTrajectory, TOPIC, 10)
    seen: dict[int, int] = {}

    kept: list[Any] = []

    def on_image(message: Any, info: Any) -> None:
        # Without this each image's memory goes back to the kernel and comes anew, which takes longer than all the rest.
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


def play_cameras(cameras: int, _samples: int) -> None:
    """Publish images, all cameras at once, and joint states until killed."""
    import rclpy
    from builtin_interfaces.msg import Time
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import Image, JointState
    from trajectory_msgs.msg import JointTrajectory

    rclpy.init()
    node = rclpy.create_node("cameras")
    images = [node.create_publisher(Image, f"/cam{i}/image", qos_profile_sensor_data) for i in range(cameras)]
    states = node.create_publisher(JointState, "/joint_states", qos_profile_sensor_data)
    # Somebody has to listen, else the node does not command; nobody spins, so nothing is taken.
    node.create_subscription(JointTrajectory, TOPIC, lambda _: None, 1)
    rest = np.random.default_rng(0).integers(0, 256, HEIGHT * WIDTH * 3 - 3, np.uint8).tobytes()

    def stamp() -> Any:
        sec, nanosec = divmod(time.time_ns(), 10**9)
        return Time(sec=sec, nanosec=nanosec)

    sequence, per_image = 0, round(STATE_RATE / IMAGE_RATE)
    due = time.monotonic()
    while True:
        for _ in range(per_image):
            state = JointState(name=JOINTS, position=[0.0] * len(JOINTS))
            state.header.stamp = stamp()
            states.publish(state)
            due += 1.0 / IMAGE_RATE / per_image
            time.sleep(max(0.0, due - time.monotonic()))
        sequence += 1
        for publisher in images:
            image = Image(encoding="rgb8", height=HEIGHT, width=WIDTH, step=3 * WIDTH)
            image.data = sequence.to_bytes(3, "little") + rest
            image.header.stamp = stamp()
            publisher.publish(image)


ROLES = {"node": play_node, "relay": play_relay, "cameras": play_cameras}

if __name__ == "__main__":
    main()
