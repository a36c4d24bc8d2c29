"""The episodes of a data set: which there are, and in which files the rows and the videos of each lie."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.datasets.description import INFO, V21, DatasetInfo
from act_inference_ros.evaluation.datasets.episode_entry import EpisodeEntry
from act_inference_ros.evaluation.datasets.episode_lines import entries_of_lines
from act_inference_ros.evaluation.datasets.episode_tables import entries_of_tables
from act_inference_ros.evaluation.datasets.reading import dataset_error

Ranges = Sequence[tuple[int, int]]
"""Episodes from the first to the second number, both included."""


def read_episodes(info: DatasetInfo, wanted: Ranges = ()) -> list[EpisodeEntry]:
    """Return the wanted episodes (all by default), each once, in their own order.

    Raises ConfigurationError for a missing or invalid description, for an episode that does not exist, and if the
    number of episodes differs from info.json; MissingDependencyError without pyarrow (v3.0).
    """
    made = entries_of_lines(info) if info.version == V21 else entries_of_tables(info)
    found: dict[int, EpisodeEntry] = {}
    total = 0
    for index, make in made:
        total += 1
        if not wanted or any(first <= index <= last for first, last in wanted):
            if index in found:
                raise dataset_error(info.root, "each episode described once", f"episode {index} twice")
            found[index] = make()
        if total > info.total_episodes:
            raise _another_number(info, "more")
    if total != info.total_episodes:
        raise _another_number(info, total)
    for first, last in wanted:
        # Do not check every number of a range, because a range may be very long.
        missing = next((index for index in range(first, last + 1) if index not in found), None)
        if missing is not None:
            raise ConfigurationError(
                f"data set {info.root}: no episode {missing}; it has {total} episodes, counted from 0"
            )
    return [found[index] for index in sorted(found)]


def _another_number(info: DatasetInfo, described: int | str) -> ConfigurationError:
    return dataset_error(
        f"data set {info.root}", f"{info.total_episodes} episodes, as {INFO} says", f"{described} that are described"
    )


def existing(info: DatasetInfo, path: PurePosixPath) -> Path | None:
    """Return the file with that relative path, or None if there is none."""
    found = info.root / path
    return found if found.is_file() else None
