"""The figures of a demo: how smoothly the controllers led the joints, and how closely these followed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from act_inference_ros.demo.recording import JOINTS, Episode
from act_inference_ros.evaluation.episodes.closed_loop import CONTROL_RATE
from act_inference_ros.evaluation.metrics.smoothness import SmoothnessSums
from act_inference_ros.evaluation.statistics import SmoothnessStatistics
from act_inference_ros.interfaces import NANOSECONDS

CYCLE_NS = NANOSECONDS // CONTROL_RATE
"""The demo robot's controllers say once in each of their cycles where they want the joints."""

Floats = npt.NDArray[np.float64]


class Figures:
    """Sums over episodes. `lost` counts cycles that nobody recorded: nothing is judged across them."""

    def __init__(self) -> None:
        self.lost = 0
        self._sums = SmoothnessSums(len(JOINTS), CYCLE_NS / NANOSECONDS)
        self._squares = np.zeros(len(JOINTS))
        self._largest = np.zeros(len(JOINTS))
        self._count = 0

    def add(self, episode: Episode) -> None:
        """Count one more episode."""
        times = np.array(sorted(episode.told), dtype=np.int64)
        self.lost += (episode.end_ns - episode.begin_ns) // CYCLE_NS + 1 - len(times)
        if len(times):
            steps = np.diff(times)
            for part in np.split(times, np.flatnonzero(steps != CYCLE_NS) + 1):
                rows = np.array([episode.told[int(time)] for time in part])
                self._sums.add(rows, np.zeros(rows.shape, dtype=np.bool_))
                self._sums.interrupt()
        both = sorted(episode.told.keys() & episode.measured.keys())
        if both:
            apart = np.abs([episode.told[time] - episode.measured[time] for time in both])
            self._squares += np.square(apart).sum(axis=0)
            self._largest = np.maximum(self._largest, apart.max(axis=0))
            self._count += len(both)

    def smoothness(self) -> Mapping[str, SmoothnessStatistics]:
        """Of where the controllers wanted the joints, joint by joint; without seams, which are not looked for."""
        return self._sums.statistics(JOINTS)

    def deviation(self) -> Mapping[str, tuple[float, float]]:
        """Joint -> RMS and largest difference of told and measured, ROS units; nan where nothing was recorded."""
        rms = np.sqrt(self._squares / self._count) if self._count else np.full(len(JOINTS), np.nan)
        largest = self._largest if self._count else np.full(len(JOINTS), np.nan)
        return {joint: (float(rms[j]), float(largest[j])) for j, joint in enumerate(JOINTS)}
