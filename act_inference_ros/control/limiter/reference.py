"""What of a plan can be followed: its rows with a soft end, and the smoothed plan where the rows cannot be kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from act_inference_ros.control.cubic import Array, Cubic
from act_inference_ros.control.limiter.bounds import SHARE, Bools, Columns, MotionLimits
from act_inference_ros.control.limiter.grid import on_grid
from act_inference_ros.control.spline import spline_velocities

SHORTEST_END_S = 0.3
"""A plan comes to rest this long after its last row, or later if the acceleration is limited to less."""
END_SHARE = 1.05
"""The time that the soft end has, as a share of what braking at the limit takes."""

WIDTHS = (1, 2, 3, 4, 6, 8, 11, 15, 20, 27, 36, 48, 64, 85, 113, 150)
"""Half widths, in rows, of the moving average that smooths a plan; the smallest that keeps the limits is used."""
LONGEST_RISE_S = 3.0
"""s; a smoothed plan is at most as fast as a joint that accelerates from rest for this long.

This bounds the width of the moving average."""


@dataclass(frozen=True)
class Plan:
    """The rows ahead (n, joints), inside the limits of position, at `times` (n,) s after the stamp, `spacing` apart.

    It comes to rest at `end_position` (joints,) at the time `end`.
    """

    times: Array
    rows: Array
    spacing: float
    end: float
    end_position: Array

    @classmethod
    def with_soft_end(
        cls, times: Array, rows: Array, spacing: float, limits: MotionLimits, shortest_end_s: float = SHORTEST_END_S
    ) -> Plan:
        """Return the plan of `rows` (n, joints), n at least 2, at `times` (n,) s, `spacing` s apart.

        It goes on with its last velocity, and brakes evenly.
        """
        velocity = np.clip((rows[-1] - rows[-2]) / spacing, -limits.max_velocity, limits.max_velocity)
        end_s = max(shortest_end_s, END_SHARE * float((np.abs(velocity) / limits.max_acceleration).max()))
        end = float(on_grid(times[-1:] + end_s)[0])
        end_position = limits.clip(rows[-1] + velocity * (end - times[-1]) / 2.0)
        return cls(times, rows, spacing, end, end_position)

    def of_columns(self, columns: Columns) -> Plan:
        """The plan for some of the joints."""
        return Plan(self.times, self.rows[:, columns], self.spacing, self.end, self.end_position[columns])

    def may_be_kept(self, limits: MotionLimits) -> Bools:
        """Which joints (joints,) some motion through the rows could keep within their limits: a quick necessary test.

        By the mean velocities between rows, and by the second differences, which are mean accelerations.
        """
        steps = np.diff(self.rows, axis=0)
        changes = np.diff(steps, axis=0)
        slow = np.abs(steps) <= limits.max_velocity * self.spacing * (1.0 + SHARE)
        gentle = np.abs(changes) <= limits.max_acceleration * self.spacing**2 * (1.0 + SHARE)
        return np.asarray(slow.all(axis=0) & gentle.all(axis=0))

    def from_start(self, position: Array, velocity: Array, offset: Array, limits: MotionLimits) -> Cubic:
        """The smoothest motion from the stamp through the rows plus `offset` (n, joints) to rest.

        `position` and `velocity` (joints,) are those at the stamp.
        """
        times = np.concatenate([[0.0], self.times, [self.end]])
        positions = np.concatenate([position[None], limits.clip(self.rows + offset), self.end_position[None]])
        return Cubic(0.0, times, positions, spline_velocities(times, positions, velocity, np.zeros_like(velocity)))

    def alone(self, limits: MotionLimits) -> Cubic:
        """The smoothest motion from the first row to rest; it begins as the parabola through the first rows does."""
        slopes = np.diff(self.rows[:3], axis=0) / self.spacing
        first = 1.5 * slopes[0] - 0.5 * slopes[-1]
        first = np.clip(first, -limits.max_velocity, limits.max_velocity)
        times = np.append(self.times, self.end)
        positions = np.concatenate([self.rows, self.end_position[None]])
        return Cubic(0.0, times, positions, spline_velocities(times, positions, first, np.zeros_like(first)))

    def smoothed(self, limits: MotionLimits) -> Cubic:
        """The centred mean of the rows, for each joint just wide enough that velocity and acceleration are kept.

        With rows Q whose steps are within the velocity, R[k] = (Q[k-n] / 2 + Q[k-n+1] + ... + Q[k+n] / 2) / 2n and
        V[k] = (Q[k+n] - Q[k-n]) / 2nh: segments of constant acceleration (s[k+n] - s[k-n]) / 2nh, s being the slopes of
        Q. A mean stays inside what it is the mean of, thus within the limits of position, and it does not lag. The rows
        go on as they begin before the first, and stay where they end after the last; the mean comes to rest n rows
        later.
        """
        fastest = np.minimum(limits.max_velocity, limits.max_acceleration * LONGEST_RISE_S)
        rows = within_steps(self.rows, fastest * self.spacing)
        half = self._half_widths(rows, fastest, limits.max_acceleration)
        widest, count, columns = int(half.max()), len(rows), np.arange(rows.shape[1])
        before = limits.clip(rows[0] - np.arange(widest, 0, -1)[:, None] * (rows[1] - rows[0]))
        padded = np.vstack([before, rows, np.repeat(rows[-1:], 2 * widest, axis=0)])
        sums = np.vstack([np.zeros((1, len(columns))), np.cumsum((padded[1:] + padded[:-1]) / 2.0, axis=0)])
        place = np.arange(count + widest)[:, None] + widest
        later, earlier = place + half, place - half
        positions = (sums[later, columns] - sums[earlier, columns]) / (2 * half)
        velocities = (padded[later, columns] - padded[earlier, columns]) / (2 * half * self.spacing)
        further = on_grid(self.times[-1] + self.spacing * np.arange(1, widest + 1))
        times = np.r_[self.times, further]
        if self.end > times[-1]:
            times = np.append(times, self.end)
            positions, velocities = np.vstack([positions, rows[-1]]), np.vstack([velocities, 0.0 * rows[-1]])
        velocities[-1] = 0.0
        return Cubic(0.0, times, positions, velocities)

    def _half_widths(self, rows: Array, fastest: Array, max_acceleration: Array) -> Columns:
        """The smallest half width n (joints,) of `WIDTHS` at which the mean of `rows` keeps `max_acceleration`."""
        # A change of velocity from one limit to the other spread over 2 n rows: this wide is always enough.
        enough = int(np.ceil((fastest / max_acceleration).max() / self.spacing))
        widths = [n for n in WIDTHS if n < enough] + [next((n for n in WIDTHS if n >= enough), enough)]
        steps = np.diff(rows, axis=0)
        pad = 2 * widths[-1] + 1
        padded = np.vstack([np.repeat(steps[:1], pad, axis=0), steps, np.zeros((pad, rows.shape[1]))])
        half = np.full(rows.shape[1], widths[-1])
        open_ = np.ones(rows.shape[1], dtype=np.bool_)
        for n in widths:
            changes = padded[pad + n : pad + len(rows) + 2 * n] - padded[pad - n : pad + len(rows)]
            gentle = np.abs(changes).max(axis=0) <= 2 * n * self.spacing**2 * max_acceleration * (1.0 + 1e-9)
            half[open_ & gentle] = n
            open_ &= ~gentle
            if not open_.any():
                break
        return half


def within_steps(rows: Array, reach: Array) -> Array:
    """`rows` (n, joints), each moved to within `reach`, (joints,) or (n - 1, joints), of the one before it."""
    if (np.abs(np.diff(rows, axis=0)) <= reach).all():
        return rows
    limited = rows.copy()
    for k, far in enumerate(np.broadcast_to(reach, (len(rows) - 1, rows.shape[1])), start=1):
        limited[k] = np.minimum(np.maximum(rows[k], limited[k - 1] - far), limited[k - 1] + far)
    return limited
