"""What a benchmark of the node needs around it: a DDS domain of its own, and a process that plays cameras and joints.

`python -m benchmarks.robot_stand` is that process: 640x480 rgb8 images at 30 Hz, all cameras at once, and joint states
at 100 Hz. Its joints stay where they are.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from act_inference_ros.program.processes import ManagedProcess
from act_inference_ros.program.signals import StopSignals
from benchmarks.standard_act import HEIGHT, WIDTH

ROOT = Path(__file__).resolve().parents[1]

IMAGE_RATE, STATE_RATE = 30.0, 100.0
COMMAND_TOPIC = "/arm/command"


@contextlib.contextmanager
def running_robot(cameras: int, joints: int, listens: bool) -> Iterator[dict[str, str]]:
    """Start the robot; gives the environment in which a node meets it.

    Where it `listens`, it subscribes to trajectories on COMMAND_TOPIC: without a listener the node commands nothing.
    """
    options = ["--cameras", str(cameras), "--joints", str(joints), *(["--listens"] if listens else [])]
    with (
        private_environment() as environment,
        ManagedProcess.module("benchmarks.robot_stand", options, environment, log=None),
    ):
        yield environment


@contextlib.contextmanager
def private_environment() -> Iterator[dict[str, str]]:
    """The environment for nodes that shall meet each other and no others."""
    from act_inference_ros.demo.domain import private_domain

    with private_domain() as domain, tempfile.TemporaryDirectory() as logs:
        yield os.environ | {
            "ROS_DOMAIN_ID": str(domain),
            "ROS_LOG_DIR": logs,
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            "FASTDDS_DEFAULT_PROFILES_FILE": str(ROOT / "config" / "fastdds.xml"),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])),
        }


def joint_names(joints: int) -> list[str]:
    return [f"joint{i}" for i in range(joints)]


def node_parameters(cameras: int, joints: int, **changes: Any) -> dict[str, Any]:
    """Parameters of policy_node for this robot; `__` in a name of `changes` stands for a dot."""
    names = joint_names(joints)
    parameters: dict[str, Any] = {
        "mode": "local", "inference_rate": 1000.0, "max_age": 1.0, "state.topic": "/joint_states",
        "state.joints": names, "cameras": [f"cam{i}" for i in range(cameras)], "controllers": ["arm"],
        "controller.arm.topic": COMMAND_TOPIC, "controller.arm.joints": names,
        **{f"camera.cam{i}.topic": f"/cam{i}/image" for i in range(cameras)},
        **{f"joint.{joint}.{end}": limit for joint in names for end, limit in (("min", -3.0), ("max", 3.0))},
    }  # fmt: skip
    return parameters | {name.replace("__", "."): value for name, value in changes.items()}


def node_arguments(parameters: Mapping[str, Any]) -> list[str]:
    """The node's command line for these parameters."""
    texts = {name: json.dumps(value).replace("Infinity", ".inf") for name, value in parameters.items()}  # YAML's word
    assignments = [part for name, text in texts.items() for part in ("-p", f"{name}:={text}")]
    return ["--ros-args", "--log-level", "error", *assignments]


def play(cameras: int, joints: int, listens: bool) -> None:
    """Publish images and joint states until told to end."""
    import rclpy
    from builtin_interfaces.msg import Time
    from rclpy.qos import QoSProfile, qos_profile_sensor_data
    from rclpy.signals import SignalHandlerOptions
    from sensor_msgs.msg import Image, JointState
    from trajectory_msgs.msg import JointTrajectory

    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("robot")
    images = [node.create_publisher(Image, f"/cam{i}/image", qos_profile_sensor_data) for i in range(cameras)]
    states = node.create_publisher(JointState, "/joint_states", QoSProfile(depth=10))  # reliable, as broadcasters do
    if listens:  # nobody spins, so nothing is taken
        node.create_subscription(JointTrajectory, COMMAND_TOPIC, lambda _: None, 1)
    rest = np.random.default_rng(0).integers(0, 256, HEIGHT * WIDTH * 3 - 3, np.uint8).tobytes()
    names = joint_names(joints)

    def stamp() -> Any:
        sec, nanosec = divmod(time.time_ns(), 10**9)
        return Time(sec=sec, nanosec=nanosec)

    stop = StopSignals()
    sequence, per_image = 0, round(STATE_RATE / IMAGE_RATE)
    due = time.monotonic()
    while not stop.given:
        for _ in range(per_image):
            state = JointState(name=names, position=[0.0] * joints)
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
    node.destroy_node()
    rclpy.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cameras", type=int, default=1)
    parser.add_argument("--joints", type=int, default=7)
    parser.add_argument("--listens", action="store_true", help=f"subscribe to {COMMAND_TOPIC}")
    arguments = parser.parse_args()
    play(arguments.cameras, arguments.joints, arguments.listens)


if __name__ == "__main__":
    main()
