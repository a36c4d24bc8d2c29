"""From a plan to the simulated arm: for each controller of the parameter file, its commands and what they make it do.

Commands come from the node's own commanders; the controllers are the simulated robot's.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from act_inference_ros.configuration import Controller, RobotConfiguration
from act_inference_ros.control.commander import Command, Commander, StreamCommander, TrajectoryCommander
from act_inference_ros.control.timeline import ActionTimeline
from act_inference_ros.evaluation.episode_messages import (
    NANOSECONDS,
    Float64MultiArray,
    JointState,
    JointTrajectory,
    header,
    trajectory_message,
)
from act_inference_ros.simulation.controllers import PositionController
from act_inference_ros.simulation.trajectory import Trajectory, TrajectoryPoint
from act_inference_ros.simulation.trajectory_controller import TrajectoryController

Floats = npt.NDArray[np.float64]
CommandMessage = JointTrajectory | Float64MultiArray | JointState


class ControlledJoints:
    """One controller: takes the plan, gives commands, and moves its joints as they say. Positions in ROS units."""

    def __init__(self, controller: Controller, configuration: RobotConfiguration, start: Mapping[str, float]) -> None:
        self.topic = controller.topic
        self.joints = controller.joints
        self._interface = controller.interface
        self._sent: list[Command] = []
        kind = TrajectoryCommander if controller.interface == "joint_trajectory" else StreamCommander
        self._commander: Commander = kind(
            controller.joints,
            configuration.action,
            controller.lead_s,
            configuration.command_rate,
            send=self._sent.append,
        )
        self._trajectories = TrajectoryController(controller.joints)
        self._stream = PositionController(controller.joints)
        for actuator in (self._trajectories, self._stream):
            actuator.hold([start[name] for name in self.joints])

    @property
    def streams(self) -> bool:
        """Wants `follow` at every step, else once per chunk."""
        return self._commander.streams

    @property
    def clamped(self) -> int:
        """Targets that a limit changed."""
        return self._commander.clamped

    def follow(self, timeline: ActionTimeline, now: float, measured: Mapping[str, float]) -> CommandMessage | None:
        """Command the plan: a trajectory for each chunk, or one target per call. Returns what was sent."""
        self._commander.follow(timeline, now, measured)
        if not self._sent:
            return None
        command = self._sent.pop()
        return self._stream_on(command) if self.streams else self._execute_trajectory(command, now, measured)

    def target(self, now: float) -> Floats:
        """Where the controller wants its joints now, (joints,)."""
        return (self._stream if self.streams else self._trajectories).sample(now)

    def _stream_on(self, command: Command) -> CommandMessage:
        position = command.positions[0]
        self._stream.command(position.tolist())
        if self._interface == "joint_state":
            return JointState(header(round(command.stamp * NANOSECONDS)), list(self.joints), position)
        return Float64MultiArray(position)

    def _execute_trajectory(self, command: Command, now: float, measured: Mapping[str, float]) -> JointTrajectory:
        times = command.times - command.stamp
        points = [TrajectoryPoint(at, tuple(row)) for at, row in zip(times.tolist(), command.positions, strict=True)]
        at_rest = TrajectoryPoint(points[-1].time_from_start_s, points[-1].positions, (0.0,) * len(self.joints))
        trajectory = Trajectory(self.joints, command.stamp, (*points[:-1], at_rest))
        position = np.array([measured[name] for name in self.joints])
        refusal = self._trajectories.command(trajectory, now, position, None)
        if refusal is not None:
            raise AssertionError(f"{self.topic}: a trajectory made by the rules was refused: {refusal}")
        return trajectory_message(self.joints, times, command.positions, round(command.stamp * NANOSECONDS))
