"""Commanders: what one controller is told, and when, so that its joints follow the plan within their limits.

A commander knows what its controller has been told, so that every new command starts where the last one leads.
Positions and limits are in ROS units, times in s on the clock of the plan. Shared by the node, the bag evaluator and
the simulated episodes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from act_inference_ros.control.limits import TargetLimiter
from act_inference_ros.control.motion import CommandedMotion
from act_inference_ros.control.timeline import ActionTimeline
from act_inference_ros.interfaces import Command
from act_inference_ros.joints import Joint, JointBinding, nearest_turn
from act_inference_ros.robot.configuration import RobotConfiguration, ticks_per_command
from act_inference_ros.robot.devices import Controller

Positions: TypeAlias = npt.NDArray[np.float64]
Send: TypeAlias = Callable[[Command], None]

HOLD_POINTS_S = (0.05, 0.1)
"""A hold is a trajectory of two equal points this long after its stamp: the last has passed within 0.2 s."""

SHORTEST_STEP_S = 1e-6
"""The first point of a trajectory lies at least this long after its stamp, so that no rounding puts it on it."""

SHORTEST_SEGMENT_S = 0.005
"""A trajectory is not lengthened, nor a new one made, for less than this."""

AGREEMENT_LAG_S = 0.15
"""How far back in time a measured position may still agree with a told one, when it is asked where a motion starts."""
AGREEMENT = 0.1
"""ROS units: a motion starts where the joints were told to be only if they were measured this near to it."""
AGREEMENT_SHARE = 1.0 / 3.0
"""Of `max_deviation`, where that is less: a joint with a short way has less to be wrong by."""
AGREEMENT_IF_FREE = 0.02
"""The same after somebody else may have moved the arm: its place is where they left it."""


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
        joints = [action_joints[column] for column in self._columns]
        self._limiter = TargetLimiter(joints)
        self._smooth = np.array([joint.smooth for joint in joints])
        self._continuous = np.array([joint.continuous for joint in joints])
        self._max_deviation = np.array([joint.max_deviation for joint in joints])
        self._lead_s = lead_s
        self._command_rate = command_rate
        ticks = ticks_per_command(command_rate)
        # Half a tick of room on either side, since ticks are not on time.
        self._shortest_gap_s = (1.0 - 0.5 / ticks) / command_rate if ticks > 1 else 0.0

    @property
    def known(self) -> bool:
        """The controller has been told where to be, and nobody else has told it since."""
        return self._motion.known

    def told(self, time: float) -> dict[str, float]:
        """Joint -> where it is told to be at `time`, ROS units; empty where nothing is known."""
        position = self._motion.position_at(time)
        return {} if position is None else dict(zip(self.joint_names, position.tolist(), strict=True))

    def deviations(self, measured: Mapping[str, float], time: float, lag: float) -> dict[str, float]:
        """Joint -> the least distance of its position `measured` at `time` from all it was told in the `lag` before.

        In ROS units. Joints that were not measured, and controllers that were told nothing, are left out.
        """
        extremes = self._motion.extremes(time - lag, time)
        if extremes is None:
            return {}
        lowest, highest = extremes
        known = [name in measured for name in self.joint_names]
        here = np.array([measured.get(name, 0.0) for name in self.joint_names])
        here = np.where(self._continuous, nearest_turn(here, (lowest + highest) / 2.0), here)
        apart = np.maximum(0.0, np.maximum(lowest - here, here - highest))
        return {
            name: float(distance)
            for name, distance, is_known in zip(self.joint_names, apart, known, strict=True)
            if is_known
        }

    def begin(self, now: float, measured: Mapping[str, float], was_free: bool = False) -> None:
        """Choose where the next motion starts, after a hold or for the first time.

        Where the joints have been told to be, if they were measured near that; else where they were measured: a
        setpoint may jump towards the arm, never away from it. `was_free`: somebody else may have moved the arm
        meanwhile, so that "near" means hardly any distance. Joints that are not smooth (grippers) start where they
        were told to be, whatever was measured. Raises KeyError for a joint that was
        neither told where to be nor measured.
        """
        told = self._motion.position_at(now)
        if told is None:
            self._motion.restart(now, np.array([measured[name] for name in self.joint_names]))
            return
        apart = self.deviations(measured, now, AGREEMENT_LAG_S)
        near = np.minimum(AGREEMENT_IF_FREE if was_free else AGREEMENT, self._max_deviation * AGREEMENT_SHARE)
        far = np.array([apart.get(name, 0.0) for name in self.joint_names]) > near
        self._motion.stay(now, self._at_measured(told, measured) if (far & self._smooth).any() else told)

    @abstractmethod
    def follow(self, timeline: ActionTimeline, now: float, until: float) -> None:
        """Command the plan, on from where the joints are told to be, and nothing that would still move after `until`.

        `begin` must have said where the motion starts.
        """

    def hold(self, now: float, in_any_case: bool = False) -> None:
        """Tell the controller to stay where it has been told to be by now.

        Nothing is sent where nothing was told, nor, unless `in_any_case`, to a controller that is at rest by itself.
        """
        position = self._motion.position_at(self._takes_over(now))
        if position is not None:
            self._stay(now, position, needed=in_any_case or self._motion.moving_at(now))

    def hold_at(self, now: float, measured: Mapping[str, float]) -> None:
        """Tell the controller to stay where its joints are measured; those that are not smooth where they are told.

        For an arm that does not follow: to insist on where it was told to be would go on pushing.
        """
        told = self._motion.position_at(self._takes_over(now))
        if told is None:
            return
        self._stay(now, self._at_measured(told, measured), needed=True)

    def forget(self) -> None:
        """Know nothing: somebody else may have moved the joints, or told the controller something."""
        self._motion.forget()

    def restart_clock(self, before: float, now: float) -> None:
        """The clock was `before` and is `now`: what was told for then is told for now, without a past."""
        position = self._motion.position_at(before)
        if position is not None:
            self._motion.restart(now, position)

    def _at_measured(self, told: Positions, measured: Mapping[str, float]) -> Positions:
        """Where the joints are measured (joints,); those that are not smooth or not measured where they are `told`.

        Joints that turn without end keep the turn that they were told: their encoders count from half a turn to half a
        turn, and the same place one turn further back would send them all the way round.
        """
        here = np.array([measured.get(name, np.nan) for name in self.joint_names])
        here = np.where(self._continuous, nearest_turn(here, told), here)
        return np.where(self._smooth & np.isfinite(here), here, told)

    def _takes_over(self, now: float) -> float:
        """When a command that is sent now takes over."""
        return now

    @abstractmethod
    def _stay(self, now: float, position: Positions, needed: bool) -> None:
        """Send `position` (joints,) as the place to stay at; `needed`: the controller would else move on."""

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

    def follow(self, timeline: ActionTimeline, now: float, until: float) -> None:
        """Send the plan from now + lead on, to rest at its end; with hardly any left the last trajectory runs out."""
        stamp = now + self._lead_s
        start = self._motion.position_at(stamp)
        times, actions = self._rest_of(timeline, stamp, min(stamp + timeline.horizon(stamp), until))
        if start is None or len(times) < 2:
            return
        positions = self._limited(times, actions, stamp, start)
        self._send(Command(stamp, times, positions))
        self._motion.set(np.r_[stamp, times], np.vstack([start, positions]))

    def _rest_of(self, timeline: ActionTimeline, stamp: float, end: float) -> tuple[Positions, Positions]:
        """The plan's steps after `stamp`, and `end` itself where it lies between two steps; times (n,), actions."""
        times, actions = timeline.between(stamp, end)
        ahead = times > stamp + SHORTEST_STEP_S
        times, actions = times[ahead], actions[ahead]
        wanted = [stamp + (end - stamp) / 2.0] if not len(times) else []
        last = times[-1] if len(times) else stamp
        wanted += [end] if end > last + SHORTEST_SEGMENT_S else []
        for time in wanted:
            action = timeline.sample(time)
            if action is not None and end > stamp + 2 * SHORTEST_SEGMENT_S:
                times, actions = np.append(times, time), np.vstack([actions, action])
        return times, actions

    def _takes_over(self, now: float) -> float:
        return now + self._lead_s

    def _stay(self, now: float, position: Positions, needed: bool) -> None:
        stamp = self._takes_over(now)
        if needed:
            times = stamp + np.array(HOLD_POINTS_S)
            self._send(Command(stamp, times, np.vstack([position] * len(HOLD_POINTS_S))))
        self._motion.stay(stamp, position)


class StreamCommander(Commander):
    """One target per tick, or every few ticks where `command_rate` is slower than ticks may be."""

    streams = True
    _sent_at = -math.inf

    def follow(self, timeline: ActionTimeline, now: float, until: float) -> None:
        """Send the plan's target for now, or the last one again where the plan has run out (coasting).

        Nothing that is sent moves on by itself, so `until` is kept by who calls. The first command is where the motion
        starts: a velocity needs a past.
        """
        position = self._motion.position_at(now)
        told_at = self._motion.last_time
        if position is None or told_at is None or 0.0 <= now - self._sent_at < self._shortest_gap_s:
            return
        self._sent_at = now
        action = timeline.sample(now)
        if action is not None and now > told_at:
            # A late tick must not turn into a big step: the controller jumps to whatever it is sent.
            since = max(told_at, now - 1.0 / self._command_rate)
            position = self._limited(np.array([now]), action[None].astype(np.float64), since, position)[0]
        self._tell(now, position)

    def _stay(self, now: float, position: Positions, needed: bool) -> None:
        """Say it once more, and then no more: the controller holds its last target."""
        self._sent_at = -math.inf
        self._tell(now, position)

    def _tell(self, now: float, position: Positions) -> None:
        self._send(Command(now, np.array([now]), position[None]))
        self._motion.stay(now, position)


def make_commander(controller: Controller, configuration: RobotConfiguration, send: Send) -> Commander:
    """Return the commander that the controller's interface asks for; what it commands goes to `send`."""
    kind = StreamCommander if controller.interface.streams else TrajectoryCommander
    return kind(controller.joints, configuration.action, controller.lead_s, configuration.command_rate, send)
