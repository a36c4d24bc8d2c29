"""How smooth a motion is: steps, acceleration and jerk of a setpoint that was sampled at equal times, per joint.

`smoothness` judges an array; `SmoothnessSums` gives the same figures for a motion that comes in pieces and is too long
to be kept. Both take the setpoint, which is what a controller wants of its joints, once in each period of sampling,
called a cycle here. A period as short as that of the controllers, some 2 ms, shows what happens where one command takes
over from another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from act_inference_ros.evaluation.metrics.spectral_arc import spectral_arc_length
from act_inference_ros.evaluation.statistics import SmoothnessStatistics

Array: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]

CYCLES_OF_SEAM = 2
"""A seam is looked for in the cycle in which the chunk joined and in the next: a controller may show it one late."""
FIT_SAMPLES = 15
MOVING = 0.01
"""ROS units per s: `mean_jerk` is over the time in which a joint is faster than that."""

_JERK = 3  # the order of the difference


@dataclass(frozen=True)
class Smoothness:
    """The figures of a motion, arrays (joints,); nan where one cannot be computed; nan meets no threshold.

    p[i] is the setpoint of cycle i, T the period, and a chunk joined in the cycles called seams. Units are ROS units
    (rad or m) and s.

    * `largest_step`: the largest |p[i] - p[i-1]|. An even motion has steps, too: its speed times T.
    * `seam_jump`: the same of the cycles of seams only, each seam's own and the next. Nothing is subtracted from it, so
      a seam that cannot be seen still has the step of the motion itself, and `seam_jump` is at most `largest_step`.
      nan without a seam.
    * `peak_acceleration`: the largest |p[i] - 2 p[i-1] + p[i-2]| / T^2.
    * `rms_jerk`: the root of the mean square of the jerk, (p[i] - 3 p[i-1] + 3 p[i-2] - p[i-3]) / T^3.
    * `boundary_minus_interior_jerk`: the RMS of those jerks that the step of a seam's two cycles is part of, minus the
      RMS of all others. About 0 where seams cannot be told from the rest. After J_B - J_I of arXiv 2603.11642, which
      tells successful episodes from failures; there it is taken of a policy's actions. nan without a seam.
    * `sparc`: spectral arc length of the speed |p[i] - p[i-1]| / T, without a unit, below 0; nearer to 0 is smoother.
      See `spectral_arc.spectral_arc_length`. nan for a joint that stands still.
    * `mean_jerk`: the mean of |second derivative| of the quadratic that fits 15 successive velocities
      (p[i] - p[i-1]) / T best (a Savitzky-Golay filter), over the time in which the fitted speed is above 0.01. That is
      the smoothness score of Intrinsic's "AI for Industry Challenge" (github.com/intrinsic-dev/aic, docs/scoring.md),
      there of the end effector in m, where 50 m/s^3 and more give no points. nan for a joint that stands still.
    """

    largest_step: Array
    seam_jump: Array
    peak_acceleration: Array
    rms_jerk: Array
    boundary_minus_interior_jerk: Array
    sparc: Array
    mean_jerk: Array


def smoothness(positions: Array, period_s: float, seams: Sequence[int] = ()) -> Smoothness:
    """The figures of a setpoint `positions` (n, joints), ROS units, sampled every `period_s`.

    `seams` are the indices of the first sample after a chunk joined. A position that is nan is not known, and nothing
    that it would be part of is judged. Raises ValueError for another shape and for a seam outside of the samples.
    """
    if positions.ndim != 2:
        raise ValueError(f"positions: expected (n, joints), got {positions.shape}")
    outside = [seam for seam in seams if not 0 <= seam < len(positions)]
    if outside:
        raise ValueError(f"seams: expected indices of {len(positions)} samples, got {outside}")
    joined = np.zeros(positions.shape, dtype=np.bool_)
    joined[list(seams)] = True
    sums = SmoothnessSums(positions.shape[1], period_s)
    sums.add(positions, joined)
    return sums.smoothness()


class SmoothnessSums:
    """The figures of a motion that comes in pieces, or of several motions together.

    `sparc` is of stretches of at most `stretch_s`, so that memory is bounded, and as the mean of the stretches, long
    ones counting more, because the spectral arc length grows with the length of a motion. Not thread-safe.
    """

    def __init__(self, joints: int, period_s: float, stretch_s: float = math.inf) -> None:
        if not (math.isfinite(period_s) and period_s > 0.0):
            raise ValueError(f"the period must be a number of seconds above 0, got {period_s}")
        self._joints = joints
        self._period_s = period_s
        self._stretch = stretch_s / period_s
        self.seams: npt.NDArray[np.int64] = np.zeros(joints, dtype=np.int64)
        """How many there were (joints,)."""
        self._step, self._seam_step, self._acceleration = (_Magnitudes(joints) for _ in range(3))
        self._boundary, self._interior, self._fitted = (_Magnitudes(joints) for _ in range(3))
        self._arc, self._arc_weight = np.zeros(joints), np.zeros(joints)
        self._speeds: list[Array] = []
        self._rows: Array = np.empty((0, joints))
        self._marks: Bools = np.empty((0, joints), dtype=np.bool_)

    def add(self, positions: Array, joined: Bools) -> None:
        """Go on with positions (n, joints); `joined` (n, joints): this is the first sample after a chunk joined."""
        self.seams = self.seams + joined.sum(axis=0)
        rows, marks = np.vstack([self._rows, positions]), np.vstack([self._marks, joined])
        before = len(self._rows)  # a difference that ends in one of these has been counted
        steps = np.diff(rows, axis=0)
        new_steps = steps[max(before - 1, 0) :]
        at_seam = _dilated(marks, CYCLES_OF_SEAM)[1:][max(before - 1, 0) :]
        self._step.add(new_steps)
        self._seam_step.add(np.where(at_seam, new_steps, np.nan))
        self._acceleration.add(np.diff(rows, n=2, axis=0)[max(before - 2, 0) :] / self._period_s**2)
        jerk = np.diff(rows, n=_JERK, axis=0)[max(before - _JERK, 0) :] / self._period_s**_JERK
        boundary = _dilated(marks, CYCLES_OF_SEAM + _JERK - 1)[_JERK:][max(before - _JERK, 0) :]
        self._boundary.add(np.where(boundary, jerk, np.nan))
        self._interior.add(np.where(boundary, np.nan, jerk))
        self._fitted.add(self._fitted_jerk(steps[max(before - FIT_SAMPLES, 0) :] / self._period_s))
        self._rows, self._marks = rows[-FIT_SAMPLES:], marks[-FIT_SAMPLES:]
        self._collect(np.abs(new_steps) / self._period_s)

    def interrupt(self) -> None:
        """Begin a new motion, which does not continue the last one."""
        self._end_stretch()
        self._rows, self._marks = self._rows[:0], self._marks[:0]

    def merge(self, other: SmoothnessSums) -> None:
        """Add all that `other`, of the same joints and period, has. Both motions end with that."""
        for sums in (self, other):
            sums.interrupt()
        self.seams = self.seams + other.seams
        for name in ("_step", "_seam_step", "_acceleration", "_boundary", "_interior", "_fitted"):
            getattr(self, name).merge(getattr(other, name))
        self._arc += other._arc
        self._arc_weight += other._arc_weight

    def smoothness(self) -> Smoothness:
        """The figures so far. The stretch under way ends with that."""
        self._end_stretch()
        arcs = np.where(self._arc_weight > 0.0, self._arc_weight, np.nan)
        return Smoothness(
            largest_step=self._step.largest,
            seam_jump=self._seam_step.largest,
            peak_acceleration=self._acceleration.largest,
            rms_jerk=self._boundary.merged(self._interior).rms,
            boundary_minus_interior_jerk=self._boundary.rms - self._interior.rms,
            sparc=self._arc / arcs,
            mean_jerk=self._fitted.mean,
        )

    def statistics(self, joints: Sequence[str]) -> dict[str, SmoothnessStatistics]:
        """The figures so far, per joint."""
        found = self.smoothness()
        return {
            joint: SmoothnessStatistics(
                seams=int(self.seams[j]),
                seam_jump_ros_units=float(found.seam_jump[j]),
                largest_step_ros_units=float(found.largest_step[j]),
                peak_acceleration_ros_units_per_s2=float(found.peak_acceleration[j]),
                rms_jerk_ros_units_per_s3=float(found.rms_jerk[j]),
                boundary_minus_interior_jerk_ros_units_per_s3=float(found.boundary_minus_interior_jerk[j]),
                mean_jerk_ros_units_per_s3=float(found.mean_jerk[j]),
                sparc=float(found.sparc[j]),
            )
            for j, joint in enumerate(joints)
        }

    def _fitted_jerk(self, velocities: Array) -> Array:
        """Second derivative of the fit in the middle of each window (m, joints); nan where the joint stands still."""
        if len(velocities) < FIT_SAMPLES:
            return np.empty((0, self._joints))
        windows = np.lib.stride_tricks.sliding_window_view(velocities, FIT_SAMPLES, axis=0)  # (m, joints, 15)
        speed, jerk = np.abs(windows @ _fit(0)), np.abs(windows @ _fit(2)) / self._period_s**2
        return np.where(speed > MOVING, jerk, np.nan)

    def _collect(self, speeds: Array) -> None:
        """Remember speeds (n, joints), and judge each stretch that is complete."""
        while len(speeds):
            room = self._stretch - sum(map(len, self._speeds))
            part = speeds if room >= len(speeds) else speeds[: max(1, math.ceil(room))]
            self._speeds.append(part)
            speeds = speeds[len(part) :]
            if sum(map(len, self._speeds)) >= self._stretch:
                self._end_stretch()

    def _end_stretch(self) -> None:
        if not self._speeds:
            return
        speeds, self._speeds = np.concatenate(self._speeds), []
        for joint, column in enumerate(speeds.T):
            arc, samples = spectral_arc_length(column, self._period_s), int(np.isfinite(column).sum())
            if math.isfinite(arc):
                self._arc[joint] += arc * samples
                self._arc_weight[joint] += samples


class _Magnitudes:
    """Running sums of |x| of many rows (n, joints); nan is left out."""

    def __init__(self, joints: int) -> None:
        self._count, self._sum, self._square, self._largest = (np.zeros(joints) for _ in range(4))

    def add(self, rows: Array) -> None:
        sizes = np.abs(rows)
        known = np.where(np.isfinite(sizes), sizes, 0.0)
        self._count = self._count + np.isfinite(sizes).sum(axis=0)
        self._sum = self._sum + known.sum(axis=0)
        self._square = self._square + (known**2).sum(axis=0)
        self._largest = np.maximum(self._largest, known.max(axis=0, initial=0.0))

    def merge(self, other: _Magnitudes) -> None:
        self._count, self._sum = self._count + other._count, self._sum + other._sum
        self._square, self._largest = self._square + other._square, np.maximum(self._largest, other._largest)

    def merged(self, other: _Magnitudes) -> _Magnitudes:
        both = _Magnitudes(len(self._count))
        both.merge(self)
        both.merge(other)
        return both

    @property
    def _number(self) -> Array:
        return np.where(self._count > 0, self._count, np.nan)

    @property
    def mean(self) -> Array:
        return np.asarray(self._sum / self._number)

    @property
    def rms(self) -> Array:
        return np.asarray(np.sqrt(self._square / self._number))

    @property
    def largest(self) -> Array:
        return np.where(self._count > 0, self._largest, np.nan)


def _dilated(marks: Bools, cycles: int) -> Bools:
    """True at each mark (n, joints) and in the cycles after it, `cycles` in all."""
    found = marks.copy()
    for late in range(1, cycles):
        found[late:] |= marks[:-late]
    return found


def _fit(derivative: int) -> Array:
    """Weights (15,) of the samples for a derivative of the best quadratic in the middle, for samples 1 s apart.

    Least squares, as Savitzky and Golay (Analytical Chemistry 36, 1964) do it.
    """
    places = np.arange(FIT_SAMPLES) - FIT_SAMPLES // 2
    weights: Array = np.linalg.pinv(np.vander(places, 3, increasing=True))[derivative]
    return weights * math.factorial(derivative)
