"""The episodes of a data set: how long each is, and in which files its rows and its videos lie.

v2.1 has a line for each in meta/episodes.jsonl, and files of its own for each. v3.0 has a row for each in
meta/episodes/chunk-*/file-*.parquet; one file of data or video holds many episodes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.datasets.description import INFO, V21, VIDEO_KEY, DatasetInfo
from act_inference_ros.evaluation.datasets.features import VIDEO
from act_inference_ros.evaluation.datasets.reading import dataset_error, one_line, pyarrow

EPISODES_LINES = "meta/episodes.jsonl"
EPISODES_TABLES = "meta/episodes"
LONGEST_LINE = 1 << 20
MOST_FRAMES = 2**31
MOST_TASKS, LONGEST_TASK = 10, 200
"""Most tasks of an episode that are shown, and most characters of each."""

Ranges = Sequence[tuple[int, int]]
"""Episodes from the first to the second number, both included."""


@dataclass(frozen=True)
class VideoPart:
    """The place of one camera's frames of an episode: a file, and the start time in it, s."""

    path: PurePosixPath
    from_s: float


@dataclass(frozen=True)
class EpisodeEntry:
    """An episode: its number, its frames, its tasks, and its files relative to the data set's directory."""

    index: int
    length: int
    tasks: tuple[str, ...]
    data: PurePosixPath
    videos: Mapping[str, VideoPart] = field(default_factory=dict)


def read_episodes(info: DatasetInfo, wanted: Ranges = ()) -> list[EpisodeEntry]:
    """Return the wanted episodes (all by default), each once, in their own order.

    Raises ConfigurationError for a missing or invalid description, for an episode that does not exist, and if the
    number of episodes differs from info.json; MissingDependencyError without pyarrow (v3.0).
    """
    made = _from_lines(info) if info.version == V21 else _from_tables(info)
    found: dict[int, EpisodeEntry] = {}
    total = 0
    for index, make in made:
        total += 1
        if not wanted or any(first <= index <= last for first, last in wanted):
            if index in found:
                raise dataset_error(info.root, "each episode described once", f"episode {index} twice")
            found[index] = make()
    if total != info.total_episodes:
        raise dataset_error(
            f"data set {info.root}", f"{info.total_episodes} episodes, as {INFO} says", f"{total} that are described"
        )
    for first, last in wanted:
        # Do not check every number of a range, because a range may be very long.
        missing = next((index for index in range(first, last + 1) if index not in found), None)
        if missing is not None:
            raise ConfigurationError(
                f"data set {info.root}: no episode {missing}; it has {total} episodes, counted from 0"
            )
    return [found[index] for index in sorted(found)]


Made = Iterator[tuple[int, Callable[[], EpisodeEntry]]]


def _from_lines(info: DatasetInfo) -> Made:
    path = info.root / EPISODES_LINES
    if not path.is_file():
        raise dataset_error(f"data set {info.root}", f"the episodes of {info.version} in {EPISODES_LINES}", "no file")
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LONGEST_LINE + 1):
                number += 1
                if line.strip():
                    row = _Row(f"{path}, line {number}", _parsed(f"{path}, line {number}", line))
                    yield row.index, partial(row.episode_v21, info)
    except OSError as error:
        raise dataset_error(path, "a readable file", error) from error


def _parsed(where: str, line: bytes) -> Mapping[str, Any]:
    try:
        given = json.loads(line.decode("utf-8")) if len(line) <= LONGEST_LINE else None
    except (ValueError, RecursionError) as error:
        raise dataset_error(where, "JSON", error) from error
    if not isinstance(given, dict):
        raise dataset_error(where, "a JSON object", f"{len(line)} bytes of something else")
    return given


def _from_tables(info: DatasetInfo) -> Made:
    arrow, parquet = pyarrow()
    paths = sorted((info.root / EPISODES_TABLES).glob("*/*.parquet"))
    if not paths:
        raise dataset_error(
            f"data set {info.root}", f"the episodes of {info.version} in {EPISODES_TABLES}", "no parquet file there"
        )
    for path in paths:
        try:
            with parquet.ParquetFile(path) as table:
                # The other columns are statistics, which are many and not needed.
                columns = [name for name in table.schema_arrow.names if not name.startswith("stats/")]
                place = 0
                for batch in table.iter_batches(batch_size=1000, columns=columns):
                    for given in batch.to_pylist():
                        row = _Row(f"{path}, row {place}", given)
                        yield row.index, partial(row.episode_v30, info)
                        place += 1
        except (arrow.lib.ArrowException, OSError, ValueError) as error:
            raise dataset_error(path, "a readable parquet file", one_line(error)) from error


class _Row:
    """One episode's entry, whose fields are checked as they are read."""

    def __init__(self, where: str, given: Mapping[str, Any]) -> None:
        self._where = where
        self._given = given
        self.index = self._whole("episode_index")

    def episode_v21(self, info: DatasetInfo) -> EpisodeEntry:
        place = {"episode_chunk": self.index // info.chunks_size, "episode_index": self.index}
        videos = {key: VideoPart(info.video_path.filled(**place, **{VIDEO_KEY: key}), 0.0) for key in _videos(info)}
        return self._episode(info.data_path.filled(**place), videos)

    def episode_v30(self, info: DatasetInfo) -> EpisodeEntry:
        videos = {}
        for key in _videos(info):
            column = f"videos/{key}"
            place = {name: self._whole(f"{column}/{name}") for name in ("chunk_index", "file_index")}
            path = info.video_path.filled(**place, **{VIDEO_KEY: key})
            videos[key] = VideoPart(path, self._seconds(f"{column}/from_timestamp"))
        place = {name: self._whole(f"data/{name}") for name in ("chunk_index", "file_index")}
        return self._episode(info.data_path.filled(**place), videos)

    def _episode(self, data: PurePosixPath, videos: Mapping[str, VideoPart]) -> EpisodeEntry:
        tasks = self._given.get("tasks")
        named = tuple(map(_shown, tasks[:MOST_TASKS])) if isinstance(tasks, list) else ()
        return EpisodeEntry(self.index, self._whole("length", least=1), named, data, videos)

    def _whole(self, name: str, least: int = 0) -> int:
        value = self._given.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value < MOST_FRAMES:
            raise dataset_error(f"{self._where}: {name}", f"a whole number from {least}", repr(value))
        return value

    def _seconds(self, name: str) -> float:
        value = self._given.get(name)
        if not isinstance(value, (int, float)) or not 0.0 <= value < MOST_FRAMES:
            raise dataset_error(f"{self._where}: {name}", "seconds from 0", repr(value))
        return float(value)


def _shown(task: Any) -> str:
    """Return a task in the form shown to people."""
    return "".join(each if each.isprintable() else " " for each in str(task)[:LONGEST_TASK])


def _videos(info: DatasetInfo) -> list[str]:
    return [key for key, feature in info.features.items() if feature.dtype == VIDEO]


def existing(info: DatasetInfo, path: PurePosixPath) -> Path | None:
    """Return the file with that relative path, or None if there is none."""
    found = info.root / path
    return found if found.is_file() else None
