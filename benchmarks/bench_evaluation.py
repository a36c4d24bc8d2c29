"""How fast bags are evaluated, inference left out, and in how much memory, however long the bag.

One raw 640x480 camera at 30 Hz, joint states at 100 Hz, a joint_trajectory command per image, 10 chunks of 50 steps a
second from a policy that answers at once. The long bag is message-compressed, so that it fits on a disk.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from act_inference_ros.evaluation.bags.bag_evaluation import evaluate_bags
from act_inference_ros.evaluation.results import RunSettings
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.spec import ImageSpec, PolicySpec
from test.evaluation import bags

FPS, HEIGHT, WIDTH, CHUNK_SIZE = 30.0, 480, 640, 50


class InstantBackend:
    source = "benchmark"
    takes_jpeg = False
    reconnects: int  # nobody asks for these two here
    model_version = ""
    warm_up_s: float
    spec = PolicySpec(CHUNK_SIZE, 3, (ImageSpec("observation.images.top", HEIGHT, WIDTH),), state_dim=3)

    def infer(self, inputs: Mapping[str, Any], request_id: str = "") -> npt.NDArray[Any]:
        return np.tile(inputs["observation.state"], (CHUNK_SIZE, 1))

    def accept_policy(self, policy_id: str) -> None:
        pass

    def close(self) -> None:
        pass


def robot() -> RobotConfiguration:
    arm = {"interface": "joint_trajectory", "joints": ["pan", "lift"]}
    return bags.configuration(
        fps=FPS, inference_rate=10.0, **{f"controller.arm.{key}": value for key, value in arm.items()}
    )


def write(path: Path, seconds: float, storage: StoragePlugin, mode: CompressionMode) -> None:
    """Every image is serialized once; only its stamp differs."""
    types = bags.TYPES
    writer = Writer(path, version=9, storage_plugin=storage)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    kinds = {
        "/top/image_raw": "sensor_msgs/msg/Image",
        "/joint_states": "sensor_msgs/msg/JointState",
        "/arm/joint_trajectory": "trajectory_msgs/msg/JointTrajectory",
        "/gripper/commands": "std_msgs/msg/Float64MultiArray",
    }
    with writer:
        topics = {topic: writer.add_connection(topic, kind, typestore=types) for topic, kind in kinds.items()}

        def put(topic: str, now: float, message: Any) -> None:
            writer.write(topics[topic], round(now * 1e9), types.serialize_cdr(message, kinds[topic]))

        picture = bytearray(types.serialize_cdr(bags.image(0, 1.0, HEIGHT, WIDTH), kinds["/top/image_raw"]))
        for step in range(round(seconds * FPS)):
            now = bags.START_S + step / FPS
            for i in range(3):
                t = now + i / (3 * FPS)
                put("/joint_states", t, bags.joint_state(bags.JOINTS, bags.motion([t])[0], t))
            row = bags.motion([now + 0.1])[0]
            put("/arm/joint_trajectory", now, bags.trajectory(["pan", "lift"], [0.1], [row[:2]], 0.0))
            put("/gripper/commands", now, bags.float_array(row[2:]))
            picture[4:12] = np.array([int(now), round(now % 1 * 1e9)], dtype="<u4").tobytes()  # the header's stamp
            writer.write(topics["/top/image_raw"], round(now * 1e9), bytes(picture))


def measure(path: Path) -> dict[str, float]:
    """In a process of its own, on one core, so that its peak memory is its own."""
    pid = os.fork()
    if pid == 0:
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})
        started, cpu = time.perf_counter(), time.process_time()
        result = evaluate_bags([path], robot(), InferenceClient(InstantBackend()), RunSettings("benchmark", ""))
        episode = result.episodes[0]
        figures: dict[str, Any] = {
            "bag_s": episode.duration_s,
            "status": episode.status,
            "chunks": episode.metrics.chunks,
            "wall_s": time.perf_counter() - started,
            "cpu_s": time.process_time() - cpu,
            "peak_resident_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
        figures["times_real_time_wall"] = figures["bag_s"] / figures["wall_s"]
        figures["times_real_time_cpu"] = figures["bag_s"] / figures["cpu_s"]
        (path.parent / "figures.json").write_text(json.dumps(figures))
        os._exit(0)
    os.waitpid(pid, 0)
    return json.loads((path.parent / "figures.json").read_text())  # type: ignore[no-any-return]  # JSON


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the uncompressed bags (default: 30)")
    parser.add_argument("--long", type=float, default=600.0, help="length of the long bag, 0 for none (default: 600)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "evaluation.json")
    options = parser.parse_args()
    cases = {
        "sqlite3": (options.seconds, StoragePlugin.SQLITE3, CompressionMode.NONE),
        "mcap": (options.seconds, StoragePlugin.MCAP, CompressionMode.NONE),
        "mcap zstd, long": (options.long, StoragePlugin.MCAP, CompressionMode.MESSAGE),
    }
    results = {}
    for name, (seconds, storage, mode) in cases.items():
        if seconds <= 0.0:
            continue
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "bag"
            write(path, seconds, storage, mode)
            results[name] = measure(path)
        print(name, json.dumps(results[name]), flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
