"""Progress for people: a bar in a terminal, a few lines in a log."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

Progress: TypeAlias = Callable[[int, int], None]
"""Called with how much is done, and how much there is to do."""

_LINES = 5


@contextmanager
def progress_bar(title: str, log: Callable[[str], None] = print) -> Iterator[Progress]:
    """Give a function to call with (done, total); shown as a bar if stdout is a terminal and rich is installed."""
    bar = _rich_bar() if sys.stdout.isatty() else None
    if bar is None:
        yield _Lines(title, log)
        return
    with bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _rich_bar() -> RichProgress | None:
    try:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress
    except ModuleNotFoundError:  # an optional dependency: lines will do
        return None
    return RichProgress(TextColumn("{task.description:<26}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())


class _Lines:
    """Writes a line whenever another fifth of the work is done."""

    def __init__(self, title: str, log: Callable[[str], None]) -> None:
        self._title = title
        self._log = log
        self._written = 0

    def __call__(self, done: int, total: int) -> None:
        reached = _LINES * done // total
        if reached > self._written:
            self._written = reached
            self._log(f"{self._title}: {done}/{total}")
