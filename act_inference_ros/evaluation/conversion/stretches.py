"""Stretches: frames of one commander without a gap become an episode if they last a second or longer.

Shorter stretches are dropped.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.evaluation.comparison.who_commanded import OPERATOR
from act_inference_ros.evaluation.conversion.dataset_writer import DatasetWriter

SHORTEST_S = 1.0


@dataclass(frozen=True)
class Frame:
    """A frame at `time_s`: the decoded observation by key, and the action in policy units.

    `commanded_by` is who commanded: `who_commanded.OPERATOR` or `who_commanded.POLICY`.
    """

    time_s: float
    observation: Mapping[str, npt.NDArray[Any]]
    action: npt.NDArray[np.float32]
    commanded_by: str = OPERATOR


class Stretches:
    """Passes frames to the writer. Memory holds the frames of at most one second."""

    def __init__(self, writer: DatasetWriter, fps: int, start_s: float) -> None:
        self.frames = 0
        self.episodes: dict[int, str] = {}
        """The numbers of the bag's episodes in the data set, and who commanded each."""
        self.cuts: list[str] = []
        """The parts that were left out, with reasons, in words; times count from `start_s`."""
        self._writer = writer
        self._least = math.ceil(SHORTEST_S * fps)
        self._start_s = start_s
        self._waiting: deque[Frame] = deque()
        self._open = False
        self._commanded_by = ""
        self._gap: tuple[float, str] | None = None

    def add(self, frame: Frame) -> None:
        """Add the next frame, without a gap since the one before; the episode ends when the commander changes."""
        if frame.commanded_by != self._commanded_by:
            self._end()
            self._commanded_by = frame.commanded_by
        if self._gap is not None:
            self._tell_gap(f"to {frame.time_s - self._start_s:.1f} s")
        self._waiting.append(frame)
        if not self._open and len(self._waiting) >= self._least:
            self._open = True
            self.episodes[self._writer.episodes] = frame.commanded_by
        while self._open and self._waiting:
            next_frame = self._waiting.popleft()
            operators = next_frame.commanded_by == OPERATOR
            self._writer.add(next_frame.observation, next_frame.action, operators)
            self.frames += 1

    def cut(self, time_s: float, reason: str) -> None:
        """Begin a gap at `time_s`."""
        self._end()
        if self._gap is None:  # else keep the reason that ended the frames
            self._gap = (time_s - self._start_s, reason)

    def finish(self) -> None:
        """End the bag."""
        self._end()
        if self._gap is not None:
            self._tell_gap("on")

    def _end(self) -> None:
        if self._waiting:
            since = self._waiting[0].time_s - self._start_s
            few = f"{len(self._waiting)} frames from {since:.1f} s on left out"
            whose = f", commanded by the {self._waiting[0].commanded_by}" if self._writer.marked else ""
            self.cuts.append(f"{few}: less than {SHORTEST_S:g} s without a gap{whose}")
            self._waiting.clear()
        if self._open:
            self._writer.end_episode()
        self._open = False

    def _tell_gap(self, until: str) -> None:
        if self._gap is not None:
            self.cuts.append(f"no frames from {self._gap[0]:.1f} s {until}: {self._gap[1]}")
        self._gap = None
