"""MotionLimiter: the motion that follows a plan as well as the limits allow, on from what was told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from act_inference_ros.control.cubic import Array, Cubic, MotionPoint
from act_inference_ros.control.limiter.bounds import Bools, Columns, MotionLimits, keeps_limits
from act_inference_ros.control.limiter.course import Bridged, Course, Direct, together
from act_inference_ros.control.limiter.grid import on_grid
from act_inference_ros.control.limiter.landing import land
from act_inference_ros.control.limiter.reference import SHORTEST_END_S, Plan
from act_inference_ros.control.limiter.straight import straight
from act_inference_ros.control.spline import decaying_offset
from act_inference_ros.errors import BadOutputError, ObservationError
from act_inference_ros.joints import Joint

OFFSET_S = 0.2
"""s; the offset between the present motion and the new plan decays to zero in this time."""
OFFSET_REACH = 0.4
"""An offset above this share of max_acceleration * OFFSET_S^2 cannot decay in time: it is not tried."""
SOONEST_LANDING_S = 0.2
"""A bridge that begins takes at least this long, as an offset does; a shorter one would be rougher than needed."""
NEAREST_ROW = 0.5
"""Rows nearer to the stamp than this share of their spacing are left out: a short first segment amplifies a step."""
NEAREST_ROW_S = 1e-5
"""The same in s, where what was told passes through the rows, so that there is no step."""
STEP_ACCELERATION = 0.2
"""ROS units/s2: more than this a step must not cause in the first segment; a step d over h s causes 6 d / h^2."""
EVEN_S = 1e-6
"""Rows whose distances differ by less than this are evenly spaced; times of today's date are rounded to 0.24 us."""


@dataclass(frozen=True)
class LimitedMotion:
    """A motion from the stamp, its origin and first knot, to rest; and what became of the plan, each bool (joints,).

    `smoothed`: the plan itself is beyond the limits of this joint, and a smoothed one is followed. `bridged`: the joint
    is too far from the plan, and first leads there. A joint that is neither follows the plan through each of its rows,
    as soon as the offset from what was told before has decayed.
    `clamped`: how many values of the rows ahead lay beyond a limit of position, and were moved to it; `beyond`: by how
    much at most, (joints,), ROS units.
    """

    motion: Cubic
    smoothed: Bools
    bridged: Bools
    clamped: int
    beyond: Array

    @property
    def exact(self) -> Bools:
        """Which joints follow the plan itself from the stamp on, (joints,)."""
        return np.asarray(~(self.smoothed | self.bridged))


class MotionLimiter:
    """Limits the plan of one controller's joints in position, velocity and acceleration, also between its knots.

    Remembers when each joint meets its plan again (its landing): until then an offset must not take over, because a
    joint that brakes for the landing would overshoot. Not thread-safe.
    """

    def __init__(self, joints: Sequence[Joint]) -> None:
        self.configure(joints)
        self.clear()

    def configure(self, joints: Sequence[Joint]) -> None:
        """Take new limits of the same joints; a joint that is faster than the new ones brakes at the next `follow`."""
        self.limits = MotionLimits.of(joints)
        self._smooth = np.array([joint.smooth for joint in joints])

    def clear(self) -> None:
        """Forget the landings: to be called when a hold brakes, or when a motion starts anew."""
        self._landing: Array = np.full(len(self.limits.lowest), -np.inf)

    def follow(
        self, told: Cubic, stamp: float, times: Array, rows: Array, shortest_end_s: float = SHORTEST_END_S
    ) -> LimitedMotion | None:
        """The motion from what is told for `stamp` along the plan `rows` (n, joints) at `times` (n,), evenly spaced.

        The motion comes to rest `shortest_end_s` after the last row, or later where the acceleration asks for that.
        Rows before the stamp and very near to it do not count. None if fewer than two are left, so that what was told
        had better run out. Raises ValueError for rows that are not evenly spaced, BadOutputError for rows, and
        ObservationError for a start, that are no finite numbers for each joint.

        Each joint takes the first of these that keeps its limits: (1) the smoothest motion through the rows plus an
        offset that decays; (2) the plan alone, else the smoothed plan, as the reference, (3) plus an offset; (4) a
        bridge to the reference. Joints that are not smooth go straight from row to row within their velocity.
        """
        self._check_rows(rows, (len(times), len(self.limits.lowest)))
        if len(times) < 2:
            return None
        since, spacing = _even(times - stamp)
        told = told.with_times_since(stamp)
        start = told.at(0.0)
        self._check_start(start)
        within, here = self.limits.clip(rows), since >= 0.0
        step = np.abs(told.sample(since[here][:3]).position - within[here][:3]).max(initial=0.0)
        nearest = np.clip(np.sqrt(6.0 * step / STEP_ACCELERATION), NEAREST_ROW_S, NEAREST_ROW * spacing)
        ahead = since > nearest
        if np.count_nonzero(ahead) < 2:
            return None
        plan = Plan.with_soft_end(since[ahead], within[ahead], spacing, self.limits, shortest_end_s)
        flying = self._landing > stamp + EVEN_S
        offset, _ = decaying_offset(plan.times, OFFSET_S, *difference(told, since[here], within[here]))
        direct = plan.from_start(start.position, start.velocity, offset, self.limits)
        follows = keeps_limits(direct, self.limits.including(start.position)) & ~flying & self._smooth
        # Before the landings are forgotten: how soon a joint may land at the earliest.
        soonest = np.where(flying, np.minimum(SOONEST_LANDING_S, self._landing - stamp), SOONEST_LANDING_S)
        self.clear()
        smoothed, bridged = np.zeros_like(follows), np.zeros_like(follows)
        motion = direct
        if not follows.all():
            courses: list[Course] = [Direct(np.flatnonzero(follows), direct.of_columns(follows))]
            if not self._smooth.all():
                courses.append(self._straight(start, plan))
            beyond = np.flatnonzero(~follows & self._smooth)
            for columns, reference, is_smoothed in _references(plan, beyond, self.limits):
                smoothed[columns] = is_smoothed
                courses.append(self._with_offset(columns, start, reference, flying))
                far = np.setdiff1d(columns, courses[-1].columns)
                if len(far):
                    goal = reference.of_columns(np.isin(columns, far))
                    bridge = land(start.of_columns(far), goal, self.limits.of_columns(far), soonest[far])
                    courses.append(Bridged(far, bridge, goal))
                    bridged[far], self._landing[far] = True, stamp + bridge.landing
            motion = together([course for course in courses if len(course.columns)], start)
        clamped = int(np.count_nonzero((within != rows)[ahead]))
        beyond = np.abs(within - rows)[ahead].max(axis=0, initial=0.0)
        return LimitedMotion(replace(motion, origin=stamp), smoothed, bridged, clamped, beyond)

    def _straight(self, start: MotionPoint, plan: Plan) -> Direct:
        """The joints that are not smooth."""
        columns = np.flatnonzero(~self._smooth)
        limits = self.limits.of_columns(columns)
        return Direct(
            columns, straight(start.of_columns(columns), plan.times, plan.rows[:, columns], limits.max_velocity)
        )

    def _with_offset(self, columns: Columns, start: MotionPoint, reference: Cubic, flying: Bools) -> Direct:
        """Those of the joints `columns` that can go over to their `reference` by an offset that decays."""
        limits, start = self.limits.of_columns(columns), start.of_columns(columns)
        gap = reference.times[0]
        first = reference.at(float(gap))
        # Where the reference would have been at the start, had it been accelerated evenly.
        position = first.position - first.velocity * gap + first.acceleration * gap**2 / 2.0
        velocity = first.velocity - first.acceleration * gap
        apart = start.position - position
        offset, slope = decaying_offset(
            reference.times, OFFSET_S, apart, start.velocity - velocity, np.zeros_like(apart)
        )
        motion = Cubic(
            0.0,
            np.concatenate([[0.0], reference.times]),
            np.concatenate([start.position[None], reference.positions + offset]),
            np.concatenate([start.velocity[None], reference.velocities + slope]),
        )
        goes = (np.abs(apart) < OFFSET_REACH * limits.max_acceleration * OFFSET_S**2) & ~flying[columns]
        if goes.any():
            goes &= keeps_limits(motion, limits.including(start.position))
        return Direct(columns[goes], motion.of_columns(goes))

    def _check_rows(self, rows: Array, shape: tuple[int, int]) -> None:
        if rows.shape != shape or not np.isfinite(rows).all():
            raise BadOutputError(f"plan: expected finite numbers {shape}, got {rows.shape}: {rows}")

    def _check_start(self, start: MotionPoint) -> None:
        joints = len(self.limits.lowest)
        if start.position.shape != (joints,) or not np.isfinite([start.position, start.velocity]).all():
            raise ObservationError(f"start of a motion: expected {joints} finite positions and velocities, got {start}")


def difference(told: Cubic, times: Array, rows: Array) -> tuple[Array, Array, Array]:
    """Return told minus plan at the time 0, with first and second derivative, each (joints,), in ROS units and s.

    From the parabola through told minus plan at the first three of the rows (n, joints) ahead, at `times` (n,). Both
    are compared at the rows' times, so a plan that was told before has the difference 0, whatever lies between the
    rows. Rows ahead are used because the told motion may have stopped or landed shortly before.
    """
    t = times[:3]
    apart = told.sample(t).position - rows[:3]
    slopes = np.diff(apart, axis=0) / np.diff(t)[:, None]
    bend = (slopes[-1] - slopes[0]) / (t[-1] - t[0])
    return apart[0] - t[0] * (slopes[0] - t[1] * bend), slopes[0] - (t[0] + t[1]) * bend, 2.0 * bend


def _even(times: Array) -> tuple[Array, float]:
    """The times on the grid and evenly spaced, and their spacing. Raises ValueError if they are not, by far."""
    spacing = float(times[-1] - times[0]) / (len(times) - 1)
    even = times[0] + spacing * np.arange(len(times))
    if not (spacing > EVEN_S and np.abs(times - even).max() <= EVEN_S):
        raise ValueError(f"the rows of a plan must be evenly spaced, got them at {times} s after the stamp")
    return on_grid(even), spacing


def _references(plan: Plan, columns: Columns, limits: MotionLimits) -> Iterator[tuple[Columns, Cubic, bool]]:
    """What the joints `columns` can follow, in up to two groups, and whether that is the smoothed plan."""
    calm = columns[plan.may_be_kept(limits)[columns]]
    if len(calm):
        alone = plan.of_columns(calm).alone(limits.of_columns(calm))
        keeps = keeps_limits(alone, limits.of_columns(calm))
        calm = calm[keeps]
        if len(calm):
            yield calm, alone.of_columns(keeps), False
    wild = np.setdiff1d(columns, calm)
    if len(wild):
        yield wild, plan.of_columns(wild).smoothed(limits.of_columns(wild)), True
