"""From a plan to the simulated arm: for each controller of the parameter file, its commands and what they make it do.

The plan goes through the node's own timeline, limiter and motion; the rules of when to send what are those of the
node's commanders.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from act_inference_ros.configuration import Controller, RobotConfiguration
from act_inference_ros.control.limits import TargetLimiter
from act_inference_ros.control.motion import CommandedMotion
from act_inference_ros.control.timeline import ActionTimeline
from act_inference_ros.evaluation.episode_messages import (
    NANOSECONDS,
    Float64MultiArray,
    JointState,
    JointTrajectory,
    header,
    trajectory_message,
)
from act_inference_ros.simulation.controllers import (
    PositionController,
    Trajectory,
    TrajectoryController,
    TrajectoryPoint,
)

Floats = npt.NDArray[np.float64]
Command = JointTrajectory | Float64MultiArray | JointState

SHORTEST_STEP_S = 1e-6
"""A trajectory's first point lies at least this long after its stamp."""


class ControlledJoints:
    """One controller: takes the plan, gives commands, and moves its joints as they say. Positions in ROS units.

    `clamped` counts targets that a limit changed.
    """

    def __init__(self, controller: Controller, configuration: RobotConfiguration, start: Mapping[str, float]) -> None:
        self.topic = controller.topic
        self.joints = controller.joints
        self.streams = controller.interface != "joint_trajectory"
        self.clamped = 0
        self._interface = controller.interface
        self._lead_s = controller.lead_s
        self._command_rate = configuration.command_rate
        self._action = configuration.action
        self._columns = configuration.action.indices(controller.joints)
        self._limiter = TargetLimiter([configuration.action.joints[column] for column in self._columns])
        self._motion = CommandedMotion()
        self._trajectories = TrajectoryController(controller.joints)
        self._stream = PositionController(controller.joints)
        for actuator in (self._trajectories, self._stream):
            actuator.hold([start[name] for name in self.joints])

    def follow(self, timeline: ActionTimeline, now: float, measured: Mapping[str, float]) -> Command | None:
        """Command the plan: a trajectory for each chunk, or one target per call. Returns what was sent."""
        if self.streams:
            return self._follow_stream(timeline, now, measured)
        stamp = now + self._lead_s
        times, actions = timeline.between(stamp, stamp + timeline.horizon(stamp))
        ahead = times > stamp + SHORTEST_STEP_S
        if np.count_nonzero(ahead) < 2:
            return None
        start = self._start(stamp, measured)
        positions = self._limited(times[ahead], actions[ahead], stamp, start)
        self._motion.set(np.r_[stamp, times[ahead]], np.vstack([start, positions]))
        return self._execute_trajectory(stamp, times[ahead] - stamp, positions, now, measured)

    def target(self, now: float) -> Floats:
        """Where the controller wants its joints now, (joints,)."""
        return (self._stream if self.streams else self._trajectories).sample(now)

    def _follow_stream(self, timeline: ActionTimeline, now: float, measured: Mapping[str, float]) -> Command:
        position = self._start(now, measured)
        action, told_at = timeline.sample(now), self._motion.last_time
        if action is not None and told_at is not None and now > told_at:
            since = max(told_at, now - 2.0 / self._command_rate)
            position = self._limited(np.array([now]), action[None], since, position)[0]
        self._motion.set(np.array([now]), position[None])
        self._stream.command(position.tolist())
        if self._interface == "joint_state":
            return JointState(header(round(now * NANOSECONDS)), list(self.joints), position)
        return Float64MultiArray(position)

    def _start(self, time: float, measured: Mapping[str, float]) -> Floats:
        told = self._motion.position_at(time)
        return self._of(measured) if told is None else told

    def _limited(self, times: Floats, actions: Floats, start_time: float, start: Floats) -> Floats:
        targets = self._action.to_ros(actions)[:, self._columns]
        limited = self._limiter.limit(times, targets, start_time, start)
        self.clamped += limited.clamped_position + limited.clamped_velocity
        return limited.positions

    def _execute_trajectory(
        self, stamp: float, times: Floats, positions: Floats, now: float, measured: Mapping[str, float]
    ) -> JointTrajectory:
        points = [TrajectoryPoint(time, tuple(row)) for time, row in zip(times.tolist(), positions, strict=True)]
        at_rest = TrajectoryPoint(points[-1].time_from_start_s, points[-1].positions, (0.0,) * len(self.joints))
        trajectory = Trajectory(self.joints, stamp, (*points[:-1], at_rest))
        refusal = self._trajectories.command(trajectory, now, self._of(measured), None)
        if refusal is not None:
            raise AssertionError(f"{self.topic}: a trajectory made by the rules was refused: {refusal}")
        return trajectory_message(self.joints, times, positions, round(stamp * NANOSECONDS))

    def _of(self, by_name: Mapping[str, float]) -> Floats:
        return np.array([by_name[name] for name in self.joints])
