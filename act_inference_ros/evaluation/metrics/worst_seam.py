"""WorstSeam: the motion around the seam (the place where a chunk joined) with the largest jerk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from act_inference_ros.evaluation.results import Splice
from act_inference_ros.evaluation.statistics import SETPOINT_PERIOD_S

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SHOWN_S = 0.25
"""Length of the motion kept on either side of the seam."""

_HALF = round(SHOWN_S / SETPOINT_PERIOD_S)
_BEFORE, _AFTER = 3, 5
"""Samples around a seam whose third differences include the seam's two cycles."""


class WorstSeam:
    """Looks at a motion that comes in pieces, and remembers the half second around its worst seam. Not thread-safe."""

    def __init__(self, joints: int) -> None:
        self._jerk = -1.0
        self._joint = 0
        self._time = 0.0
        self._found: tuple[Floats, Floats, Floats] | None = None
        self._times = np.empty(0)
        self._rows, self._others = np.empty((0, joints)), np.empty((0, joints))
        self._marks = np.empty((0, joints), dtype=np.bool_)

    def add(self, times: Floats, positions: Floats, joined: Bools, demonstration: Floats) -> None:
        """Add `positions` at `times` (n,), one period apart; the other arrays are (n, joints).

        `joined` is true for the first sample after a chunk joined; `demonstration` is kept for display with the result.
        """
        self._times = np.r_[self._times, times]
        self._rows, self._others = np.vstack([self._rows, positions]), np.vstack([self._others, demonstration])
        self._marks = np.vstack([self._marks, joined])
        self._judge(len(self._rows) - _HALF)
        surplus = max(0, len(self._rows) - 2 * _HALF - _BEFORE)
        self._times, self._marks = self._times[surplus:], self._marks[surplus:]
        self._rows, self._others = self._rows[surplus:], self._others[surplus:]

    def interrupt(self) -> None:
        """Begin a new motion, which does not continue the last one."""
        self._judge(len(self._rows))
        self._times, self._marks = self._times[:0], self._marks[:0]
        self._rows, self._others = self._rows[:0], self._others[:0]

    def splice(self, joints: Sequence[str], start_s: float = 0.0) -> Splice | None:
        """Return the worst seam, with times since `start_s`; None without a seam. This ends the motion."""
        self.interrupt()
        if self._found is None:
            return None
        times, rows, others = self._found
        return Splice(
            t_s=self._time - start_s,
            joint=joints[self._joint],
            jerk_ros_units_per_s3=self._jerk,
            times_s=tuple((times - self._time).tolist()),
            setpoints=tuple(map(tuple, rows.tolist())),
            demonstration=tuple(map(tuple, others.tolist())) if np.isfinite(others).any() else (),
        )

    def _judge(self, until: int) -> None:
        """Judge each seam before the sample `until`, once."""
        for place in np.flatnonzero(self._marks[: max(until, 0)].any(axis=1)).tolist():
            around = self._rows[max(0, place - _BEFORE) : place + _AFTER]
            jerk = np.abs(np.diff(around, n=3, axis=0)) / SETPOINT_PERIOD_S**3
            jerk = np.where(self._marks[place] & np.isfinite(jerk), jerk, -1.0)
            if jerk.max(initial=-1.0) > self._jerk:
                shown = slice(max(0, place - _HALF), place + _HALF + 1)
                self._jerk, self._joint = float(jerk.max()), int(jerk.max(axis=0).argmax())
                self._time = float(self._times[place])
                self._found = self._times[shown].copy(), self._rows[shown].copy(), self._others[shown].copy()
            self._marks[place] = False
