"""Shows a program's progress: a bar with rate and time left in a terminal, occasional lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress as Bar


class Progress(Protocol):
    """Receives the progress of the work."""

    def __call__(self, done: float, total: float, note: str = "") -> None:
        """Report `done` of `total`, in any unit; a `note` is shown instead of the rate."""


_LINES = 10
_SOONEST_S = 1.0


@contextmanager
def progress_bar(title: str, unit: str, say: Callable[[str], None]) -> Iterator[Progress]:
    """Give a function that may be called at any rate; `unit` names the counted things, such as `episodes`.

    It shows a bar if stdout is a terminal and rich is installed; otherwise it hands lines to `say`.
    """
    bar = _bar() if sys.stdout.isatty() else None
    if bar is None:
        yield _Lines(title, unit, say)
        return
    with bar:
        task = bar.add_task(title, total=None, rate="")
        started = time.monotonic()

        def update(done: float, total: float, note: str = "") -> None:
            rate = note or _rate(done, unit, time.monotonic() - started)
            bar.update(task, completed=done, total=total, rate=rate)

        yield update


def _bar() -> Bar | None:
    try:
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar
    except ModuleNotFoundError:  # an optional dependency: lines are enough
        return None
    return Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )


class _Lines:
    """Prints a line for each further tenth, at most one per second, and one at the end."""

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
