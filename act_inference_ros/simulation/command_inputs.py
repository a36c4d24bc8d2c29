"""The demo robot's controllers, one row for each interface with a topic: their topics, and how they use a message.

Messages are read by their fields, so that it does not matter whether they came over ROS or from this process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.interfaces import ACTIONS, COMMAND_INTERFACES, seconds
from act_inference_ros.simulation.controllers import (
    NamedPositionController,
    PositionController,
    SimulatedController,
    Vector,
)
from act_inference_ros.simulation.trajectory import Trajectory, TrajectoryPoint
from act_inference_ros.simulation.trajectory_controller import JAZZY, Distro, TrajectoryController

ARM_JOINTS = ("pan", "shoulder", "elbow", "wrist", "roll")
GRIPPER_JOINTS = ("grip",)
ALL_JOINTS = (*ARM_JOINTS, *GRIPPER_JOINTS)
DEMO_CONTROLLERS = {"arm_controller": ARM_JOINTS, "gripper_controller": GRIPPER_JOINTS}
"""SimulatedController of the demo robot -> its joints."""

Row = TypeVar("Row")

Take: TypeAlias = Callable[[Any, float, Vector, Vector], "str | None"]
"""Message, time in s, measured positions and velocities (joints,) -> None, or why the controller refuses it."""


Target: TypeAlias = Callable[[float, Vector, Vector], Vector]
"""Time in s, measured positions and velocities (joints,) -> the positions (joints,) to go to now."""


@dataclass(frozen=True)
class CommandInput:
    """A controller of the demo robot, `take`, which gives it a message of its interface, and what it wants: `target`.

    Call `target` once in each period of the control loop.
    """

    controller: SimulatedController
    take: Take
    target: Target


@dataclass(frozen=True)
class ControllerOptions:
    """How the demo robot's controllers are set up; only a trajectory controller cares.

    `from_last_command`: a new trajectory starts at the last target instead of the measured state. With `period_s`, s,
    the controller takes a message with the next period of its control loop, as the real one does; without it, at once.
    """

    from_last_command: bool = False
    distro: Distro = JAZZY
    period_s: float | None = None


DEFAULTS = ControllerOptions()


def command_input(interface: str, joints: tuple[str, ...], options: ControllerOptions = DEFAULTS) -> CommandInput:
    """Make the controller that listens to `interface` for `joints`.

    Raises ConfigurationError for an interface that the demo robot does not have.
    """
    return _row(_INPUTS, interface)(joints, options)


def demo_topic(interface: str, controller: str) -> str:
    """Return the topic on which a controller of the demo robot listens.

    Raises ConfigurationError for an interface that the demo robot does not have.
    """
    return _row(_TOPICS, interface).format(controller=controller)


def trajectory_from_message(message: Any) -> Trajectory:
    """Return the trajectory in a trajectory_msgs/JointTrajectory, unchecked: the controller judges it."""
    points = tuple(
        TrajectoryPoint(
            time_from_start_s=seconds(point.time_from_start),
            positions=tuple(point.positions),
            velocities=tuple(point.velocities),
            accelerations=tuple(point.accelerations),
            effort=tuple(point.effort),
        )
        for point in message.points
    )
    return Trajectory(tuple(message.joint_names), seconds(message.header.stamp), points)


def _trajectory_input(joints: tuple[str, ...], options: ControllerOptions) -> CommandInput:
    period_s = options.period_s or 0.0
    controller = TrajectoryController(
        joints, distro=options.distro, from_last_command=options.from_last_command, period_s=period_s
    )

    def take(message: Any, now_s: float, positions: Vector, velocities: Vector) -> str | None:
        trajectory = trajectory_from_message(message)
        if period_s:
            return controller.receive(trajectory, now_s)
        return controller.command(trajectory, now_s, positions, velocities)

    return CommandInput(controller, take, controller.update if period_s else _sampled(controller))


def _position_input(joints: tuple[str, ...], _: ControllerOptions) -> CommandInput:
    controller = PositionController(joints)
    return CommandInput(controller, lambda message, *_: controller.command(list(message.data)), _sampled(controller))


def _named_input(joints: tuple[str, ...], _: ControllerOptions) -> CommandInput:
    controller = NamedPositionController(joints)

    def take(message: Any, *_: Any) -> str | None:
        return controller.command_named(list(message.name), list(message.position))

    return CommandInput(controller, take, _sampled(controller))


def _sampled(controller: SimulatedController) -> Target:
    return lambda now_s, *_: controller.sample(now_s)


_INPUTS: Mapping[str, Callable[[tuple[str, ...], ControllerOptions], CommandInput]] = {
    "joint_trajectory": _trajectory_input,
    "position_stream": _position_input,
    "joint_state": _named_input,
}
_TOPICS = {
    "joint_trajectory": "{controller}/joint_trajectory",
    "position_stream": "{controller}/commands",
    "joint_state": "{controller}/joint_commands",
}
DEMO_INTERFACES = tuple(_INPUTS)
"""The interfaces of the demo robot. It has no action servers."""
for _table in (_INPUTS, _TOPICS):
    assert set(_table) == set(COMMAND_INTERFACES) - set(ACTIONS), "every interface with a topic has a row"  # noqa: S101


def _row(table: Mapping[str, Row], interface: str) -> Row:
    if interface not in table:
        raise ConfigurationError(
            f"interface {interface}: the demo robot does not have it; it listens to {', '.join(table)}"
        )
    return table[interface]
