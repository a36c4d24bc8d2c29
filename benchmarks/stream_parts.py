"""The other processes of bench_stream, started by it as `python -m benchmarks.stream_parts ROLE CAMERAS SECONDS`.

`idle` is the real policy_node with a policy that computes nothing; `receiver` is what receives the stream.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from act_inference_ros.interfaces import NANOSECONDS
from benchmarks.instant_policy import InstantPolicy
from benchmarks.robot_stand import COMMAND_TOPIC, node_arguments, node_parameters
from benchmarks.standard_act import ACTION_DIM, HEIGHT, WIDTH

RATE = 100.0
WARM_UP_S = 2.0
CHUNK_SIZE = 100
IDLE_RATE = 5.0
"""Chunks per second of the policy that computes nothing: about as many as a real one makes."""


def stream_parameters(cameras: int, **changes: Any) -> dict[str, Any]:
    """Parameters of the node.

    The arm does not follow, and an inference may take seconds on a busy machine; neither may stop the stream.
    """
    parameters = node_parameters(
        cameras,
        ACTION_DIM,
        controller__arm__interface="position_stream",
        command_rate=RATE,
        max_plan_age=30.0,
        coast_time=10.0,
        **changes,
    )
    return parameters | {f"joint.{joint}.max_deviation": float("inf") for joint in parameters["state.joints"]}


def idle(cameras: int, _seconds: float) -> int:
    from act_inference_ros.inference import client
    from act_inference_ros.ros.policy import policy_node
    from act_inference_ros.spec import ImageSpec, PolicySpec

    images = tuple(ImageSpec(f"observation.images.cam{i}", HEIGHT, WIDTH) for i in range(cameras))
    spec = PolicySpec(CHUNK_SIZE, ACTION_DIM, images=images, state_dim=ACTION_DIM)
    chunk = np.full((CHUNK_SIZE, ACTION_DIM), 0.45, np.float32)
    client.BACKENDS["local"] = lambda _options: InstantPolicy(spec, lambda _inputs: chunk)  # type: ignore[index]
    return policy_node.main(node_arguments(stream_parameters(cameras, inference_rate=IDLE_RATE)))


def receiver(_cameras: int, seconds: float) -> int:
    """Print when each command was written and received, ns, from WARM_UP_S after the first on, as one line of JSON.

    Also `chunks`: when each chunk was written, and the time of its observation, ns, those of the warm-up too.
    """
    import rclpy
    from diagnostic_msgs.msg import DiagnosticStatus
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
    from rclpy.qos import QoSProfile
    from std_msgs.msg import Float64MultiArray
    from trajectory_msgs.msg import JointTrajectory

    from act_inference_ros.ros.policy.status import STATUS_QOS

    rclpy.init()
    node = rclpy.create_node("receiver")
    published: list[int] = []
    received: list[int] = []
    chunks: list[tuple[int, int]] = []
    chunk_count = 0
    states: set[str] = set()
    begins = ends = float("inf")

    def on_command(_message: bytes, info: Mapping[str, int]) -> None:
        nonlocal begins, ends
        now = time.monotonic()
        if ends == float("inf"):
            begins, ends = now + WARM_UP_S, now + WARM_UP_S + seconds
        if now >= begins:
            published.append(info["source_timestamp"])
            received.append(info["received_timestamp"])

    def on_chunk(message: JointTrajectory, info: Mapping[str, int]) -> None:
        nonlocal chunk_count
        chunk_count += time.monotonic() >= begins
        stamp = message.header.stamp
        chunks.append((info["source_timestamp"], stamp.sec * NANOSECONDS + stamp.nanosec))

    def on_status(message: DiagnosticStatus) -> None:
        if time.monotonic() >= begins:
            states.add(message.message)
        else:  # explains to the user why it never commands
            reason = next((value.value for value in message.values if value.key == "reason"), "")
            print(f"{message.message} {reason}", file=sys.stderr, flush=True)

    # Commands are counted without decoding, so that the receiver uses little processor time.
    node.create_subscription(Float64MultiArray, COMMAND_TOPIC, on_command, QoSProfile(depth=1000), raw=True)
    node.create_subscription(JointTrajectory, "/policy_node/action_chunk", on_chunk, QoSProfile(depth=10))
    node.create_subscription(DiagnosticStatus, "/policy_node/status", on_status, STATUS_QOS)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while time.monotonic() < ends:
            executor.spin_once(timeout_sec=0.5)
    except (KeyboardInterrupt, ExternalShutdownException):
        return 1
    noted = {"published": published, "received": received, "chunks": chunks, "chunks_per_s": chunk_count / seconds}
    print(json.dumps({**noted, "states": sorted(states)}), flush=True)
    node.destroy_node()
    rclpy.shutdown()
    return 0


ROLES = {"idle": idle, "receiver": receiver}


def main() -> int:
    role, cameras, seconds = sys.argv[1:]
    return ROLES[role](int(cameras), float(seconds))


if __name__ == "__main__":
    sys.exit(main())
