"""StampedHistory: the newest values of one input, ordered by their stamps."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

VECTORS_KEPT_S = 5.0
VECTORS_KEPT = 2000
"""Limits for an input with numbers: seconds, and number of messages."""


@dataclass(frozen=True)
class Stamped(Generic[T]):
    """A value and the time it was taken at, s."""

    stamp: float
    value: T


class StampedHistory(Generic[T]):
    """Values with increasing stamps: those of the newest `span` seconds, and never more than `capacity`."""

    def __init__(self, span: float, capacity: int) -> None:
        self.span = span
        """How many seconds are kept; may be set."""
        self._capacity = capacity
        self._entries: list[Stamped[T]] = []

    @property
    def newest(self) -> Stamped[T] | None:
        """The last value, or None."""
        return self._entries[-1] if self._entries else None

    def append(self, stamp: float, value: T) -> None:
        """Add a value whose stamp is not before the newest; a value with the same stamp replaces the newest."""
        entries = self._entries
        if entries and entries[-1].stamp == stamp:
            entries.pop()
        entries.append(Stamped(stamp, value))
        too_old = bisect_left(entries, stamp - self.span, key=lambda entry: entry.stamp)
        del entries[: max(too_old, len(entries) - self._capacity)]

    def nearest(self, stamp: float) -> Stamped[T]:
        """Return the value nearest in time to `stamp`; of two equally near the newer. Raises ValueError if empty."""
        place = bisect_left(self._entries, stamp, key=lambda entry: entry.stamp)
        around = self._entries[max(place - 1, 0) : place + 1]
        return min(reversed(around), key=lambda entry: abs(entry.stamp - stamp))

    def remove(self, value: T) -> None:
        """Forget `value` (this very object) if it is still in the history."""
        self._entries = [entry for entry in self._entries if entry.value is not value]

    def forget_before(self, stamp: float) -> None:
        """Forget what is older than the last value that is not after `stamp`."""
        del self._entries[: max(0, bisect_right(self._entries, stamp, key=lambda entry: entry.stamp) - 1)]

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
