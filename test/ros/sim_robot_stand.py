"""The simulated robot in a process of its own, and what its tests say to it and see of it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Duration, Time
from rclpy.qos import DurabilityPolicy, QoSProfile
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from test.ros.ros_helpers import NodeProcess

ARM = ["pan", "shoulder", "elbow", "wrist", "roll"]
ARM_TOPIC = "/arm_controller/joint_trajectory"
GRIPPER_TOPIC = "/gripper_controller/joint_trajectory"
GOAL = [0.6, -0.8, 1.4, 1.5, 0.4]
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
KEPT = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
TOLERANCE = {"grip": 0.005}

StartRobot = Callable[..., NodeProcess]


@pytest.fixture
def start_robot(tmp_path: Path, environment: dict[str, str]) -> Iterator[StartRobot]:
    running: list[NodeProcess] = []

    def start(**parameters: object) -> NodeProcess:
        arguments = ["--ros-args"]
        for name, value in parameters.items():
            arguments += ["-p", f"{name}:={str(value).lower() if isinstance(value, bool) else value}"]
        robot = NodeProcess.module(
            "act_inference_ros.ros.sim.sim_robot",
            *arguments,
            environment=environment,
            output=tmp_path / f"sim_robot_{len(running)}.txt",
        )
        robot.__enter__()
        running.append(robot)
        robot.wait_for_line("listening to")
        return robot

    yield start
    for robot in running:
        robot.__exit__(None, None, None)


def trajectory(joints: list[str], *points: list[float], step_s: float = 0.3, stamp: Time | None = None) -> Any:
    """Points `step_s` apart, from `step_s` after the stamp on; without a stamp, from now."""
    message = JointTrajectory(joint_names=joints)
    message.header.stamp = stamp or Time()
    for index, positions in enumerate(points):
        nanoseconds = round((index + 1) * step_s * 1e9)
        duration = Duration(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)
        message.points.append(JointTrajectoryPoint(positions=positions, time_from_start=duration))
    return message


def positions_of(joint_state: Any, joints: list[str]) -> list[float]:
    by_name = dict(zip(joint_state.name, joint_state.position, strict=True))
    return [by_name[joint] for joint in joints]


def is_at(states: list[Any], joints: list[str], goal: list[float]) -> bool:
    tolerance = [TOLERANCE.get(joint, 0.06) for joint in joints]
    return bool(states) and bool((np.abs(np.subtract(positions_of(states[-1], joints), goal)) < tolerance).all())
