"""Systematic differences between plan and truth: an offset, a delay, another unit, joints in another order.

They come from running sums over the instants of the grid; the plan is taken before limits, which would hide a wrong
unit. A difference is reported only if its removal leaves less than `UNEXPLAINED` of a joint's mean squared error, and
if the error is above `NOISE_ROS_UNITS` and above `NOISE_SHARE` of the truth's motion. A joint that stands still can
only have an offset, above `STILL_OFFSET_ROS_UNITS`: it has no motion for a delay, a scale or a swap.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from act_inference_ros.evaluation.results import Finding

Floats = npt.NDArray[np.float64]

UNEXPLAINED = 0.1
NOISE_ROS_UNITS = 1e-3
NOISE_SHARE = 0.03
MOVES_ROS_UNITS = 3e-3
"""A truth whose standard deviation is below this counts as still; so much is jitter and backlash."""
STILL_OFFSET_ROS_UNITS = 0.01
"""A still joint's offset above this is reported; few arms are calibrated better than this."""
FEWEST = 10
"""With fewer instants than this, nothing is reported."""
LONGEST_DELAY_S = 1.0
MOST_STEPS = 50

_DEG = 180.0 / math.pi
KNOWN_SCALES = {
    _DEG: "degrees instead of rad",
    1.0 / _DEG: "rad taken for degrees",
    1000.0: "mm instead of m",
    0.001: "m taken for mm",
    100.0: "cm or percent instead of m or 1",
    0.01: "m or 1 taken for cm or percent",
    -1.0: "the sign is reversed",
}
_SCALE_TOLERANCE = 0.03


class SystematicDifferences:
    """Running sums of plan x and truth y (n, joints), and of every delay up to LONGEST_DELAY_S."""

    def __init__(self, joints: int, fps: float) -> None:
        self._fps = fps
        self._n = joints
        self._steps = min(MOST_STEPS, max(1, math.ceil(LONGEST_DELAY_S * fps)))
        lags = 2 * self._steps + 1
        self._lag_count, self._lag_square = np.zeros((lags, joints)), np.zeros((lags, joints))
        # [i, j]: over the instants at which x_i and y_j are known
        self._pairs, self._x, self._y, self._xx, self._yy, self._xy = (np.zeros((joints, joints)) for _ in range(6))
        self.clear()

    def clear(self) -> None:
        """Begin a new motion, which does not continue the earlier one in time."""
        self._tail_x = np.full((self._steps, self._n), np.nan)
        self._tail_y = np.full((self._steps, self._n), np.nan)

    def add(self, plan: Floats, truth: Floats) -> None:
        """Add plan and truth (n, joints), ROS units, at the next n instants of the grid."""
        if not len(plan):
            return
        x_known, y_known = np.isfinite(plan).astype(float), np.isfinite(truth).astype(float)
        x, y = np.nan_to_num(plan), np.nan_to_num(truth)
        self._pairs += x_known.T @ y_known
        self._x += x.T @ y_known
        self._y += x_known.T @ y
        self._xx += (x**2).T @ y_known
        self._yy += x_known.T @ (y**2)
        self._xy += x.T @ y
        self._add_delays(np.vstack([self._tail_x, plan]), np.vstack([self._tail_y, truth]))

    def merge(self, other: SystematicDifferences) -> None:
        """Add all that `other` has."""
        for name in ("_lag_count", "_lag_square", "_pairs", "_x", "_y", "_xx", "_yy", "_xy"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def findings(self, joints: Sequence[str]) -> tuple[Finding, ...]:
        """Return the best explanations of most of a joint's error; the simplest one of equally good ones."""
        found = [finding for i in range(self._n) if (finding := self._of_joint(i, joints)) is not None]
        order = {finding.joints: finding for finding in found if finding.kind == "follows"}
        result = [finding for finding in found if finding.kind != "follows"]
        for (one, other), finding in order.items():
            if (other, one) not in order:
                result.append(finding)
            elif joints.index(one) < joints.index(other):
                explained = min(finding.explained, order[other, one].explained)
                text = f"{one} and {other} are swapped: each one's plan follows the other's truth"
                result.append(Finding("swapped", (one, other), math.nan, explained, text))
        return tuple(result)

    def _add_delays(self, x: Floats, y: Floats) -> None:
        k, n = self._steps, len(x)
        for lag in range(-k, k + 1):  # plan now against truth `lag` steps later, both known by now
            a, b = (x[k - lag : n - lag], y[k:]) if lag >= 0 else (x[k:], y[k + lag : n + lag])
            square = (a - b) ** 2
            known = np.isfinite(square)
            self._lag_count[lag + k] += known.sum(axis=0)
            self._lag_square[lag + k] += np.where(known, square, 0.0).sum(axis=0)
        self._tail_x, self._tail_y = x[n - k :], y[n - k :]

    def _of_joint(self, i: int, joints: Sequence[str]) -> Finding | None:
        n = self._pairs[i, i]
        if n < FEWEST:
            return None
        error = self._mean_square(i, i)
        x, y = self._x[i, i] / n, self._y[i, i] / n
        moves = max(0.0, self._yy[i, i] / n - y**2)
        if error <= NOISE_ROS_UNITS**2 or error <= NOISE_SHARE**2 * moves:
            return None
        name = joints[i]
        candidates: list[tuple[float, str, tuple[str, ...], float, str]] = []
        still = moves <= MOVES_ROS_UNITS**2
        if not still or abs(x - y) > STILL_OFFSET_ROS_UNITS:
            left = max(0.0, error - (x - y) ** 2) / error
            candidates.append((left, "offset", (name,), x - y, _offset_text(name, x - y)))
        if not still:
            candidates += [*self._delay(i, name), *self._scale(i, name, error), *self._follows(i, joints, error)]
        best = min((left for left, *_ in candidates), default=math.inf)
        if best > UNEXPLAINED:
            return None
        left, kind, names, value, text = next(c for c in candidates if c[0] <= best + UNEXPLAINED / 10.0)
        return Finding(kind, names, value, 1.0 - left, text)

    def _delay(self, i: int, name: str) -> list[tuple[float, str, tuple[str, ...], float, str]]:
        counts = self._lag_count[:, i]
        with np.errstate(invalid="ignore", divide="ignore"):
            squares = np.where(counts >= FEWEST, self._lag_square[:, i] / counts, np.inf)
        now = squares[self._steps]
        lag = int(np.argmin(squares)) - self._steps
        if lag == 0 or not np.isfinite(now) or now <= 0.0:
            return []
        side = "after" if lag > 0 else "before"
        text = f"{name}: the truth comes {abs(lag)} steps ({abs(lag) / self._fps:.3f} s) {side} the plan"
        return [(float(squares.min() / now), "delay", (name,), float(lag), text)]

    def _scale(self, i: int, name: str, error: float) -> list[tuple[float, str, tuple[str, ...], float, str]]:
        xx, xy, yy = self._xx[i, i], self._xy[i, i], self._yy[i, i]
        if xx <= 0.0 or yy <= 0.0 or xy == 0.0:
            return []
        scale = float(xy / yy)
        unlike = 1.0 - xy**2 / (xx * yy)  # else a plan that hardly moves would look like a small scale
        left = max(unlike, (xx - xy**2 / yy) / self._pairs[i, i] / error)
        unit = next((text for known, text in KNOWN_SCALES.items() if abs(scale / known - 1.0) < _SCALE_TOLERANCE), "")
        text = f"{name}: predicted is {scale:.4g} times the truth" + (f": {unit}" if unit else "")
        return [(float(left), "scale", (name,), scale, text)]

    def _follows(
        self, i: int, joints: Sequence[str], error: float
    ) -> list[tuple[float, str, tuple[str, ...], float, str]]:
        others = []
        for j in range(self._n):
            n = self._pairs[i, j]
            moves = self._yy[i, j] / n - (self._y[i, j] / n) ** 2 if n else 0.0
            if j != i and moves > MOVES_ROS_UNITS**2:  # any plan near a still truth would seem to follow it
                square = self._mean_square(i, j)
                others.append((max(square / error, square / moves), j))
        if not others:
            return []
        left, j = min(others)
        text = f"{joints[i]}: the plan follows the truth of {joints[j]}"
        return [(left, "follows", (joints[i], joints[j]), math.nan, text)]

    def _mean_square(self, i: int, j: int) -> float:
        """Mean (x_i - y_j)^2."""
        total = self._xx[i, j] - 2.0 * self._xy[i, j] + self._yy[i, j]
        return max(0.0, float(total)) / float(self._pairs[i, j])


def _offset_text(name: str, offset: float) -> str:
    return f"{name}: predicted is {abs(offset):.4g} ROS units {'above' if offset > 0 else 'below'} the truth throughout"
