"""ResponseSums: checks whether the predictions depend on the policy's input.

A policy that ignores its input predicts nearly the same chunk for every observation, while the operator's motion
differs each time. So each row of the chunks is compared over all observations: its variation against the variation of
that row's truth. (Motion within a chunk is no reaction to the input.)
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from act_inference_ros.evaluation.metrics.findings import FEWEST, MOVES_ROS_UNITS
from act_inference_ros.evaluation.results import Finding

Floats = npt.NDArray[np.float64]

HARDLY = 0.25
"""A policy whose predictions vary by less than this share of the truth's variation hardly reacts."""


class ResponseSums:
    """Running sums over chunks and their truth, (chunk_size, joints) each."""

    def __init__(self, chunk_size: int, joints: int) -> None:
        self._count, self._x, self._xx, self._y, self._yy = np.zeros((5, chunk_size, joints))

    def add(self, rows: Floats, truth: Floats) -> None:
        """Add chunks and the truth of each row, (m, chunk_size, joints) both; nan where there is none."""
        known = np.isfinite(rows) & np.isfinite(truth)
        x, y = np.where(known, rows, 0.0), np.where(known, truth, 0.0)
        self._count += known.sum(axis=0)
        self._x += x.sum(axis=0)
        self._xx += (x**2).sum(axis=0)
        self._y += y.sum(axis=0)
        self._yy += (y**2).sum(axis=0)

    def merge(self, other: ResponseSums) -> None:
        """Add all that `other` has."""
        for name in ("_count", "_x", "_xx", "_y", "_yy"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def finding(self, joints: Sequence[str], explained: Collection[str]) -> Finding | None:
        """Return the joints for which the policy hardly reacts, if any; joints in `explained` are left out."""
        predicted, true = self._deviation(self._x, self._xx), self._deviation(self._y, self._yy)
        moving = [j for j, joint in enumerate(joints) if true[j] > MOVES_ROS_UNITS and joint not in explained]
        hardly = [j for j in moving if predicted[j] < HARDLY * true[j]]
        if not hardly:
            return None
        names = tuple(joints[j] for j in hardly)
        most = max(hardly, key=lambda j: float(predicted[j] / true[j]))
        share = float(predicted[most] / true[most])
        whom = "" if len(hardly) == len(moving) else f" for {', '.join(names)}"
        text = (
            f"the policy hardly reacts to its input{whom}: from observation to observation its predictions vary by "
            f"{100.0 * share:.2g} % of what the operator's commands do ({joints[most]}), or less. Does it see the "
            "right cameras and joints, in its own units, and was it trained for this task?"
        )
        return Finding("unresponsive", names, share, math.nan, text)

    def _deviation(self, total: Floats, square: Floats) -> Floats:
        """Return the standard deviation over observations (joints,), for all rows together; 0 with too few rows."""
        enough = self._count >= FEWEST
        count = np.where(enough, self._count, 1.0)
        scatter = np.where(enough, np.maximum(square - total**2 / count, 0.0), 0.0)
        return np.asarray(np.sqrt(scatter.sum(axis=0) / np.maximum((enough * self._count).sum(axis=0), 1.0)))
