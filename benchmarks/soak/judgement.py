"""What counts as flat. Pure functions of the series that were measured; the rule is the same for everything.

A run is judged after its warm-up, the first WARM_UP of it, or WARM_UP_S if that is longer. The rest is cut into four
quarters. A size has grown if its STAYS-th percentile in the last quarter is LARGEST_GROWTH or more above that in the
first: what a process needs now and then comes and goes, what it never gives back is seen where it holds least. For what
is counted in small whole numbers, such as threads, one more is too many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

WARM_UP, WARM_UP_S = 0.25, 120.0
"""The black box fills for 60 s, and the memory of a process only settles after some times of everything."""
LARGEST_GROWTH = 0.01
STAYS, MIDDLE = 10.0, 50.0
"""Percentiles."""
LARGEST_AGE_GROWTH = 0.1
"""For the age of the observation behind a command, in intervals between chunks: the machine is not always as fast."""
LARGEST_DRIFT_S = 0.001
"""How far the instants of a stream may move off their grid while one timer runs."""
FEWEST = 8
"""Fewest samples that can be judged: two in a quarter."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Growth:
    """A percentile of the first and of the last quarter, and `most`, by which part of the first it may grow."""

    first: float
    last: float
    most: float

    @property
    def share(self) -> float:
        """The growth; where there was nothing at first, anything is infinitely much."""
        if self.first == 0.0:
            return float("inf") if self.last > 0.0 else 0.0
        return self.last / self.first - 1.0

    @property
    def is_flat(self) -> bool:
        """Whether the growth is within what is allowed."""
        return self.share < self.most


def growth(
    times: npt.ArrayLike, values: npt.ArrayLike, most: float = LARGEST_GROWTH, percentile: float = STAYS
) -> Growth | None:
    """Judge a series by the rule above; nan is no sample. None if there are too few samples after the warm-up."""
    at, sizes = np.array(times, float), np.array(values, float)
    at, sizes = at[np.isfinite(sizes)], sizes[np.isfinite(sizes)]
    if not len(at):
        return None
    begin = warm_from(at[0], at[-1])
    first, last = quarters(at[at >= begin], sizes[at >= begin], percentile)
    return None if first is None or last is None else Growth(first, last, most)


def warm_from(begin: float, end: float) -> float:
    """When the warm-up of a run from `begin` to `end` is over, s."""
    return begin + max(WARM_UP_S, WARM_UP * (end - begin))


def quarters(times: Floats, values: Floats, percentile: float) -> tuple[float, float] | tuple[None, None]:
    """A percentile of the first and of the last quarter of the time; None if there are too few samples."""
    if len(times) < FEWEST:
        return None, None
    length = (times[-1] - times[0]) / 4.0
    first, last = values[times <= times[0] + length], values[times >= times[-1] - length]
    return float(np.percentile(first, percentile)), float(np.percentile(last, percentile))


def drift_s(times: npt.ArrayLike, phases_s: npt.ArrayLike, period_s: float, begins: Sequence[float]) -> float:
    """Return by how much the instants of a stream moved off their grid at worst, s, while one timer ran.

    `phases_s` says for each of `times` where the stream's instants lay in the period, within half a period of either
    side; `begins` are the times at which a timer was started. A stretch with too few samples is not judged.
    """
    at, phases = np.array(times, float), np.array(phases_s, float)
    at, phases = at[np.isfinite(phases)], phases[np.isfinite(phases)]
    worst = 0.0
    edges = [-np.inf, *begins, np.inf]
    for begin, end in pairwise(edges):
        inside = (at >= begin) & (at < end)
        first, last = quarters(at[inside], np.unwrap(phases[inside], period=period_s), MIDDLE)
        if first is not None and last is not None and abs(last - first) > abs(worst):
            worst = last - first
    return worst


def judge(times: Sequence[float], series: Mapping[str, Sequence[float]]) -> dict[str, Growth]:
    """Judge every series that has enough samples; name -> its growth."""
    found = {name: growth(times, values) for name, values in series.items()}
    return {name: each for name, each in found.items() if each is not None}
