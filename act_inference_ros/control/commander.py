"""Commander: what one controller is told, and when, so that its joints follow the plan within their limits.

A commander knows the motion that its controller has been told, so that every new command goes on from where the last
one leads. Positions and limits are in ROS units, times in s on the clock of the plan. Shared by the node, the bag
evaluator and the simulated episodes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from act_inference_ros.control.cubic import Array, Cubic
from act_inference_ros.control.limiter.braking import SHORTEST_BRAKING_S, brake
from act_inference_ros.control.limiter.limiter import LimitedMotion, MotionLimiter
from act_inference_ros.control.limiter.reference import SHORTEST_END_S
from act_inference_ros.control.timeline import ActionTimeline
from act_inference_ros.control.told import ToldMotion
from act_inference_ros.interfaces import Command
from act_inference_ros.joints import Joint, JointBinding, nearest_turn

Send: TypeAlias = Callable[[Command], None]

HOLD_POINTS_S = (0.05, 0.1)
"""To stay at a place is a trajectory of two equal points this long after its stamp."""

AGREEMENT_LAG_S = 0.15
"""How far back in time a measured position may still agree with a told one, when it is asked where a motion starts."""
AGREEMENT = 0.1
"""ROS units: a motion starts where the joints were told to be only if they were measured this near to it."""
AGREEMENT_SHARE = 1.0 / 3.0
"""Of `max_deviation`, where that is less: a joint with a short way has less to be wrong by."""
AGREEMENT_IF_FREE = 0.02
"""The same after somebody else may have moved the arm: its place is where they left it."""

FEWEST_ROWS = 3
"""A shorter rest of the plan is looked at between its steps, too."""
SHORTEST_PLAN_S = 0.01
"""A shorter rest of the plan is not worth a message."""
HARDLY = 0.02
"""ROS units: so little beyond a limit a joint is measured where it pushes against it."""
BACK_STEP_S = 0.025
BACK_STEPS = 7
"""A plan of so many steps goes back to where the joints are measured; after it they come to rest."""
ROUNDS = 4
"""How often the plan is cut shorter, until the motion that follows it is at rest when it must be."""


class Commander(ABC):
    """Tells one controller, through `send`, the motion that follows the plan, on from what it was told before.

    `streams`: wants `tick` for every target; else one message tells all of a motion. `clamped` counts the plan's
    values that lay beyond a limit of position. `smoothed` and `bridged` count for each joint how often the plan itself
    could not be kept within the limits, and how often it was too far away (see `control.limiter.limiter`).
    """

    streams: bool
    _lost: Array

    def __init__(
        self, joints: Sequence[str], action: JointBinding, lead_s: float, command_rate: float, send: Send
    ) -> None:
        self.joint_names = list(joints)
        self.clamped = 0
        self.smoothed: Counter[str] = Counter()
        self.bridged: Counter[str] = Counter()
        self._send = send
        self._action = action
        self._columns = action.indices(joints)
        self._told = ToldMotion()
        self.found_following()
        self._limiter = MotionLimiter([action.joints[column] for column in self._columns])
        self.configure(action.joints, lead_s, command_rate)

    def configure(self, action_joints: Sequence[Joint], lead_s: float, command_rate: float) -> None:
        """Take new limits, lead and rate; works while running: `follow` lets the motion go on within the new limits."""
        joints = [action_joints[column] for column in self._columns]
        self._limiter.configure(joints)
        self._smooth = np.array([joint.smooth for joint in joints])
        self._continuous = np.array([joint.continuous for joint in joints])
        self._max_deviation = np.array([joint.max_deviation for joint in joints])
        self.lead_s = lead_s
        self._command_rate = command_rate

    @property
    def known(self) -> bool:
        """The controller has been told where to be, and nobody else has told it since."""
        return self._told.known

    @property
    def motion(self) -> Cubic | None:
        """What the controller has been told, as far back as it matters; None where nothing is known."""
        return self._told.motion

    def told(self, time: float) -> dict[str, float]:
        """Joint -> where it is told to be at `time`, ROS units; empty where nothing is known."""
        position = self._told.position_at(time)
        return {} if position is None else dict(zip(self.joint_names, position.tolist(), strict=True))

    def deviations(
        self, measured: Mapping[str, float], time: float, lag: float, with_lost: bool = False
    ) -> dict[str, float]:
        """Joint -> the least distance of its position `measured` at `time` from all it was told in the `lag` before.

        In ROS units. Joints that were not measured, and controllers that were told nothing, are left out. `with_lost`:
        as if what was told had never been given up (see `give_up_for`).
        """
        extremes = self._told.extremes(time - lag, time)
        if extremes is None:
            return {}
        lowest, highest = extremes
        if with_lost:
            lowest, highest = lowest + self._lost, highest + self._lost
        known = [name in measured for name in self.joint_names]
        here = np.array([measured.get(name, 0.0) for name in self.joint_names])
        here = np.where(self._continuous, nearest_turn(here, (lowest + highest) / 2.0), here)
        apart = np.maximum(0.0, np.maximum(lowest - here, here - highest))
        return {
            name: float(distance)
            for name, distance, is_known in zip(self.joint_names, apart, known, strict=True)
            if is_known
        }

    def agrees(self, measured: Mapping[str, float], time: float, was_free: bool = False) -> bool:
        """Return whether the joints were `measured` at `time` near to where they had been told to be shortly before.

        `was_free`: somebody else may have moved the arm meanwhile, so that "near" means hardly any distance. Joints
        that are not smooth (grippers) are not asked: a gripper that holds something is not where it was told to be.
        """
        apart = self.deviations(measured, time, AGREEMENT_LAG_S)
        near = np.minimum(AGREEMENT_IF_FREE if was_free else AGREEMENT, self._max_deviation * AGREEMENT_SHARE)
        far = np.array([apart.get(name, 0.0) for name in self.joint_names]) > near
        return not (far & self._smooth).any()

    def begin(self, now: float, measured: Mapping[str, float], was_free: bool = False) -> None:
        """Choose where the next motion starts, after a hold or for the first time.

        On from what the joints have been told, if they were measured near that (see `agrees`); else where they were
        measured: a setpoint may jump towards the arm, never away from it. Joints that are not smooth start where they
        were told to be, whatever was measured. Raises KeyError for a joint that was neither told where to be nor
        measured.
        """
        self.found_following()
        if not self._told.known or not self.agrees(measured, now, was_free):
            self.start_at(now, measured)

    def start_at(self, now: float, here: Mapping[str, float]) -> None:
        """Let the next motion start at rest where the joints are `here` (joint -> ROS units).

        Joints that are not smooth, or not `here`, start where they were told to be; KeyError for one that was not.
        """
        self._limiter.clear()
        told = self._told.position_at(now)
        if told is None:
            position = np.array([here[name] for name in self.joint_names])
            self._told.restart(now, self._hardly_outside(position))
        else:
            self._told.stay(now, self._at_measured(told, here))

    def give_up_for(self, motion: Cubic) -> None:
        """Let the next motion go on from `motion`, which is what the joints do in truth, instead of what was told.

        What is given up is remembered until the joints are found to follow: told again and again to go where they do
        not go, they are as far from it as if it had been told once.
        """
        told, truth = self._told.position_at(motion.end), motion.positions[-1]
        if told is not None:
            self._lost = self._lost + told - truth
        self._limiter.clear()
        self._told.set(motion)

    def bound_lost(self, timeline: ActionTimeline, now: float) -> None:
        """What was given up counts only as far as the plan is still away: to try again is not to be further off."""
        told, action = self._told.position_at(now), timeline.sample(now)
        if told is not None and action is not None and self._lost.any():
            away = self._action.to_ros(action[None])[0, self._columns] - told
            self._lost = np.clip(self._lost, np.minimum(away, 0.0), np.maximum(away, 0.0))

    def found_following(self) -> None:
        """The joints go where they are told to go."""
        self._lost = np.zeros(len(self.joint_names))

    def at_rest(self, now: float, measured: Mapping[str, float]) -> Cubic:
        """The motion that stays where the joints are `measured`; those that are not smooth where they are told."""
        told = self._told.position_at(now)
        assert told is not None  # noqa: S101
        return Cubic.at_rest(now, self._at_measured(told, measured))

    def extremes(self, begin: float, end: float) -> dict[str, tuple[float, float]]:
        """Joint -> lowest and highest position that it was told for `begin` to `end`; empty where nothing is known."""
        extremes = self._told.extremes(begin, end)
        if extremes is None:
            return {}
        lowest, highest = extremes
        return dict(zip(self.joint_names, zip(lowest.tolist(), highest.tolist(), strict=True), strict=True))

    def follow(self, timeline: ActionTimeline, now: float, until: float, overlap: bool = False) -> None:
        """Command the plan, on from what was told, and nothing that would still move after `until`.

        With hardly any plan left, what was told runs out. `overlap`: the message may begin in the past. `begin` must
        have said where the motion starts.
        """
        limited = self._limited(timeline, self._takes_over(now), until)
        if limited is None:
            return
        self.clamped += limited.clamped
        for count, columns in ((self.smoothed, limited.smoothed), (self.bridged, limited.bridged)):
            count.update(self.joint_names[column] for column in np.flatnonzero(columns))
        self._tell(limited.motion, now, overlap)

    def tick(self, now: float) -> None:  # noqa: B027  # not every controller is to be told
        """Give a controller that streams its target for now. Others follow by themselves."""

    def finish(self, now: float) -> None:  # noqa: B027
        """Give a controller that streams its target for now, until it has been told to be at rest."""

    @property
    def unfinished(self) -> bool:
        """`finish` has still something to send."""
        return False

    def hold(self, now: float, in_any_case: bool = False, overlap: bool = False) -> None:
        """Tell the controller to come to rest, on from what it has been told, and to stay there.

        Joints that are not smooth stay where they are told to be. Nothing is sent where nothing was told, nor, unless
        `in_any_case`, to a controller that is at rest by itself.
        """
        time = self._takes_over(now)
        motion = self._told.motion
        if motion is None:
            return
        self._limiter.clear()
        if in_any_case or self._told.moving_at(now):
            self._tell(brake(motion, time, self._limiter.limits, ~self._smooth), now, overlap)

    def hold_at(self, now: float, measured: Mapping[str, float], overlap: bool = False) -> None:
        """Tell the controller to stay where its joints are measured; those that are not smooth where they are told.

        For an arm that does not follow: to insist on where it was told to be would go on pushing. Joints that are near
        to where they were told to be go back within their limits, others at once.
        """
        time = self._takes_over(now)
        told = self._told.motion
        if told is None:
            return
        self._limiter.clear()
        position = self._at_measured(told.at(time).position, measured)
        if self.agrees(measured, now):
            times = time + BACK_STEP_S * np.arange(1, BACK_STEPS + 1)
            rows = np.tile(position, (BACK_STEPS, 1))
            back = self._limiter.follow(told, time, times, rows, shortest_end_s=SHORTEST_BRAKING_S)
            if back is not None:
                self._tell(back.motion, now, overlap)
                return
        self._told.stay(now, position)
        rows = np.vstack([position] * (1 + len(HOLD_POINTS_S)))
        self._tell(Cubic(time, np.r_[0.0, HOLD_POINTS_S], rows, np.zeros_like(rows)), now, overlap=False)

    def forget(self) -> None:
        """Know nothing: somebody else may have moved the joints, or told the controller something."""
        self._told.forget()
        self._limiter.clear()
        self.found_following()

    def restart_clock(self, before: float, now: float) -> None:
        """The clock was `before` and is `now`: what was told for then is told for now, without a past."""
        position = self._told.position_at(before)
        if position is not None:
            self._limiter.clear()
            self._told.restart(now, position)

    def _at_measured(self, told: Array, measured: Mapping[str, float]) -> Array:
        """Where the joints are measured (joints,); those that are not smooth or not measured where they are `told`.

        Joints that turn without end keep the turn that they were told: their encoders count from half a turn to half a
        turn, and the same place one turn further back would send them all the way round.
        """
        here = np.array([measured.get(name, np.nan) for name in self.joint_names])
        here = self._hardly_outside(np.where(self._continuous, nearest_turn(here, told), here))
        return np.where(self._smooth & np.isfinite(here), here, told)

    def _hardly_outside(self, position: Array) -> Array:
        """`position` (joints,), moved to a limit that it is hardly beyond: an arm that pushes against it sags so far.

        One that is further outside is not thrown back inside, but goes there slowly.
        """
        inside = self._limiter.limits.clip(position)
        return np.asarray(np.where(np.abs(inside - position) <= HARDLY, inside, position))

    def _takes_over(self, now: float) -> float:
        """When a command that is made now takes over."""
        return now

    @abstractmethod
    def _tell(self, motion: Cubic, now: float, overlap: bool) -> None:
        """Tell the controller `motion`, which goes on from what it was told."""

    def _limited(self, timeline: ActionTimeline, time: float, until: float) -> LimitedMotion | None:
        """The motion from `time` on that follows the plan and is at rest by `until`; None if there is hardly any."""
        told = self._told.motion
        if told is None:
            return None
        end_s = max(SHORTEST_BRAKING_S, min(SHORTEST_END_S, (until - time) / 2.0))
        end = min(time + timeline.horizon(time), until - end_s)
        for _ in range(ROUNDS):
            times = timeline.instants(time, end, FEWEST_ROWS)
            if len(times) < FEWEST_ROWS or times[-1] - times[0] < SHORTEST_PLAN_S:
                return None
            limited = self._limiter.follow(told, time, times, self._rows(timeline, times), end_s)
            if limited is None or limited.motion.end <= until:
                return limited
            end = min(end, float(times[-1])) - (limited.motion.end - until)
        return None

    def _rows(self, timeline: ActionTimeline, times: Array) -> Array:
        """The plan (n, joints) at `times` (n,), ROS units: merged, or for joints that are not smooth the newest one."""
        rows = self._action.to_ros(timeline.at(times))[:, self._columns]
        if self._smooth.all():
            return rows
        newest = self._action.to_ros(timeline.newest_at(times))[:, self._columns]
        return np.where(self._smooth, rows, newest)
