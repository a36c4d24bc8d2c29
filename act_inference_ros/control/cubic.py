"""Cubic: a motion of several joints in pieces of third degree, as a joint_trajectory_controller plays it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]

SAME = 1e-9
"""ROS units (and per s): two motions that differ by less than this where they meet are joined without a jump."""


@dataclass(frozen=True)
class MotionPoint:
    """Position, velocity and acceleration, each (joints,) at one instant or (n, joints) at n; ROS units and s."""

    position: Array
    velocity: Array
    acceleration: Array

    def of_columns(self, columns: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> MotionPoint:
        """The same of some of the joints."""
        return MotionPoint(self.position[..., columns], self.velocity[..., columns], self.acceleration[..., columns])


@dataclass(frozen=True)
class Cubic:
    """Positions and velocities (n, joints) at `times` (n,), s after `origin`, joined by cubic Hermite segments.

    That is what joint_trajectory_controller plays for points that have both (`Trajectory::interpolate_between_points`
    in ros2_controllers), so the motion can be told as it is. It is at rest before the first time and after the last.
    Times do not decrease; two knots at one time are a jump, and at that instant the second one holds.

    Times count from an origin because a float64 of today's date resolves no more than 0.24 microseconds, which is
    visible in accelerations. Where a method takes a time, it is one of the clock, which counts as `origin` does.
    """

    origin: float
    times: Array
    positions: Array
    velocities: Array

    def __post_init__(self) -> None:
        shape = self.positions.shape
        if len(shape) != 2 or self.times.shape != shape[:1] or self.velocities.shape != shape or not shape[0]:
            raise ValueError(
                "a cubic needs times (n,), positions and velocities (n, joints), n at least 1; got "
                f"{self.times.shape}, {shape} and {self.velocities.shape}"
            )
        if not (self.times[1:] >= self.times[:-1]).all():
            raise ValueError(f"the times of a cubic must not decrease, got {self.times}")

    @classmethod
    def at_rest(cls, time: float, position: Array) -> Cubic:
        """The motion that stays at `position` (joints,) and is known from `time` on."""
        return cls(time, np.zeros(1), np.array(position, dtype=np.float64)[None], np.zeros((1, len(position))))

    @classmethod
    def straight(cls, time: float, position: Array, velocity: Array) -> Cubic:
        """The motion from `position` on at an even `velocity` (joints,) for one second."""
        return cls(time, np.array([0.0, 1.0]), np.stack([position, position + velocity]), np.stack([velocity] * 2))

    @property
    def begin(self) -> float:
        """Time of the first knot."""
        return self.origin + float(self.times[0])

    @property
    def end(self) -> float:
        """Time of the last knot."""
        return self.origin + float(self.times[-1])

    @property
    def rests_from(self) -> float:
        """The time of the first knot from which on nothing moves any more."""
        moves = self.velocities.any(axis=1) | (self.positions != self.positions[-1]).any(axis=1)
        last = int(np.flatnonzero(moves)[-1]) + 1 if moves.any() else 0
        return self.origin + float(self.times[min(last, len(self.times) - 1)])

    def at(self, time: float) -> MotionPoint:
        """The motion at `time`, arrays (joints,); at a knot its acceleration is that of the segment after it."""
        rows = self.sample(np.array([time]))
        return MotionPoint(rows.position[0], rows.velocity[0], rows.acceleration[0])

    def sample(self, times: Array) -> MotionPoint:
        """The motion at `times` (m,), arrays (m, joints)."""
        since = times - self.origin
        after = self.times.searchsorted(since, side="right")
        moves = (after > 0) & (after < len(self.times))
        if moves.all():
            return self._on_way(since, after)
        held = self.positions[np.where(after > 0, len(self.times) - 1, 0)]
        found = MotionPoint(held, np.zeros_like(held), np.zeros_like(held))
        if moves.any():
            on_way = self._on_way(since[moves], after[moves])
            found.position[moves] = on_way.position
            found.velocity[moves] = on_way.velocity
            found.acceleration[moves] = on_way.acceleration
        return found

    def _on_way(self, since: Array, after: npt.NDArray[np.intp]) -> MotionPoint:
        """The motion `since` (m,) s after the origin, in the segments that end with the knots `after` (m,)."""
        before = after - 1
        begin = self.times[before]
        return hermite(
            (since - begin)[:, None],
            (self.times[after] - begin)[:, None],
            (self.positions[before], self.velocities[before]),
            (self.positions[after], self.velocities[after]),
        )

    def of_columns(self, columns: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Cubic:
        """The motion of some of the joints."""
        return Cubic(self.origin, self.times, self.positions[:, columns], self.velocities[:, columns])

    def relative_to(self, origin: float) -> Cubic:
        """The same motion with its times counted from `origin`."""
        return Cubic(origin, self.times + (self.origin - origin), self.positions, self.velocities)

    def with_times_since(self, origin: float) -> Cubic:
        """The same motion on a clock whose 0 is at `origin`: its times are finer than those of today's date."""
        return Cubic(0.0, self.times + (self.origin - origin), self.positions, self.velocities)

    def until(self, time: float) -> Cubic:
        """The motion up to `time`, where it ends with the velocity that it arrives with; all of it if it ends earlier.

        Up to a time before its first knot it is a place to stay at.
        """
        if time >= self.end:
            return self
        since = time - self.origin
        count = int(self.times.searchsorted(since))
        is_knot = count < len(self.times) and self.times[count] == since
        return self._with_knots(slice(count + 1 if is_knot else count), [], [] if is_knot else [time])

    def since(self, time: float) -> Cubic:
        """The motion from `time` on; all of it where it begins later."""
        if time <= self.begin:
            return self
        first = int(self.times.searchsorted(time - self.origin, side="right"))
        return self._with_knots(slice(first, None), [time], [])

    def since_jump(self, time: float) -> Cubic:
        """The motion from the last jump at or before `time` on: what can be told again without a step."""
        jumps = np.flatnonzero((self.times[1:] == self.times[:-1]) & (self.times[1:] <= time - self.origin))
        if not len(jumps):
            return self
        first = int(jumps[-1]) + 1
        return Cubic(self.origin, self.times[first:], self.positions[first:], self.velocities[first:])

    def then(self, other: Cubic) -> Cubic:
        """What this motion says before the first knot of `other`, and from there on what `other` says.

        Where the two do not agree the joint motion has a jump. Times count from the origin of `other`.
        """
        at = float(other.times[0])
        mine = self.with_times_since(other.origin)
        if at <= mine.begin:
            return other
        before = mine.until(at)
        times, positions, velocities = before.times, before.positions, before.velocities
        if times[-1] < at:  # it has come to rest, and stays there
            rest = [at] if not velocities[-1].any() else [times[-1], at]
            times = np.append(times, rest)
            positions = np.concatenate([positions, *[positions[-1:]] * len(rest)])
            velocities = np.concatenate([velocities, np.zeros((len(rest), velocities.shape[1]))])
        agrees = (
            np.abs(positions[-1] - other.positions[0]).max() <= SAME
            and np.abs(velocities[-1] - other.velocities[0]).max() <= SAME
        )
        kept = len(times) - 1 if agrees else len(times)
        return Cubic(
            other.origin,
            np.concatenate([times[:kept], other.times]),
            np.concatenate([positions[:kept], other.positions]),
            np.concatenate([velocities[:kept], other.velocities]),
        )

    def extremes(self, begin: float, end: float) -> tuple[Array, Array]:
        """Lowest and highest position (joints,) between the two times, also between the knots."""
        first, last = np.clip([begin - self.origin, end - self.origin], self.times[0], self.times[-1]).tolist()
        inside = slice(*self.times.searchsorted([first, last], side="right").tolist())
        piece = Cubic(0.0, self.times, self.positions, self.velocities)._with_knots(inside, [first], [last])
        lowest, highest = segment_extremes(np.diff(piece.times), piece.positions, piece.velocities)
        return np.asarray(lowest.min(axis=0)), np.asarray(highest.max(axis=0))

    def _with_knots(self, inside: slice, first: list[float], last: list[float]) -> Cubic:
        """The knots that are `inside`, and this motion at the times `first` before and `last` after them."""
        if not first and not last:
            return Cubic(self.origin, self.times[inside], self.positions[inside], self.velocities[inside])
        at, n = np.array(first + last), len(first)
        ends, since = self.sample(at), at - self.origin
        return Cubic(
            self.origin,
            np.concatenate([since[:n], self.times[inside], since[n:]]),
            np.concatenate([ends.position[:n], self.positions[inside], ends.position[n:]]),
            np.concatenate([ends.velocity[:n], self.velocities[inside], ends.velocity[n:]]),
        )


def hermite(since: Array, duration: Array, start: tuple[Array, Array], end: tuple[Array, Array]) -> MotionPoint:
    """The motion `since` s after the begin of a segment of `duration` s (broadcast against the positions).

    `start` and `end` are positions and velocities there. A cubic in Hermite form, as `c0 + s (c1 + s (c2 + s c3))`.
    """
    (p0, v0), (p1, v1) = start, end
    slope = (p1 - p0) / duration
    c2 = (3.0 * slope - 2.0 * v0 - v1) / duration
    c3 = (v0 + v1 - 2.0 * slope) / duration**2
    return MotionPoint(
        np.asarray(p0 + since * (v0 + since * (c2 + since * c3))),
        np.asarray(v0 + since * (2.0 * c2 + 3.0 * since * c3)),
        np.asarray(2.0 * c2 + 6.0 * since * c3),
    )


def segment_extremes(durations: Array, positions: Array, velocities: Array) -> tuple[Array, Array]:
    """Lowest and highest position (n - 1, joints) within each segment between n knots, `durations` (n - 1,) apart.

    Looks at the ends and where the velocity `c1 + 2 c2 s + 3 c3 s2` is 0, by the form of the quadratic's roots that
    loses no digits to cancellation. A segment without duration is a jump.
    """
    h = np.where(durations > 0.0, durations, 1.0)[:, None]
    p0, p1, v0, v1 = positions[:-1], positions[1:], velocities[:-1], velocities[1:]
    slope = (p1 - p0) / h
    c2, c3 = (3.0 * slope - 2.0 * v0 - v1) / h, (v0 + v1 - 2.0 * slope) / h**2
    lowest, highest = np.minimum(p0, p1), np.maximum(p0, p1)
    discriminant = c2 * c2 - 3.0 * v0 * c3
    q = -(c2 + np.where(c2 >= 0.0, 1.0, -1.0) * np.sqrt(np.maximum(discriminant, 0.0)))
    with np.errstate(divide="ignore", invalid="ignore"):
        roots = (q / (3.0 * c3), v0 / q)
    for root in roots:
        turns = (discriminant >= 0.0) & (root > 0.0) & (root < durations[:, None])
        s = np.where(turns, root, 0.0)
        there = p0 + s * (v0 + s * (c2 + s * c3))
        lowest, highest = np.minimum(lowest, there), np.maximum(highest, there)
    return lowest, highest
