"""Commanders: what one controller is told, and when, so that its joints follow the plan within their limits.

A commander knows what its controller has been told, so that every new command starts where the last one leads.
Positions and limits are in ROS units, times in s on the clock of the plan. Shared by node and simulated episodes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from act_inference_ros.control.limits import TargetLimiter
from act_inference_ros.control.motion import CommandedMotion
from act_inference_ros.control.timeline import ActionTimeline
from act_inference_ros.interfaces import Command
from act_inference_ros.joints import Joint, JointBinding
from act_inference_ros.robot.configuration import Controller, RobotConfiguration

Positions: TypeAlias = npt.NDArray[np.float64]

HOLD_POINTS_S = (0.05, 0.1)
"""A hold is a trajectory of two equal points this long after its stamp: the last has passed within 0.2 s."""

SHORTEST_STEP_S = 1e-6
"""The first point of a trajectory lies at least this long after its stamp, so that no rounding puts it on it."""

NOTHING: Mapping[str, float] = {}


Send: TypeAlias = Callable[[Command], None]


class Commander(ABC):
    """Tells one controller, through `send`, what the plan says, from where its joints have been told to be.

    `streams`: wants `follow` at every tick, else once per chunk. `clamped` counts targets changed by a limit.
    """

    streams: bool

    def __init__(
        self, joints: Sequence[str], action: JointBinding, lead_s: float, command_rate: float, send: Send
    ) -> None:
        self.joint_names = list(joints)
        self.clamped = 0
        self._send = send
        self._action = action
        self._columns = action.indices(joints)
        self._motion = CommandedMotion()
        self.configure(action.joints, lead_s, command_rate)

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
    """The rest of the plan, each time a chunk arrives, stamped `lead` ahead.

    A trajectory never holds a point at or before its stamp, because distributions of joint_trajectory_controller
    differ in what they do with one.
    """

    streams = False

    def follow(self, timeline: ActionTimeline, now: float, measured: Mapping[str, float] = NOTHING) -> None:
        """Send the plan from now + lead on; with under two points left the last trajectory just runs out."""
        stamp = now + self._lead_s
        times, actions = timeline.between(stamp, stamp + timeline.horizon(stamp))
        ahead = times > stamp + SHORTEST_STEP_S
        if np.count_nonzero(ahead) < 2:
            return
        start = self._start(stamp, measured)
        positions = self._limited(times[ahead], actions[ahead], stamp, start)
        self._send(Command(stamp, times[ahead], positions))
        self._motion.set(np.r_[stamp, times[ahead]], np.vstack([start, positions]))

    def hold(self, now: float) -> None:
        """Stop where the arm has been told to be at now + lead. Nothing is sent if it already came to rest."""
        stamp = now + self._lead_s
        position = self._motion.position_at(stamp)
        if position is not None and self._motion.moving_at(now):
            times = stamp + np.array(HOLD_POINTS_S)
            self._send(Command(stamp, times, np.vstack([position] * len(HOLD_POINTS_S))))
        self._motion.forget()


class StreamCommander(Commander):
    """One target per tick."""

    streams = True

    def follow(self, timeline: ActionTimeline, now: float, measured: Mapping[str, float] = NOTHING) -> None:
        """Send the plan's target for now, or the last one again where the plan has run out (coasting).

        The first command is where the arm was measured: a velocity needs a past.
        """
        position = self._start(now, measured)
        action = timeline.sample(now)
        told_at = self._motion.last_time
        if action is not None and told_at is not None and now > told_at:
            # A late tick must not turn into a big step: the controller jumps to whatever it is sent.
            since = max(told_at, now - 2.0 / self._command_rate)
            position = self._limited(np.array([now]), action[None].astype(np.float64), since, position)[0]
        self._tell(now, position)
        self._motion.set(np.array([now]), position[None])

    def hold(self, now: float) -> None:
        """Say the last target once more, and then no more: the controller holds it."""
        position = self._motion.position_at(now)
        if position is not None:
            self._tell(now, position)
        self._motion.forget()

    def _tell(self, now: float, position: Positions) -> None:
        self._send(Command(now, np.array([now]), position[None]))


def make_commander(controller: Controller, configuration: RobotConfiguration, send: Send) -> Commander:
    """Return the commander that the controller's interface asks for; what it commands goes to `send`."""
    kind = StreamCommander if controller.interface.streams else TrajectoryCommander
    return kind(controller.joints, configuration.action, controller.lead_s, configuration.command_rate, send)
