"""How far an evaluation is: a bar with rate and time left on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """What is told how far it is."""

    def __call__(self, done: float, total: float, note: str = "") -> None:
        """Done so far, of how much, in whatever unit; a `note` instead of the rate."""


_LINES = 10
_SOONEST_S = 1.0


@contextmanager
def progress_bar(title: str, unit: str, say: Callable[[str], None]) -> Iterator[Progress]:
    """Give a function to call as often as one likes; `unit` is what is counted, such as `episodes`."""
    if not sys.stdout.isatty():
        yield _Lines(title, unit, say)
        return
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns) as bar:
        task = bar.add_task(title, total=None, rate="")
        started = time.monotonic()

        def update(done: float, total: float, note: str = "") -> None:
            rate = note or _rate(done, unit, time.monotonic() - started)
            bar.update(task, completed=done, total=total, rate=rate)

        yield update


class _Lines:
    """A line whenever another tenth is done, and not every moment."""

    def __init__(self, title: str, unit: str, say: Callable[[str], None]) -> None:
        self._title, self._unit, self._say = title, unit, say
        self._written = 0
        self._started = self._last = time.monotonic()

    def __call__(self, done: float, total: float, note: str = "") -> None:
        reached, now = int(_LINES * done // total) if total else 0, time.monotonic()
        if reached <= self._written or (now - self._last < _SOONEST_S and done < total):
            return
        self._written, self._last = reached, now
        elapsed = now - self._started
        left = elapsed * (total - done) / done
        rate = note or _rate(done, self._unit, elapsed)
        self._say(f"{self._title}: {100 * done / total:.0f} %, {rate}, {left:.0f} s left")


def _rate(done: float, unit: str, elapsed_s: float) -> str:
    rate = done / elapsed_s if elapsed_s > 0.0 else 0.0
    return f"{rate:.1f} {unit}/s" if rate >= 1.0 or rate == 0.0 else f"{60 * rate:.1f} {unit}/min"
