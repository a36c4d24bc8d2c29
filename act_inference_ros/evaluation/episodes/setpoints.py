"""EpisodeSetpoints: the setpoints of the simulated arm's controllers, sampled more often than the simulation steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from act_inference_ros.evaluation.episodes.controlled_joints import ControlledJoints
from act_inference_ros.evaluation.metrics.tally import setpoint_sums
from act_inference_ros.evaluation.metrics.worst_seam import WorstSeam
from act_inference_ros.evaluation.statistics import SETPOINT_PERIOD_S

Floats = npt.NDArray[np.float64]


class EpisodeSetpoints:
    """The setpoints of one episode for figures and plots. Times are s."""

    def __init__(self, joints: Sequence[str], controllers: Sequence[ControlledJoints]) -> None:
        self.sums = setpoint_sums(len(joints))
        self.worst_seam = WorstSeam(len(joints))
        self._joints = tuple(joints)
        self._controllers = tuple(controllers)
        self._columns = [[self._joints.index(name) for name in each.joints] for each in controllers]
        self._seams: list[list[float]] = [[] for _ in controllers]

    def chunk_joins(self, now: float) -> None:
        """Note that a chunk joins the motion: at the arrival of the present message, and when it takes effect."""
        for controller, seams in zip(self._controllers, self._seams, strict=True):
            seams.extend({now, now + controller.lead_s})

    def sample(self, begin: float, end: float) -> None:
        """Sample the setpoints from `begin` until before `end`; the commands do not change in this time."""
        since = np.arange(round((end - begin) / SETPOINT_PERIOD_S)) * SETPOINT_PERIOD_S
        positions = np.full((len(since), len(self._joints)), np.nan)
        joined = np.zeros(positions.shape, dtype=np.bool_)
        for controller, columns, seams in zip(self._controllers, self._columns, self._seams, strict=True):
            positions[:, columns] = controller.setpoints(begin + since)
            for seam in [each for each in seams if each < end - SETPOINT_PERIOD_S / 2.0]:
                seams.remove(seam)
                joined[int(np.searchsorted(since, seam - begin - SETPOINT_PERIOD_S / 2.0)), columns] = True
        self.sums.add(positions, joined)
        self.worst_seam.add(begin + since, positions, joined, np.full(positions.shape, np.nan))
