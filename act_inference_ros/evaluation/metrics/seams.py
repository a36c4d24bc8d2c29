"""Jumps and jerk of a plan where new chunks join it: see `results.SeamStatistics` for what is what."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from act_inference_ros.evaluation.metrics.running_sums import ErrorSums
from act_inference_ros.evaluation.results import SeamStatistics

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

ORDER = 3
"""Jerk is the third difference: of four instants."""


class Differences:
    """Third differences of rows (joints,) that come on a grid, in blocks; a gap in the grid makes none."""

    def __init__(self, joints: int, fps: float) -> None:
        self._joints = joints
        self._per_s3 = fps**ORDER
        self.clear()

    def clear(self) -> None:
        """Forget the rows before."""
        self._rows: Floats = np.empty((0, self._joints))
        self._marks: Bools = np.empty(0, dtype=np.bool_)

    def next(self, rows: Floats, marks: Bools) -> tuple[Floats, Bools]:
        """Take the next rows (n, joints); return the jerk (m, joints) that ends in them, and where it is marked (m,).

        `marks` (n,) is true where something happened between the row before and this one.
        """
        all_rows, all_marks = np.vstack([self._rows, rows]), np.r_[self._marks, marks]
        self._rows, self._marks = all_rows[-ORDER:], all_marks[-ORDER:]
        if len(all_rows) <= ORDER:
            return np.empty((0, self._joints)), np.empty(0, dtype=np.bool_)
        jerk = np.diff(all_rows, n=ORDER, axis=0) * self._per_s3
        # The first of the four instants comes after whatever its own mark is about.
        marked = np.logical_or.reduce([all_marks[i : len(all_marks) - ORDER + i] for i in range(1, ORDER + 1)])
        return jerk, marked


class SeamSums:
    """Running sums of one way of merging, per joint."""

    def __init__(self, joints: int) -> None:
        self.jump = ErrorSums(joints)
        self.at = ErrorSums(joints)
        self.between = ErrorSums(joints)
        self.truth = ErrorSums(joints)

    def merge(self, other: SeamSums) -> None:
        """Add all that `other` has."""
        for name in ("jump", "at", "between", "truth"):
            getattr(self, name).merge(getattr(other, name))

    def statistics(self, joints: Sequence[str]) -> dict[str, SeamStatistics]:
        """Per joint."""
        return {
            joint: SeamStatistics(
                seams=int(self.jump.count[j]),
                jump_mean_ros_units=float(self.jump.mae[j]),
                jump_max_ros_units=float(self.jump.largest[j]),
                jerk_at_seams_rms_ros_units_per_s3=float(self.at.rmse[j]),
                jerk_at_seams_max_ros_units_per_s3=float(self.at.largest[j]),
                jerk_between_rms_ros_units_per_s3=float(self.between.rmse[j]),
                jerk_between_max_ros_units_per_s3=float(self.between.largest[j]),
                jerk_truth_rms_ros_units_per_s3=float(self.truth.rmse[j]),
            )
            for j, joint in enumerate(joints)
        }
