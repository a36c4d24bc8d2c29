"""ShiftSums: the predictions' errors if the truth had been recorded some whole steps earlier or later.

The evaluation compares a prediction for an instant with the command in force at that instant. Data sets for LeRobot
mostly pair a frame with the command sent just after it, so that a policy trained on them is one step ahead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from act_inference_ros.evaluation.metrics.running_sums import ErrorSums
from act_inference_ros.evaluation.results import Finding
from act_inference_ros.evaluation.statistics import ShiftedError, pooled

Floats = npt.NDArray[np.float64]

MOST_STEPS = 10
"""Largest shift that is tried, in steps of 1 / fps, in both directions."""
WORTH_IT = 0.95
"""A shift that leaves more than this share of the mean error counts as no shift."""
HALVED = 0.5
"""A shift that leaves at most this share of the mean error is a finding."""
NOISE_ROS_UNITS = 1e-3
"""A mean error below this needs no explanation."""


class ShiftSums:
    """Errors (joints,) of the raw chunks for each shift, all over the same positions."""

    def __init__(self, joints: int) -> None:
        self._by_shift = {shift: ErrorSums(joints) for shift in range(-MOST_STEPS, MOST_STEPS + 1)}

    def add(self, rows: Floats, truth: Floats) -> None:
        """Add chunks, rows (m, n, joints), and the truth from MOST_STEPS steps before their first row to as many after.

        `truth` is (m, n + 2 MOST_STEPS, joints).
        """
        n = rows.shape[1]
        windows = {shift: truth[:, MOST_STEPS + shift : MOST_STEPS + shift + n] for shift in self._by_shift}
        known = np.logical_and.reduce([np.isfinite(window) for window in windows.values()])
        for shift, sums in self._by_shift.items():
            errors = np.where(known, rows - windows[shift], np.nan)
            sums.add(errors.reshape(-1, rows.shape[2]))

    def merge(self, other: ShiftSums) -> None:
        """Add all that `other` has."""
        for shift, sums in self._by_shift.items():
            sums.merge(other._by_shift[shift])

    def result(self, joints: Sequence[str]) -> ShiftedError:
        """The shift with the least mean error over all joints, of equally good ones the smallest."""
        errors = {shift: sums.statistics(joints) for shift, sums in self._by_shift.items()}
        means = {shift: pooled(each).mae_ros_units for shift, each in errors.items()}
        best = min(sorted(means, key=abs), key=lambda shift: means[shift] if math.isfinite(means[shift]) else math.inf)
        if not means[best] < WORTH_IT * means[0]:
            best = 0
        return ShiftedError(best, unshifted=errors[0], shifted=errors[best])


def shift_finding(shift: ShiftedError, fps: float) -> Finding | None:
    """Return a finding if the recording is shifted against the predictions; None if not, or for some joints only."""
    before, after = pooled(shift.unshifted), pooled(shift.shifted)
    if not shift.steps or before.mae_ros_units <= NOISE_ROS_UNITS:
        return None
    if after.mae_ros_units > HALVED * before.mae_ros_units:
        return None
    pairs = {joint: (error, shift.shifted[joint]) for joint, error in shift.unshifted.items() if error.count}
    if any(new.mae_ros_units > old.mae_ros_units + NOISE_ROS_UNITS for old, new in pairs.values()):
        return None
    joints = tuple(joint for joint, (old, new) in pairs.items() if new.mae_ros_units <= HALVED * old.mae_ros_units)
    n, late = abs(shift.steps), shift.steps > 0
    frames = "one frame" if n == 1 else f"{n} frames"
    if shift.steps == 1:
        what = "recorded one frame late: usual with LeRobot, where the command sent just after a frame belongs to it; "
    elif late:
        what = f"recorded {frames} late, or commanded by points that lie ahead of their time: "
    else:
        what = f"recorded {frames} early, or a policy that repeats the measured state, which is late: "
    text = (
        f"{what}the truth comes {n / fps:.3f} s {'after' if late else 'before'} what is predicted. Shifted by that, "
        f"the mean error is {after.mae_ros_units:.3g} instead of {before.mae_ros_units:.3g} rad or m"
    )
    explained = 1.0 - (after.rmse_ros_units / before.rmse_ros_units) ** 2
    return Finding("shift", joints, float(shift.steps), explained, text)
