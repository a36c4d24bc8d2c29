"""StateLog: one line in the log for each change of state, at most one per second."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from act_inference_ros.execution.states import Standing, State

SHORTEST_S = 1.0
"""Shortest time between two lines. A change that comes sooner is logged after this time, if it still holds."""


class StateLog:
    """Call `tell` often; the last line never contradicts the state for longer than SHORTEST_S."""

    def __init__(self, logger: Any, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._monotonic = monotonic
        self._told: tuple[State, str] | None = None
        self._known: tuple[State, str] | None = None
        self._changes = 0
        """Changes of state since the last line."""
        self._last = float("-inf")

    def tell(self, standing: Standing, at_once: bool = False) -> bool:
        """Log `standing` if it is new and it is time, or `at_once`; return whether it differs from the last call's.

        If lines were left out, the next line says how often the state has changed since the last one.
        """
        what = standing.state, standing.reason
        changed, self._known = what != self._known, what
        self._changes += changed
        left_out = self._changes > 1
        if (left_out or what != self._told) and (at_once or self._monotonic() >= self._last + SHORTEST_S):
            often = f"; the state changed {self._changes} times since the last line" if left_out else ""
            self._told, self._last, self._changes = what, self._monotonic(), 0
            if standing.state in (State.COMMANDING, State.INACTIVE):  # rclpy requires one severity per line of code
                self._logger.info(standing.text + often)
            else:
                self._logger.warning(standing.text + often)
        return changed
