"""Running sums behind the metrics: exact for errors, counts and seams, a fine histogram for percentiles.

Everything can be merged (for totals over episodes), and memory does not depend on the number of samples. The
definitions are in `results`, where the results are declared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from act_inference_ros.evaluation.statistics import ErrorStatistics, HorizonError, LimitStatistics, TimeStatistics

Floats = npt.NDArray[np.float64]

SHORTEST_S, LONGEST_S = 1e-6, 1e4
RESOLUTION = 0.01
"""Relative width of a histogram's bin."""
CLAMP_ROS_UNITS = 1e-6
"""A smaller change of a target counts as none: it is rounding when a motion begins at the measured position."""
_BINS = math.ceil(math.log(LONGEST_S / SHORTEST_S) / math.log1p(RESOLUTION)) + 1


class ErrorSums:
    """Errors of many quantities (shape), each summed separately; nan means a missing pair."""

    def __init__(self, *shape: int) -> None:
        self.count = np.zeros(shape, dtype=np.int64)
        self._absolute = np.zeros(shape)
        self._square = np.zeros(shape)
        self._signed = np.zeros(shape)
        self._largest = np.zeros(shape)

    def add(self, errors: Floats) -> None:
        """Add errors (n, *shape)."""
        if not len(errors):
            return
        there = np.isfinite(errors)
        known = np.where(there, errors, 0.0)
        self.count += there.sum(axis=0)
        self._absolute += np.abs(known).sum(axis=0)
        self._square += (known**2).sum(axis=0)
        self._signed += known.sum(axis=0)
        self._largest = np.maximum(self._largest, np.abs(known).max(axis=0))

    def merge(self, other: ErrorSums) -> None:
        """Add all that `other` has."""
        self.count += other.count
        self._absolute += other._absolute
        self._square += other._square
        self._signed += other._signed
        self._largest = np.maximum(self._largest, other._largest)

    def summed(self) -> ErrorSums:
        """Return the same errors summed over the first axis, the rows of the horizon."""
        sums = ErrorSums(*self.count.shape[1:])
        sums.count = self.count.sum(axis=0)
        sums._absolute = self._absolute.sum(axis=0)
        sums._square = self._square.sum(axis=0)
        sums._signed = self._signed.sum(axis=0)
        sums._largest = self._largest.max(axis=0)
        return sums

    @property
    def mae(self) -> Floats:
        """Mean |e|, in the sums' shape; nan without any."""
        return self._mean(self._absolute)

    @property
    def rmse(self) -> Floats:
        """The root of mean e^2, in the sums' shape."""
        return np.asarray(np.sqrt(self._mean(self._square)))

    @property
    def bias(self) -> Floats:
        """Mean e, in the sums' shape."""
        return self._mean(self._signed)

    @property
    def largest(self) -> Floats:
        """The largest |e|, in the sums' shape."""
        return np.where(self.count > 0, self._largest, np.nan)

    def statistics(self, joints: Sequence[str]) -> dict[str, ErrorStatistics]:
        """Per joint, for sums of shape (joints,)."""
        columns = zip(self.count, self.mae, self.rmse, self.largest, self.bias, strict=True)
        return {
            joint: ErrorStatistics(int(n), float(mae), float(rmse), float(largest), float(bias))
            for joint, (n, mae, rmse, largest, bias) in zip(joints, columns, strict=True)
        }

    def horizon(self, joints: Sequence[str]) -> dict[str, HorizonError]:
        """Per joint over the rows of a chunk, for sums of shape (chunk_size, joints)."""
        mae, rmse, largest = self.mae, self.rmse, self.largest
        return {
            joint: HorizonError(
                tuple(self.count[:, j].tolist()),
                tuple(mae[:, j].tolist()),
                tuple(rmse[:, j].tolist()),
                tuple(largest[:, j].tolist()),
            )
            for j, joint in enumerate(joints)
        }

    def _mean(self, sums: Floats) -> Floats:
        return np.where(self.count > 0, sums / np.maximum(self.count, 1), np.nan)


class LimitCounts:
    """Per joint: targets and commands, and those that limits changed; see `results.LimitStatistics`."""

    def __init__(self, joints: int) -> None:
        self._targets, self._clamped, self._smoothed, self._bridged = np.zeros((4, joints), dtype=np.int64)
        self._commands = 0

    def add_targets(self, targets: Floats, inside: Floats) -> None:
        """Add targets (n, joints), and the same targets within the position limits."""
        self._targets += np.isfinite(targets).sum(axis=0)
        with np.errstate(invalid="ignore"):
            self._clamped += (np.abs(inside - targets) > CLAMP_ROS_UNITS).sum(axis=0)

    def add_commands(self, commands: int, smoothed: Sequence[int], bridged: Sequence[int]) -> None:
        """Add the number of commands, and in how many of them each joint was smoothed and bridged (joints,)."""
        self._commands += commands
        self._smoothed += np.asarray(smoothed)
        self._bridged += np.asarray(bridged)

    def merge(self, other: LimitCounts) -> None:
        """Add all that `other` has."""
        self._targets += other._targets
        self._clamped += other._clamped
        self.add_commands(other._commands, other._smoothed.tolist(), other._bridged.tolist())

    def statistics(self, joints: Sequence[str]) -> dict[str, LimitStatistics]:
        """Per joint."""
        return {
            joint: LimitStatistics(
                targets=int(self._targets[j]),
                clamped=int(self._clamped[j]),
                commands=self._commands,
                smoothed=int(self._smoothed[j]),
                bridged=int(self._bridged[j]),
            )
            for j, joint in enumerate(joints)
        }


class Distribution:
    """Spans of time in s: exact count, mean and maximum; percentiles from bins RESOLUTION wide.

    A time below SHORTEST_S, or a negative one, counts as SHORTEST_S in the percentiles.
    """

    def __init__(self) -> None:
        self._bins = np.zeros(_BINS, dtype=np.int64)
        self._count = 0
        self._sum = 0.0
        self._largest = -math.inf

    def add(self, seconds: float) -> None:
        """Add one span."""
        clipped = min(max(seconds, SHORTEST_S), LONGEST_S)
        self._bins[int(math.log(clipped / SHORTEST_S) / math.log1p(RESOLUTION))] += 1
        self._count += 1
        self._sum += seconds
        self._largest = max(self._largest, seconds)

    def merge(self, other: Distribution) -> None:
        """Add all that `other` has."""
        self._bins += other._bins
        self._count += other._count
        self._sum += other._sum
        self._largest = max(self._largest, other._largest)

    def percentile(self, percent: float) -> float:
        """Return the percentile of the spans (nearest rank), with relative precision RESOLUTION; nan without spans."""
        if not self._count:
            return math.nan
        rank = max(1, math.ceil(percent / 100.0 * self._count))
        place = int(np.searchsorted(np.cumsum(self._bins), rank))
        middle: float = SHORTEST_S * (1.0 + RESOLUTION) ** (place + 0.5)
        return min(middle, self._largest)

    def statistics(self) -> TimeStatistics:
        """Return count, mean, maximum and percentiles."""
        return TimeStatistics(
            count=self._count,
            mean_s=self._sum / self._count if self._count else math.nan,
            p50_s=self.percentile(50.0),
            p95_s=self.percentile(95.0),
            p99_s=self.percentile(99.0),
            max_s=self._largest if self._count else math.nan,
        )
