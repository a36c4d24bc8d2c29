"""Plans that a policy might have: a smooth one in all joints, and one whose target steps now and then."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

JOINTS = tuple(f"joint_{number}" for number in range(1, 7))
PEAK_VELOCITY = 1.5
"""rad/s; the fastest joint of the smooth plan reaches it."""
PEAK_WITHIN_S = 10.0
"""The peak velocity is searched in this many seconds of the plan."""


class Plan(Protocol):
    """A motion that a policy predicts."""

    def rows(self, t_obs: float, times: Floats) -> Floats:
        """The chunk (n, joints), rad, that an observation at `t_obs` gives for `times` (n,), s."""

    def at(self, times: Floats) -> Floats:
        """Where an arm without any delay would be at `times` (n,): (n, joints), rad."""


class SmoothPlan:
    """Two sines in each joint, and a constant error of each chunk that differs from one chunk to the next.

    `noise`, rad, is the standard deviation of that error; it is drawn anew for each joint and chunk from `seed`.
    """

    def __init__(self, seed: int, noise: float) -> None:
        random = np.random.default_rng(seed)
        shape = (2, len(JOINTS))
        self._rates = random.uniform([[1.6], [3.6]], [[2.8], [5.0]], shape)  # rad/s
        self._phases = random.uniform(0.0, 2.0 * np.pi, shape)
        self._sizes = np.ones(shape) / self._rates
        times = np.arange(0.0, PEAK_WITHIN_S, 0.002)
        peaks = np.abs(np.gradient(self.at(times), times, axis=0)).max(axis=0)
        wanted = np.linspace(0.5, 1.0, len(JOINTS)) * PEAK_VELOCITY
        self._sizes = self._sizes * wanted / peaks
        self._noise = noise
        self._random = random

    def at(self, times: Floats) -> Floats:
        """The plan without any error (n, joints)."""
        angles = times[:, None, None] * self._rates + self._phases
        return np.asarray((self._sizes * np.sin(angles)).sum(axis=1))

    def rows(self, t_obs: float, times: Floats) -> Floats:
        """The plan at `times`, off by this chunk's error."""
        return self.at(times) + self._random.normal(0.0, self._noise, len(JOINTS))


class SteppingPlan:
    """All joints stay at 0 or at `size`, rad, and change at each of the `events`, s; a chunk shows no later change."""

    def __init__(self, events: Floats, size: float) -> None:
        self.events = events
        self.size = size

    def at(self, times: Floats) -> Floats:
        """Where the target is at `times`."""
        happened = np.searchsorted(self.events, times, side="right")
        return np.asarray(np.repeat((happened % 2 * self.size)[:, None], len(JOINTS), axis=1))

    def rows(self, t_obs: float, times: Floats) -> Floats:
        """The target at `t_obs`, for all `times`."""
        return np.repeat(self.at(np.array([t_obs])), len(times), axis=0)
