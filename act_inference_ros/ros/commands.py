"""From safe targets to messages: one commander per controller, for each of the three command interfaces.

A commander knows what its controller has been told, so that every new command starts where the last one leads.
Positions and limits are in ROS units, times in seconds on the node's ROS clock.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Duration, Time
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from act_inference_ros.configuration import Controller, RobotConfiguration
from act_inference_ros.control.limits import TargetLimiter
from act_inference_ros.control.motion import CommandedMotion
from act_inference_ros.control.timeline import ActionTimeline
from act_inference_ros.joints import Joint

Positions: TypeAlias = npt.NDArray[np.float64]

HOLD_POINTS_S = (0.05, 0.1)
"""A hold is a trajectory of two equal points this long after its stamp: the last has passed within 0.2 s."""


SHORTEST_STEP_S = 1e-6
"""The first point of a trajectory lies at least this long after its stamp, so that no rounding puts it on it."""


NOTHING: Mapping[str, float] = {}


class Publisher(Protocol):
    """What a commander needs of rclpy's publisher."""

    def publish(self, msg: Any) -> None:
        """Send a message."""


class Commander(ABC):
    """Tells one controller what the plan says, from where it has been told to be, within its joints' limits.

    `streams`: wants `follow` at every tick, else once per chunk. `clamped` counts targets changed by a limit.
    """

    streams: bool

    def __init__(self, controller: Controller, configuration: RobotConfiguration, publisher: Publisher) -> None:
        self.name = controller.name
        self.joint_names = list(controller.joints)
        self.clamped = 0
        self._interface = controller.interface
        self._publisher = publisher
        self._action = configuration.action
        self._columns = configuration.action.indices(controller.joints)
        self._motion = CommandedMotion()
        self.configure(configuration.action.joints, controller.lead_s, configuration.command_rate)

    def configure(self, action_joints: Sequence[Joint], lead_s: float, command_rate: float) -> None:
        """Take new limits, lead and rate; works while running, the commanded motion goes on."""
        self._limiter = TargetLimiter([action_joints[column] for column in self._columns])
        self._lead_s = lead_s
        self._command_rate = command_rate

    def unknown_joints(self, measured: Mapping[str, float]) -> list[str]:
        """Joints that this controller has not been told where to be, and that were not measured either."""
        if self._motion.known:
            return []
        return [name for name in self.joint_names if name not in measured]

    @abstractmethod
    def follow(self, timeline: ActionTimeline, now: float, measured: Mapping[str, float] = NOTHING) -> None:
        """Command the plan, from where the joints were told to be, else measured (see `unknown_joints`)."""

    @abstractmethod
    def hold(self, now: float) -> None:
        """Tell the controller to stay where it has been told to be by now, then know nothing."""

    def start_from(self, now: float, measured: Mapping[str, float]) -> None:
        """Take the measured position for the commanded one, as if still in motion, if there was any command."""
        if self._motion.known and all(name in measured for name in self.joint_names):
            position = np.array([measured[name] for name in self.joint_names])
            self._motion.set(np.array([now, now + 1.0]), np.vstack([position, position]))

    def _start(self, time: float, measured: Mapping[str, float]) -> Positions:
        """(joints,) at `time`: where told to be, else where measured."""
        told = self._motion.position_at(time)
        return np.array([measured[name] for name in self.joint_names]) if told is None else told

    def _limited(self, times: Positions, actions: Positions, start_time: float, start: Positions) -> Positions:
        """Convert actions (n, A) in policy units to safe positions (n, joints); counts what was clamped."""
        targets = self._action.to_ros(actions)[:, self._columns]
        limited = self._limiter.limit(times, targets, start_time, start)
        self.clamped += limited.clamped_position + limited.clamped_velocity
        return limited.positions


class TrajectoryCommander(Commander):
    """joint_trajectory: the rest of the plan, each time a chunk arrives, stamped `lead` ahead.

    A trajectory never holds a point at or before its stamp, because distributions of joint_trajectory_controller
    differ in what they do with one.
    """

    streams = False

    def follow(self, timeline: ActionTimeline, now: float, measured: Mapping[str, float] = NOTHING) -> None:
        """Publish the plan from now + lead on; with under two points left the last trajectory just runs out."""
        stamp = now + self._lead_s
        times, actions = timeline.between(stamp, stamp + timeline.horizon(stamp))
        ahead = times > stamp + SHORTEST_STEP_S
        if np.count_nonzero(ahead) < 2:
            return
        start = self._start(stamp, measured)
        positions = self._limited(times[ahead], actions[ahead], stamp, start)
        self._publish(stamp, times[ahead], positions)
        self._motion.set(np.r_[stamp, times[ahead]], np.vstack([start, positions]))

    def hold(self, now: float) -> None:
        """Stop where the arm has been told to be at now + lead. Nothing is sent if it already came to rest."""
        stamp = now + self._lead_s
        position = self._motion.position_at(stamp)
        if position is not None and self._motion.moving_at(now):
            self._publish(stamp, stamp + np.array(HOLD_POINTS_S), np.vstack([position] * len(HOLD_POINTS_S)))
        self._motion.forget()

    def _publish(self, stamp: float, times: Positions, positions: Positions) -> None:
        message = JointTrajectory(joint_names=self.joint_names)
        message.header.stamp = stamp_message(stamp)
        message.points = [
            JointTrajectoryPoint(positions=position.tolist(), time_from_start=duration_message(time - stamp))
            for time, position in zip(times, positions, strict=True)
        ]
        # A controller refuses a trajectory that ends in motion.
        message.points[-1].velocities = [0.0] * len(self.joint_names)
        self._publisher.publish(message)


class StreamCommander(Commander):
    """position_stream and joint_state: one target per tick."""

    streams = True

    def follow(self, timeline: ActionTimeline, now: float, measured: Mapping[str, float] = NOTHING) -> None:
        """Publish the plan's target for now, or the last one again where the plan has run out (coasting).

        The first command is where the arm was measured: a velocity needs a past.
        """
        position = self._start(now, measured)
        action = timeline.sample(now)
        told_at = self._motion.last_time
        if action is not None and told_at is not None and now > told_at:
            # A late tick must not turn into a big step: the controller jumps to whatever it is sent.
            since = max(told_at, now - 2.0 / self._command_rate)
            position = self._limited(np.array([now]), action[None].astype(np.float64), since, position)[0]
        self._publish(now, position)
        self._motion.set(np.array([now]), position[None])

    def hold(self, now: float) -> None:
        """Say the last target once more, and then no more: the controller holds it."""
        position = self._motion.position_at(now)
        if position is not None:
            self._publish(now, position)
        self._motion.forget()

    def _publish(self, now: float, position: Positions) -> None:
        if self._interface == "joint_state":
            message = JointState(name=self.joint_names, position=position.tolist())
            message.header.stamp = stamp_message(now)
            self._publisher.publish(message)
        else:
            self._publisher.publish(Float64MultiArray(data=position.tolist()))


MESSAGE_TYPES = {
    "joint_trajectory": JointTrajectory,
    "position_stream": Float64MultiArray,
    "joint_state": JointState,
}


def make_commander(controller: Controller, configuration: RobotConfiguration, publisher: Publisher) -> Commander:
    """Return the commander for the controller's interface."""
    kind = TrajectoryCommander if controller.interface == "joint_trajectory" else StreamCommander
    return kind(controller, configuration, publisher)


def stamp_message(time: float) -> Time:
    """Seconds since the clock's epoch as a message."""
    sec, nanosec = divmod(round(time * 1e9), 1_000_000_000)
    return Time(sec=sec, nanosec=nanosec)


def duration_message(seconds: float) -> Duration:
    """A non-negative time span in seconds as a message."""
    sec, nanosec = divmod(round(seconds * 1e9), 1_000_000_000)
    return Duration(sec=sec, nanosec=nanosec)
