"""From safe targets to messages: what a commander sends, as the message of its controller's interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from builtin_interfaces.msg import Duration, Time
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from act_inference_ros.control.commander import Command, Commander, StreamCommander, TrajectoryCommander
from act_inference_ros.robot.configuration import Controller, RobotConfiguration

MESSAGE_TYPES = {
    "joint_trajectory": JointTrajectory,
    "position_stream": Float64MultiArray,
    "joint_state": JointState,
}


class Publisher(Protocol):
    """What a commander needs of rclpy's publisher."""

    def publish(self, msg: Any) -> None:
        """Send a message."""


def make_commander(controller: Controller, configuration: RobotConfiguration, publisher: Publisher) -> Commander:
    """Return the commander for the controller's interface, which publishes what it commands."""
    kind = TrajectoryCommander if controller.interface == "joint_trajectory" else StreamCommander
    to_message = _TO_MESSAGE[controller.interface]

    def publish(command: Command) -> None:
        publisher.publish(to_message(controller.joints, command))

    return kind(controller.joints, configuration.action, controller.lead_s, configuration.command_rate, send=publish)


def _trajectory(joints: Sequence[str], command: Command) -> JointTrajectory:
    message = JointTrajectory(joint_names=list(joints))
    message.header.stamp = stamp_message(command.stamp)
    message.points = [
        JointTrajectoryPoint(positions=row, time_from_start=duration_message(time - command.stamp))
        for time, row in zip(command.times.tolist(), command.positions.tolist(), strict=True)
    ]
    # A controller refuses a trajectory that ends in motion.
    message.points[-1].velocities = [0.0] * len(joints)
    return message


def _joint_state(joints: Sequence[str], command: Command) -> JointState:
    message = JointState(name=list(joints), position=command.positions[0].tolist())
    message.header.stamp = stamp_message(command.stamp)
    return message


def _array(_joints: Sequence[str], command: Command) -> Float64MultiArray:
    return Float64MultiArray(data=command.positions[0].tolist())


_TO_MESSAGE = {"joint_trajectory": _trajectory, "position_stream": _array, "joint_state": _joint_state}


def stamp_message(time: float) -> Time:
    """Seconds since the clock's epoch as a message."""
    sec, nanosec = divmod(round(time * 1e9), 1_000_000_000)
    return Time(sec=sec, nanosec=nanosec)


def duration_message(seconds: float) -> Duration:
    """A non-negative time span in seconds as a message."""
    sec, nanosec = divmod(round(seconds * 1e9), 1_000_000_000)
    return Duration(sec=sec, nanosec=nanosec)
