"""When the simulated robot takes its next step, and what time it is then."""

from __future__ import annotations

import time
from collections.abc import Callable

_S_TO_NS = 1_000_000_000


class TickClock:
    """A clock that advances in ticks of one length, never ahead of the wall clock.

    A late caller makes up for at most `max_lag_s`. What is missed beyond that is left out of the simulation: with
    `follow_wall` the clock jumps over it (time stays the wall clock's, the arm stood still), without it the clock
    runs slower (the arm missed nothing).
    """

    def __init__(
        self,
        rate_hz: float,
        *,
        follow_wall: bool,
        real_time_factor: float = 1.0,
        max_lag_s: float = 0.1,
        start_ns: int | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.period_s = 1.0 / rate_hz
        self.now_ns = time.time_ns() if start_ns is None else start_ns
        self.missed_s = 0.0
        self._follow_wall = follow_wall
        self._wall_period_s = self.period_s / (1.0 if follow_wall else real_time_factor)
        self._max_lag_s = max_lag_s
        self._monotonic = monotonic
        self._due_s = monotonic() + self._wall_period_s

    @property
    def now_s(self) -> float:
        """The time of the last tick, s."""
        return self.now_ns / _S_TO_NS

    @property
    def wait_s(self) -> float:
        """Wall seconds until the next tick is due; 0 when it is."""
        return max(0.0, self._due_s - self._monotonic())

    def tick(self) -> None:
        """Advance by one period; call it when `wait_s` is 0."""
        self.now_ns += round(self.period_s * _S_TO_NS)
        missed_s = self._monotonic() - self._due_s - self._max_lag_s
        self._due_s += self._wall_period_s
        if missed_s > 0.0:
            self._due_s += missed_s
            self.missed_s += missed_s
            if self._follow_wall:
                self.now_ns += round(missed_s * _S_TO_NS)
