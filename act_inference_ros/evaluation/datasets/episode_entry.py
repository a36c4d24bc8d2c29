"""EpisodeEntry: how long an episode is, what it is for, and in which files its rows and its videos lie."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Protocol

from act_inference_ros.evaluation.datasets.reading import dataset_error

MOST_FRAMES = 2**31
MOST_TASKS, LONGEST_TASK = 10, 200
"""Most tasks of an episode that are shown, and most characters of each."""


@dataclass(frozen=True, slots=True)
class VideoPart:
    """The place of one camera's frames of an episode: a file, and the start time in it, s."""

    path: PurePosixPath
    from_s: float


class EpisodeFiles(Protocol):
    """An episode's files, relative to the data set's directory.

    The paths are made when they are asked for, because a data set may have very many episodes and cameras.
    """

    def data(self) -> PurePosixPath:
        """Return the table with the episode's rows. Raises ConfigurationError if the description is wrong."""

    def video(self, key: str) -> VideoPart:
        """Return the place of a camera's frames. Raises ConfigurationError if the description is wrong."""


@dataclass(frozen=True, slots=True)
class EpisodeEntry:
    """An episode: its number, its frames, its tasks, and its files."""

    index: int
    length: int
    tasks: tuple[str, ...]
    files: EpisodeFiles


Entries = Iterator[tuple[int, Callable[[], EpisodeEntry]]]
"""The episodes that a file describes, each with its number; the entry is made when it is asked for."""


def whole(where: str, name: str, value: Any, least: int = 0) -> int:
    """Return a value that must be a whole number, or raise ConfigurationError."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < MOST_FRAMES:
        raise dataset_error(f"{where}: {name}", f"a whole number from {least}", repr(value))
    return value


def seconds(where: str, name: str, value: Any) -> float:
    """Return a value that must be a time in s, or raise ConfigurationError."""
    if not isinstance(value, (int, float)) or not 0.0 <= value < MOST_FRAMES:
        raise dataset_error(f"{where}: {name}", "seconds from 0", repr(value))
    return float(value)


def shown_tasks(tasks: Iterable[Any]) -> tuple[str, ...]:
    """Return tasks, no more than MOST_TASKS, in the form shown to people."""
    return tuple(map(_shown, tasks))


def _shown(task: Any) -> str:
    text = str(task)[:LONGEST_TASK]
    return text if text.isprintable() else "".join(each if each.isprintable() else " " for each in text)
