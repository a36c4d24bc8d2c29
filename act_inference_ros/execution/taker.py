"""Taker: decides when an observation is taken: at most `inference_rate` times a second, and only with new data."""

from __future__ import annotations

from typing import Protocol

from act_inference_ros.observation.refusal import ObservationRefused, Refusal
from act_inference_ros.observation.selection import Selection

PATIENCE_S = 0.05
"""How long after an observation the next image of every camera is waited for; after that, old images are used again."""
CLOCK_RESOLUTION_S = 1e-6
"""Tolerance when times are compared: near 1.7e9 s (today) a float64 resolves 0.24 microseconds."""


class SelectableInputs(Protocol):
    """The inputs as the taker needs them; `observation.inputs.ObservationInputs` implements this."""

    def has_news_since(self, t_obs: float) -> bool:
        """Whether every camera (every vector, without cameras) has something newer than `t_obs`."""

    def select(self, now: float) -> Selection:
        """Choose the messages of the newest observation, or raise ObservationRefused."""


class Taker:
    """Takes each observation at most once. Times are s on one clock; the taker has no clock of its own."""

    def __init__(self, inputs: SelectableInputs, inference_rate: float) -> None:
        self.inference_rate = inference_rate
        self.refusal: Refusal | None = None
        """Why the last attempt gave no observation; None after a successful one."""
        self._inputs = inputs
        self.restart()

    def restart(self) -> None:
        """Forget what was taken: time was reset, or the plan was forgotten."""
        self._last_t_obs = self._last_taken = self._last_look = float("-inf")
        self.refusal = None

    def due(self, now: float) -> float:
        """Return for how many seconds from `now` on nothing will be taken."""
        left = self._last_taken + 1.0 / self.inference_rate - now
        return left if left > CLOCK_RESOLUTION_S else 0.0

    def take(self, now: float) -> Selection | None:
        """Return the messages of a new observation, or None if it is too early or there is none."""
        if self.due(now) > 0.0:
            return None
        if now - self._last_look < PATIENCE_S and not self._inputs.has_news_since(self._last_t_obs):
            return None
        try:
            selection = self._inputs.select(now)
        except ObservationRefused as refused:
            self.refusal = refused.refusal
            return None
        self.refusal = None
        if selection.t_obs <= self._last_t_obs:
            return None
        self._last_t_obs, self._last_taken, self._last_look = selection.t_obs, now, now
        return selection
