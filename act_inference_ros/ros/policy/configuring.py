"""Configuring: tells people what `configure` is waiting for while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from act_inference_ros.execution.states import Standing, State

FIRST_S, NEXT_S = 2.0, 5.0
"""After this time the log says for the first time what is awaited, and then repeats it with this period."""
REASON = "configuring"


class Configuring:
    """Lasts from `begin` to `end`. Any thread may call `says`, only the executor's the rest; call `look` often."""

    def __init__(self, logger: Any, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._monotonic = monotonic
        self._began: float | None = None
        self._due = 0.0
        self._what = ""

    def begin(self) -> None:
        """Note that configure has begun."""
        self._began = self._monotonic()
        self._due = self._began + FIRST_S
        self._what = "reading the parameters"

    def end(self) -> None:
        """Note that configure is over, with or without success."""
        self._began = None

    def says(self, what: str) -> None:
        """Note the current work or wait."""
        self._what = what

    @property
    def detail(self) -> str | None:
        """Return the current work or wait; None if nothing is being configured."""
        return None if self._began is None else self._what

    @property
    def standing(self) -> Standing | None:
        """Return the standing of a node that is being configured; None if it is not being configured."""
        return None if self._began is None else Standing(State.INACTIVE, REASON, self._what, 0.0)

    def look(self) -> None:
        """Write to the log, if it is time for that."""
        now = self._monotonic()
        if self._began is not None and now >= self._due:
            self._due = now + NEXT_S
            self._logger.info(f"{REASON} for {now - self._began:.0f} s: {self._what}")
