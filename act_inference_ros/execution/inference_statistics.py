"""InferenceStatistics: what inference has done lately, for the diagnostics. Not thread-safe."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

import numpy as np

WINDOW = 200
"""Chunks over which times are summarised."""


@dataclass
class InferenceStatistics:
    """Counts since configure, and the times (s) of the last chunks."""

    chunks: int = 0
    dropped: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    last_error: str = ""
    _inference_s: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    _observation_age_s: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def inferred(self, inference_s: float, observation_age_s: float, accepted: bool) -> None:
        """Count a chunk: how long it took, how old its observation was when it arrived, whether it was of use."""
        self.chunks += 1
        self.dropped += not accepted
        self._inference_s.append(inference_s)
        self._observation_age_s.append(observation_age_s)

    def failed(self, error: Exception) -> None:
        """Count a chunk that could not be computed."""
        self.failures[type(error).__name__] += 1
        self.last_error = str(error)

    def inference_ms(self, percentile: float) -> float:
        """Percentile of the inference time, ms; nan before the first chunk."""
        return _percentile_ms(self._inference_s, percentile)

    def observation_age_ms(self, percentile: float) -> float:
        """Percentile of the observation's age when its chunk arrived, ms; nan before the first chunk."""
        return _percentile_ms(self._observation_age_s, percentile)


def _percentile_ms(seconds: deque[float], percentile: float) -> float:
    return float(np.percentile(seconds, percentile)) * 1e3 if seconds else float("nan")
