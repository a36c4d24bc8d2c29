"""StateLog: one line in the log for each change of state, and never more than one a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from act_inference_ros.execution.states import Standing, State

SHORTEST_S = 1.0
"""Between two lines. A change that comes sooner is told when this has passed, if it still holds by then."""


class StateLog:
    """Call `tell` often; the last line never contradicts the state for longer than SHORTEST_S."""

    def __init__(self, logger: Any, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._monotonic = monotonic
        self._told: tuple[State, str] | None = None
        self._known: tuple[State, str] | None = None
        self._last = float("-inf")

    def tell(self, standing: Standing) -> bool:
        """Log `standing` if it is news and it is time; return whether it differs from the last call's."""
        what = standing.state, standing.reason
        changed, self._known = what != self._known, what
        if what != self._told and self._monotonic() >= self._last + SHORTEST_S:
            self._told, self._last = what, self._monotonic()
            if standing.state is State.COMMANDING:  # rclpy wants one severity for each line of code
                self._logger.info(standing.text)
            else:
                self._logger.warning(standing.text)
        return changed
