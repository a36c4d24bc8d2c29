"""InferenceStatistics: counts and times of recent inferences, for the diagnostics and the age of a plan."""

from __future__ import annotations

from collections import Counter, deque

import numpy as np

WINDOW = 200
"""Number of chunks over which times are summarised."""
ENOUGH = 10
"""After this many chunks of a backend its own times replace the warm-up times."""


class InferenceStatistics:
    """Counts since configure, and the times (s) of the last chunks.

    Not thread-safe. `warm_up_s` is the time of the slowest warm-up of any backend, including the fallback.
    """

    def __init__(self, warm_up_s: float = 0.0) -> None:
        self.chunks = 0
        self.dropped = 0
        self.failures: Counter[str] = Counter()
        self.last_error = ""
        self._warm_up_s = warm_up_s
        self._inference_s: deque[float] = deque(maxlen=WINDOW)
        self._observation_age_s: deque[float] = deque(maxlen=WINDOW)
        self._by_source: dict[str, deque[float]] = {}

    def inferred(self, inference_s: float, observation_age_s: float, accepted: bool, source: str = "") -> None:
        """Count a chunk: inference time, age of its observation at its arrival, and whether it was accepted."""
        self.chunks += 1
        self.dropped += not accepted
        self._inference_s.append(inference_s)
        self._observation_age_s.append(observation_age_s)
        self._by_source.setdefault(source, deque(maxlen=WINDOW)).append(inference_s)

    def failed(self, error: Exception) -> None:
        """Count a chunk that could not be computed."""
        self.failures[type(error).__name__] += 1
        self.last_error = str(error)

    def expected_s(self, source: str = "") -> float:
        """How long the next inference of `source` will take: the 95th percentile of its last inference times.

        While there are few of these, the slowest of them and of the warm-ups.
        """
        times = self._by_source.get(source, deque())
        if len(times) >= ENOUGH:
            return float(np.percentile(times, 95))
        return max([self._warm_up_s, *times])

    def inference_ms(self, percentile: float) -> float:
        """Percentile of the inference time, ms; nan before the first chunk."""
        return _percentile_ms(self._inference_s, percentile)

    def observation_age_ms(self, percentile: float) -> float:
        """Percentile of the observation's age when its chunk arrived, ms; nan before the first chunk."""
        return _percentile_ms(self._observation_age_s, percentile)


def _percentile_ms(seconds: deque[float], percentile: float) -> float:
    return float(np.percentile(seconds, percentile)) * 1e3 if seconds else float("nan")
