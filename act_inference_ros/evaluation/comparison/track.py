"""Track: positions of some joints over time, with a short memory, looked up at many instants at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from act_inference_ros.control.cubic import Cubic
from act_inference_ros.control.spline import spline_velocities

SNAP_S = 1e-6
"""Instants closer than this count as one: near 1.7e9 s (today) a float64 resolves 0.24 microseconds."""

Floats = npt.NDArray[np.float64]

_FIRST_CAPACITY = 256
_NEAREST_KNOTS_S = 0.002
_SPLINE_MARGIN = 24
"""Extra rows on either side for a spline: with each row the influence of an end falls to 0.27."""


class Track:
    """Rows (width,) at increasing times. Memory is bounded by what `forget_before` leaves."""

    def __init__(self, width: int) -> None:
        self._times: Floats = np.empty(_FIRST_CAPACITY)
        self._rows: Floats = np.empty((_FIRST_CAPACITY, width))
        self._begin = self._end = 0

    def __len__(self) -> int:
        return self._end - self._begin

    @property
    def times(self) -> Floats:
        """(n,), a view."""
        return self._times[self._begin : self._end]

    @property
    def rows(self) -> Floats:
        """(n, width), a view."""
        return self._rows[self._begin : self._end]

    def append(self, time: float, row: Floats) -> None:
        """Add a row; a row at the time of the last one replaces it, and an earlier row is ignored."""
        if len(self) and time <= self._times[self._end - 1] + SNAP_S:
            if time >= self._times[self._end - 1] - SNAP_S:
                self._rows[self._end - 1] = row
            return
        if self._end == len(self._times):
            self._make_room()
        self._times[self._end], self._rows[self._end] = time, row
        self._end += 1

    def clear(self) -> None:
        """Forget everything."""
        self._begin = self._end = 0

    def forget_from(self, time: float) -> None:
        """Make positions unknown from `time` on, until the next row."""
        self._end = self._begin + int(np.searchsorted(self.times, time - SNAP_S))
        self.append(time, np.full(self._rows.shape[1], np.nan))

    def held(self, times: Floats) -> Floats:
        """The last row at or before each of `times` (n, width); nan before the first."""
        place = np.searchsorted(self.times, times + SNAP_S, side="right") - 1
        return self._picked(place, place >= 0)

    def linear(self, times: Floats, max_gap: float) -> Floats:
        """Linear between rows at most `max_gap` s apart (n, width); nan elsewhere."""
        place = np.searchsorted(self.times, times + SNAP_S, side="right") - 1
        found = self._picked(place, place >= 0)
        if not len(self):
            return found
        lower = np.clip(place, 0, len(self) - 1)
        upper = np.minimum(lower + 1, len(self) - 1)
        gap = self.times[upper] - self.times[lower]
        past = times - self.times[lower]
        between = (place >= 0) & (past > SNAP_S)
        share = np.where(gap > 0.0, past / np.where(gap > 0.0, gap, 1.0), 0.0)[:, None]
        mixed = self.rows[lower] * (1.0 - share) + self.rows[upper] * share
        found[between] = mixed[between]
        found[between & ((gap <= 0.0) | (gap > max_gap + SNAP_S))] = np.nan
        return found

    def splined(self, origin: float, since: Floats, max_gap: float) -> Floats:
        """Return points on a smooth curve through rows at most `max_gap` s apart (n, width); nan elsewhere.

        The curve is the cubic spline with two continuous derivatives; straight lines would add corners that the motion
        did not have. The instants lie `since` (n,) s after `origin` and increase; a float64 of today's date would be
        too coarse for derivatives of the result.
        """
        found = np.full((len(since), self._rows.shape[1]), np.nan)
        if not len(since) or len(self) < 2:
            return found
        first = max(0, int(np.searchsorted(self.times, origin + since[0])) - _SPLINE_MARGIN)
        last = int(np.searchsorted(self.times, origin + since[-1])) + _SPLINE_MARGIN
        apart = np.append(
            np.diff(self.times[first:last]) > _NEAREST_KNOTS_S, True
        )  # nearer knots would give only rounding errors
        knots, rows = self.times[first:last][apart] - origin, self.rows[first:last][apart]
        broken = (np.diff(knots) > max_gap + SNAP_S) | ~np.isfinite(rows[1:] - rows[:-1]).all(axis=1)
        for part in np.split(np.arange(len(knots)), np.flatnonzero(broken) + 1):
            inside = (since >= knots[part[0]] - SNAP_S) & (since <= knots[part[-1]] + SNAP_S)
            if len(part) > 1 and inside.any():
                found[inside] = _through(knots[part], rows[part], since[inside])
        return found

    def forget_before(self, time: float) -> None:
        """Drop rows that say nothing about `time` or later."""
        self._begin += max(0, int(np.searchsorted(self.times, time, side="right")) - 1)

    def _picked(self, place: npt.NDArray[np.intp], known: npt.NDArray[np.bool_]) -> Floats:
        found = np.full((len(place), self._rows.shape[1]), np.nan)
        found[known] = self.rows[place[known]]
        return found

    def _make_room(self) -> None:
        """Move the kept rows to the front of a buffer with twice their size."""
        capacity = max(_FIRST_CAPACITY, 2 * len(self))
        times, rows = np.empty(capacity), np.empty((capacity, self._rows.shape[1]))
        n = len(self)
        times[:n], rows[:n] = self.times, self.rows
        self._times, self._rows, self._begin, self._end = times, rows, 0, n


def _through(knots: Floats, rows: Floats, times: Floats) -> Floats:
    """Return the spline through `rows` (m, width) at `knots` (m,), m at least 2, at `times` (n,)."""
    ends = _end_velocity(knots[:3], rows[:3]), _end_velocity(knots[:-4:-1], rows[:-4:-1])
    return Cubic(0.0, knots, rows, spline_velocities(knots, rows, *ends)).sample(times).position


def _end_velocity(knots: Floats, rows: Floats) -> Floats:
    """Return the velocity (width,) at the first of two or three rows, from the line or parabola through them."""
    slopes = np.diff(rows, axis=0) / np.diff(knots)[:, None]
    bend = (slopes[-1] - slopes[0]) / (knots[-1] - knots[0])
    return np.asarray(slopes[0] - bend * (knots[1] - knots[0]))
