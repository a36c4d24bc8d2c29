"""The simulated robot's command topics and the controllers behind them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from act_inference_ros.simulation.controllers import Controller, NamedPositionController, PositionController
from act_inference_ros.simulation.trajectory import Trajectory, TrajectoryPoint
from act_inference_ros.simulation.trajectory_controller import TrajectoryController

ARM_JOINTS = ("pan", "shoulder", "elbow", "wrist", "roll")
GRIPPER_JOINTS = ("grip",)
CONTROLLERS = {"arm_controller": ARM_JOINTS, "gripper_controller": GRIPPER_JOINTS}
ALL_JOINTS = (*ARM_JOINTS, *GRIPPER_JOINTS)
JOINT_COMMAND_TOPIC = "/joint_commands"
TRAJECTORY_TOPIC = "joint_trajectory"
POSITIONS_TOPIC = "commands"

_NANOSECONDS = 1_000_000_000
_LOG_PERIOD_S = 1.0
_QUEUE_LENGTH = 100

_Command = tuple[int, Callable[[float, npt.NDArray[np.float64], npt.NDArray[np.float64]], str | None]]


class CommandInput:
    """Subscribes the command topics of one interface and applies what comes when the simulation asks.

    Callbacks run in the executor's thread and only queue; everything else is for the simulation's thread.
    """

    def __init__(self, node: Node, interface: str, now_ns: Callable[[], int], *, from_last_command: bool) -> None:
        self.topics: list[str] = []
        self.refused_count = 0
        self.stale_count = 0
        self._logger = node.get_logger()
        self._now_ns = now_ns
        self._controllers: list[Controller] = []
        # A deque's append and popleft are atomic, so the two threads need no lock.
        self._queue: deque[_Command] = deque(maxlen=_QUEUE_LENGTH)
        self._accept_after_ns: int | None = None
        if interface == "joint_state":
            self._subscribe_joint_state(node)
        else:
            for name, joints in CONTROLLERS.items():
                if interface == "joint_trajectory":
                    self._subscribe_trajectory(node, name, joints, from_last_command)
                else:
                    self._subscribe_positions(node, name, joints)

    def close(self, positions: npt.NDArray[np.float32]) -> None:
        """Hold `positions` (6,) and take no command until `open`."""
        self._accept_after_ns = None
        for controller, own in self._parts():
            controller.hold(positions[own].astype(np.float64))

    def open(self, accept_after_ns: int) -> None:
        """Take commands again, except those stamped (without a stamp: received) before `accept_after_ns`."""
        self._accept_after_ns = accept_after_ns

    def apply(self, now_s: float, positions: npt.NDArray[np.float32], velocities: npt.NDArray[np.float32]) -> int:
        """Give every waiting command to its controller; the measured state is (6,). Returns how many were accepted."""
        accepted = 0
        while self._queue:
            time_ns, command = self._queue.popleft()
            if self._accept_after_ns is None or time_ns < self._accept_after_ns:
                self.stale_count += 1
                continue
            reason = command(now_s, positions.astype(np.float64), velocities.astype(np.float64))
            if reason is None:
                accepted += 1
            else:
                self.refused_count += 1
                self._logger.warning(f"command refused: {reason}", throttle_duration_sec=_LOG_PERIOD_S)
        return accepted

    def target(self, now_s: float) -> npt.NDArray[np.float64]:
        """Targets (6,) of all joints at `now_s`."""
        return np.concatenate([controller.sample(now_s) for controller in self._controllers])

    def _parts(self) -> list[tuple[Controller, slice]]:
        parts, start = [], 0
        for controller in self._controllers:
            parts.append((controller, slice(start, start + len(controller.joints))))
            start += len(controller.joints)
        return parts

    def _enqueue(self, stamp_ns: int, command: Callable[..., str | None]) -> None:
        self._queue.append((stamp_ns or self._now_ns(), command))

    def _subscribe_trajectory(self, node: Node, name: str, joints: tuple[str, ...], from_last_command: bool) -> None:
        controller = TrajectoryController(joints, from_last_command=from_last_command)
        _, own = self._add(controller)
        topic = f"/{name}/{TRAJECTORY_TOPIC}"

        def receive(message: JointTrajectory) -> None:
            trajectory = trajectory_from_message(message)
            self._enqueue(
                _nanoseconds(message.header.stamp),
                lambda now_s, positions, velocities: _named(
                    topic, controller.command(trajectory, now_s, positions[own], velocities[own])
                ),
            )

        self.topics.append(topic)
        node.create_subscription(JointTrajectory, topic, receive, 10)

    def _subscribe_positions(self, node: Node, name: str, joints: tuple[str, ...]) -> None:
        controller = PositionController(joints)
        self._add(controller)
        topic = f"/{name}/{POSITIONS_TOPIC}"

        def receive(message: Float64MultiArray) -> None:
            values = list(message.data)
            self._enqueue(0, lambda *_: _named(topic, controller.command(values)))

        self.topics.append(topic)
        node.create_subscription(Float64MultiArray, topic, receive, 10)

    def _subscribe_joint_state(self, node: Node) -> None:
        controller = NamedPositionController(ALL_JOINTS)
        self._add(controller)

        def receive(message: JointState) -> None:
            names, values = list(message.name), list(message.position)
            self._enqueue(
                _nanoseconds(message.header.stamp),
                lambda *_: _named(JOINT_COMMAND_TOPIC, controller.command_named(names, values)),
            )

        self.topics.append(JOINT_COMMAND_TOPIC)
        node.create_subscription(JointState, JOINT_COMMAND_TOPIC, receive, 10)

    def _add(self, controller: Controller) -> tuple[Controller, slice]:
        self._controllers.append(controller)
        return self._parts()[-1]


def trajectory_from_message(message: JointTrajectory) -> Trajectory:
    """The trajectory in a trajectory_msgs/JointTrajectory, unchecked."""
    points = tuple(
        TrajectoryPoint(
            time_from_start_s=_nanoseconds(point.time_from_start) / _NANOSECONDS,
            positions=tuple(point.positions),
            velocities=tuple(point.velocities),
            accelerations=tuple(point.accelerations),
            effort=tuple(point.effort),
        )
        for point in message.points
    )
    return Trajectory(tuple(message.joint_names), _nanoseconds(message.header.stamp) / _NANOSECONDS, points)


def _named(topic: str, reason: str | None) -> str | None:
    return None if reason is None else f"{topic}: {reason}"


def _nanoseconds(time: object) -> int:
    """Of a builtin_interfaces Time or Duration."""
    return int(time.sec) * _NANOSECONDS + int(time.nanosec)  # type: ignore[attr-defined]  # messages are untyped
