"""Commander: what is commanded to one controller, and when, so that its joints follow the plan within their limits.

A commander knows the motion that its controller has been told, so that every new command continues from the end of the
last one. Positions and limits are in ROS units, times in s on the clock of the plan. The node, the bag evaluator and
the simulated episodes share this module.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from act_inference_ros.control.cubic import Array, Cubic
from act_inference_ros.control.limiter.braking import SHORTEST_BRAKING_S, brake
from act_inference_ros.control.limiter.limiter import LimitedMotion, MotionLimiter
from act_inference_ros.control.limiter.reference import SHORTEST_END_S
from act_inference_ros.control.timeline import ActionTimeline
from act_inference_ros.control.told import ToldMotion
from act_inference_ros.control.under_way import UnderWay
from act_inference_ros.interfaces import Command
from act_inference_ros.joints import Joint, JointBinding, nearest_turn

Send: TypeAlias = Callable[[Command], None]

HOLD_POINTS_S = (0.05, 0.1)
"""The command to stay at a place is a trajectory of two equal points; the second is this long after the stamp."""

AGREEMENT_LAG_S = 0.15
"""When a motion starts: a measured position may agree with a commanded position that is at most this old."""
AGREEMENT = 0.1
"""ROS units: a motion starts at the commanded position only if the joints are measured this close to it."""
AGREEMENT_SHARE = 1.0 / 3.0
"""Share of `max_deviation` that is used instead where it is less: a joint with a short range may deviate less."""
AGREEMENT_IF_FREE = 0.02
"""This distance applies instead after somebody else may have moved the arm: the motion then starts where it is."""

SOON_S = 0.02
"""A command may always be published so long after it was made: a machine that is not busy needs some milliseconds."""

FEWEST_ROWS = 3
"""If the plan rests for less than this, it is also sampled between its steps."""
SHORTEST_PLAN_S = 0.01
"""A shorter rest of the plan is not worth a message."""
HARDLY = 0.02
"""ROS units: a joint that pushes against a limit is measured at most this far beyond it."""
BACK_STEP_S = 0.025
BACK_STEPS = 7
"""A plan of so many steps leads back to where the joints are measured; after it they come to rest."""
ROUNDS = 4
"""How often the plan is shortened, until the motion that follows it is at rest in time."""


class Commander(ABC):
    """Tells one controller, through `send`, the motion that follows the plan and continues what it was told before.

    `streams`: the commander needs `tick` for every target; otherwise one message carries a whole motion. `clamped`
    counts the values of the plan that lay beyond a position limit. `beyond` maps each joint that leaves its limits in
    the newest plan to its largest excess, ROS units. `smoothed` and `bridged` count for each joint how often the plan
    itself could not be kept within the limits, and how often the joint was too far from it (see
    `control.limiter.limiter`).
    """

    streams: bool
    behind = False
    """Whether a part of the motion has not reached the controller, so that plan or hold must be told again."""
    _lost: Array

    def __init__(
        self, joints: Sequence[str], action: JointBinding, lead_s: float, command_rate: float, send: Send
    ) -> None:
        self.joint_names = list(joints)
        self.clamped = 0
        self.beyond: dict[str, float] = {}
        self.smoothed: Counter[str] = Counter()
        self.bridged: Counter[str] = Counter()
        self._send = send
        self._action = action
        self._columns = action.indices(joints)
        self._told = ToldMotion()
        self._under_way: UnderWay[Any] = UnderWay()
        self.found_following()
        self._limiter = MotionLimiter([action.joints[column] for column in self._columns])
        self.configure(action.joints, lead_s, command_rate)

    def configure(self, action_joints: Sequence[Joint], lead_s: float, command_rate: float) -> None:
        """Take new limits, lead and rate while running: `follow` continues the motion within the new limits."""
        joints = [action_joints[column] for column in self._columns]
        self._limiter.configure(joints)
        self._smooth = np.array([joint.smooth for joint in joints])
        self._continuous = np.array([joint.continuous for joint in joints])
        self._max_deviation = np.array([joint.max_deviation for joint in joints])
        self.lead_s = lead_s
        self._command_rate = command_rate

    @property
    def known(self) -> bool:
        """Whether the controller has been told where to be, and nobody else has told it anything since."""
        return self._told.known

    @property
    def motion(self) -> Cubic | None:
        """The motion that the controller has been told, as far back as it matters; None if nothing is known."""
        return self._told.motion

    def told(self, time: float) -> dict[str, float]:
        """Joint -> its commanded position at `time`, ROS units; empty if nothing is known."""
        position = self._told.position_at(time)
        return {} if position is None else dict(zip(self.joint_names, position.tolist(), strict=True))

    def deviations(
        self, measured: Mapping[str, float], time: float, lag: float, with_lost: bool = False
    ) -> dict[str, float]:
        """Joint -> smallest distance between its position `measured` at `time` and all it was told in the `lag` before.

        In ROS units. Joints that were not measured and controllers that were told nothing are left out. `with_lost`:
        include the motion that was given up (see `give_up_for`).
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
        """Return whether the joints were `measured` at `time` near the positions commanded shortly before.

        `was_free`: somebody else may have moved the arm meanwhile, so only a very small distance counts as near. Joints
        that are not smooth (grippers) are not checked, because a gripper that holds something is not at its commanded
        position.
        """
        apart = self.deviations(measured, time, AGREEMENT_LAG_S)
        near = np.minimum(AGREEMENT_IF_FREE if was_free else AGREEMENT, self._max_deviation * AGREEMENT_SHARE)
        far = np.array([apart.get(name, 0.0) for name in self.joint_names]) > near
        return not (far & self._smooth).any()

    def begin(
        self,
        now: float,
        measured: Mapping[str, float],
        was_free: bool = False,
        measured_at: float | None = None,
    ) -> None:
        """Choose where the next motion starts, after a hold or for the first time.

        `measured_at` is when the joints were measured, s; None: at `now`. Measured positions are compared with those
        that were commanded for that time, because a joint may have been braking. The motion continues from the
        commanded position if the joints were measured near it (see `agrees`); otherwise it starts at the measured
        position: a setpoint may jump towards the arm, never away from it. Joints that are not smooth always start at
        their commanded position. Raises KeyError for a joint that has neither a commanded nor a measured position.
        """
        self.found_following()
        if not self._told.known or not self.agrees(measured, now if measured_at is None else measured_at, was_free):
            self.start_at(now, measured)

    def start_at(self, now: float, here: Mapping[str, float]) -> None:
        """Let the next motion start at rest at the positions `here` (joint -> ROS units).

        Joints that are not smooth, or not in `here`, start at their commanded position; KeyError for a joint without
        one.
        """
        self._limiter.clear()
        told = self._told.position_at(now)
        if told is None:
            position = np.array([here[name] for name in self.joint_names])
            self._told.restart(now, self._hardly_outside(position))
        else:
            self._told.stay(now, self._at_measured(told, here))

    def give_up_for(self, motion: Cubic) -> None:
        """Let the next motion continue from `motion`, which is what the joints really do, instead of what was told.

        The motion that is given up is remembered until the joints are found to follow. So a joint that never moves, but
        is told to move again and again, shows the same deviation as if it had been told once.
        """
        told, truth = self._told.position_at(motion.end), motion.positions[-1]
        if told is not None:
            self._lost = self._lost + told - truth
        self._limiter.clear()
        self._told.set(motion)

    def bound_lost(self, timeline: ActionTimeline, now: float) -> None:
        """Limit what was given up to the distance of the plan, so that retries do not increase the deviation."""
        if not self._lost.any():
            return
        told, action = self._told.position_at(now), timeline.sample(now)
        if told is not None and action is not None:
            away = self._action.to_ros(action[None])[0, self._columns] - told
            self._lost = np.clip(self._lost, np.minimum(away, 0.0), np.maximum(away, 0.0))

    def found_following(self) -> None:
        """Note that the joints follow their commands."""
        self._lost = np.zeros(len(self.joint_names))

    def at_rest(self, now: float, measured: Mapping[str, float]) -> Cubic:
        """The motion that stays at the `measured` positions; joints that are not smooth stay where they are told."""
        told = self._told.position_at(now)
        assert told is not None  # noqa: S101
        return Cubic.at_rest(now, self._at_measured(told, measured))

    def extremes(self, begin: float, end: float) -> dict[str, tuple[float, float]]:
        """Joint -> lowest and highest commanded position from `begin` to `end`; empty if nothing is known."""
        extremes = self._told.extremes(begin, end)
        if extremes is None:
            return {}
        lowest, highest = extremes
        return dict(zip(self.joint_names, zip(lowest.tolist(), highest.tolist(), strict=True), strict=True))

    def follow(self, timeline: ActionTimeline, now: float, until: float, overlap: bool = False) -> None:
        """Command the plan as a continuation of what was told, so that the joints are at rest by `until`.

        If hardly any plan is left, nothing new is sent and the motion that was told ends by itself. `overlap`: the
        message may begin in the past. `begin` must have set the start of the motion before.
        """
        limited = self._limited(timeline, self._takes_over(now), until)
        if limited is None:
            return
        self.clamped += limited.clamped
        distances = zip(self.joint_names, limited.beyond.tolist(), strict=True)
        self.beyond = {name: distance for name, distance in distances if distance > 0.0}
        for count, columns in ((self.smoothed, limited.smoothed), (self.bridged, limited.bridged)):
            count.update(self.joint_names[column] for column in np.flatnonzero(columns))
        self._tell(limited.motion, now, overlap)

    def tick(self, now: float) -> None:  # noqa: B027  # not every controller is to be told
        """Send the target for now to a controller that streams. Other controllers follow by themselves."""

    def finish(self, now: float) -> None:  # noqa: B027
        """Send the target for now to a controller that streams, until it has been told to be at rest."""

    @property
    def unfinished(self) -> bool:
        """Whether `finish` still has something to send."""
        return False

    def hold(self, now: float, in_any_case: bool = False, overlap: bool = False) -> None:
        """Tell the controller to come to rest, continuing what it has been told, and to stay there.

        Joints that are not smooth stay where they are told to be. Nothing is sent to a controller that was told
        nothing. Unless `in_any_case`, nothing is sent either if the commanded motion is at rest, or comes to rest at
        least as soon as the hold would: braking again would take the motion beyond the time until which its plan may be
        followed.
        """
        time = self._takes_over(now)
        motion = self._told.motion
        if motion is None:
            return
        self._limiter.clear()
        if in_any_case or self._told.moving_at(now):
            braking = brake(motion, time, self._limiter.limits, ~self._smooth)
            if in_any_case or motion.rests_from > braking.rests_from:
                self._tell(braking, now, overlap)

    def hold_at(self, now: float, measured: Mapping[str, float], overlap: bool = False) -> None:
        """Stay where the joints are measured; joints that are not smooth stay where they are told.

        This is for an arm that does not follow: a command to stay at the commanded position would go on pushing. Joints
        near their commanded position return to it within their limits, other joints at once.
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

    @abstractmethod
    def take_back(self, command: Command) -> bool:
        """Note that `command` and all that were sent after it have never been published.

        What was told is again what was published, and the commander is `behind`. Returns whether the controller is
        under way, so that `follow` and `hold` go on from there; if not, the motion has not begun, and `begin` must.
        """

    def forget(self) -> None:
        """Forget the commanded motion: somebody else may have moved the joints or commanded the controller."""
        self._told.forget()
        self._limiter.clear()
        self.found_following()

    def restart_clock(self, before: float, now: float) -> None:
        """The clock jumped from `before` to `now`: forget the past, and stay at the position commanded for `before`."""
        position = self._told.position_at(before)
        if position is not None:
            self._limiter.clear()
            self._told.restart(now, position)

    def _at_measured(self, told: Array, measured: Mapping[str, float]) -> Array:
        """The measured positions (joints,); the `told` position for joints that are not smooth or not measured.

        Continuous joints keep the turn of their commanded position: their encoders count from half a turn to half a
        turn, and the same place one turn away would send them all the way round.
        """
        here = np.array([measured.get(name, np.nan) for name in self.joint_names])
        here = self._hardly_outside(np.where(self._continuous, nearest_turn(here, told), here))
        return np.where(self._smooth & np.isfinite(here), here, told)

    def _hardly_outside(self, position: Array) -> Array:
        """`position` (joints,), moved to a limit if it is slightly beyond: an arm that pushes on a limit sags so far.

        A joint that is further outside does not jump back inside; it returns slowly.
        """
        inside = self._limiter.limits.clip(position)
        return np.asarray(np.where(np.abs(inside - position) <= HARDLY, inside, position))

    def _takes_over(self, now: float) -> float:
        """The time at which a command that is made now takes over."""
        return now

    @abstractmethod
    def _tell(self, motion: Cubic, now: float, overlap: bool) -> None:
        """Tell the controller `motion`, which continues what it was told."""

    def _limited(self, timeline: ActionTimeline, time: float, until: float) -> LimitedMotion | None:
        """The motion from `time` on that follows the plan and rests by `until`; None if hardly any plan is left."""
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
        """The plan (n, joints) at `times` (n,), ROS units: merged; for joints that are not smooth, the newest."""
        rows = self._action.to_ros(timeline.at(times))[:, self._columns]
        if self._smooth.all():
            return rows
        newest = self._action.to_ros(timeline.newest_at(times))[:, self._columns]
        return np.where(self._smooth, rows, newest)
