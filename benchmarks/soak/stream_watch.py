"""StreamWatch: what one sees of a stream of commands who only listens, in bins of some seconds."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from benchmarks.stream_figures import ages_s

LARGEST_GAP = 10.0
"""In periods: a longer one is no late command, the arm was not commanded meanwhile."""
CHUNKS_KEPT = 500
ENOUGH, MOST_MISSED = 100, 0.1
"""Fewer commands, or more that are missing among them, say nothing of the grid: all of them may be late."""
EARLY = 10.0
"""Percentile of the phases that stands for the grid: a busy machine makes commands late, and none early."""


class StreamWatch:
    """Takes commands and chunks by the times at which they were written, s; not safe for two threads at once.

    `period_s` is the stream's.
    """

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._commands: list[float] = []
        self._chunks: deque[tuple[float, float]] = deque(maxlen=CHUNKS_KEPT)
        self._chunks_before = 0
        self._chunk_count = 0
        self._origin: float | None = None
        self._last: list[float] = []
        """The last command before those that were not taken yet."""

    def command(self, written: float) -> None:
        """Note a command."""
        self._commands.append(written)
        if self._origin is None:
            self._origin = written

    def chunk(self, written: float, t_obs: float) -> None:
        """Note a chunk for the observation at `t_obs`."""
        self._chunks.append((written, t_obs))
        self._chunk_count += 1

    def take(self) -> dict[str, Any]:
        """Return the figures since the last call; nan where there was nothing.

        `phase_s` is where the commands lie in the period, counted from the very first one; `missed` are the periods
        without a command, while others came; `age_in_chunks` is the age in intervals between chunks.
        """
        commands, before, self._commands = np.array(self._commands), self._last, []
        chunks = np.array(self._chunks).reshape(-1, 2)
        new, self._chunks_before = self._chunk_count - self._chunks_before, self._chunk_count
        found: dict[str, Any] = {"commands": len(commands), "chunks": new}
        found |= dict.fromkeys(("missed", "period_p99_s", "phase_s", "age_p50_s", "age_p99_s"), float("nan"))
        found["age_in_chunks"] = float("nan")
        if len(commands) < 2 or self._origin is None:
            return found
        periods, self._last = np.diff(np.r_[before, commands]), [float(commands[-1])]
        periods = periods[periods < LARGEST_GAP * self._period_s]
        if len(periods):
            found["missed"] = int((np.rint(periods / self._period_s) - 1).clip(0).sum())
            found["period_p99_s"] = float(np.percentile(periods, 99))
        if len(commands) >= ENOUGH and found["missed"] <= MOST_MISSED * len(commands):
            found["phase_s"] = self._phase(commands - self._origin)
        ages = ages_s(commands, chunks)
        if len(ages):
            found["age_p50_s"], found["age_p99_s"] = (float(each) for each in np.percentile(ages, (50, 99)))
            if new >= 2:
                found["age_in_chunks"] = found["age_p50_s"] / float(np.median(np.diff(chunks[-new:, 0])))
        return found

    def _phase(self, since: Any) -> float:
        """The phase of an early command, within half a period of either side."""
        turns = np.exp(2j * np.pi * since / self._period_s)
        middle = float(np.angle(turns.mean())) / (2.0 * np.pi) * self._period_s
        around = (since - middle + self._period_s / 2.0) % self._period_s - self._period_s / 2.0
        phase = middle + float(np.percentile(around, EARLY))
        return (phase + self._period_s / 2.0) % self._period_s - self._period_s / 2.0
