"""The episodes of v2.1: a line for each in meta/episodes.jsonl, and files of its own for each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from act_inference_ros.evaluation.datasets.description import VIDEO_KEY, DatasetInfo
from act_inference_ros.evaluation.datasets.episode_entry import (
    MOST_TASKS,
    Entries,
    EpisodeEntry,
    VideoPart,
    shown_tasks,
    whole,
)
from act_inference_ros.evaluation.datasets.reading import dataset_error

EPISODES_LINES = "meta/episodes.jsonl"
LONGEST_LINE = 1 << 20
MOST_EMPTY_LINES = 100


def entries_of_lines(info: DatasetInfo) -> Entries:
    """Yield the episodes in the order of the lines. Raises ConfigurationError for a line that describes none."""
    path = info.root / EPISODES_LINES
    if not path.is_file():
        raise dataset_error(f"data set {info.root}", f"the episodes of {info.version} in {EPISODES_LINES}", "no file")
    try:
        with path.open("rb") as file:
            number = empty = 0
            while line := file.readline(LONGEST_LINE + 1):
                number += 1
                if line.strip():
                    where = f"{path}, line {number}"
                    given = _parsed(where, line)
                    index = whole(where, "episode_index", given.get("episode_index"))
                    yield index, partial(_entry, info, where, index, given)
                elif (empty := empty + 1) > MOST_EMPTY_LINES:
                    raise dataset_error(path, "an episode in each line", "empty lines")
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


def _entry(info: DatasetInfo, where: str, index: int, given: Mapping[str, Any]) -> EpisodeEntry:
    tasks = given.get("tasks")
    shown = shown_tasks(tasks[:MOST_TASKS]) if isinstance(tasks, list) else ()
    return EpisodeEntry(index, whole(where, "length", given.get("length"), least=1), shown, _OwnFiles(info, index))


@dataclass(frozen=True, slots=True)
class _OwnFiles:
    """The files of an episode that has its own ones, named by its number."""

    info: DatasetInfo
    index: int

    def data(self) -> PurePosixPath:
        return self.info.data_path.filled(**self._fields())

    def video(self, key: str) -> VideoPart:
        return VideoPart(self.info.video_path.filled(**self._fields(), **{VIDEO_KEY: key}), 0.0)

    def _fields(self) -> dict[str, int]:
        return {"episode_chunk": self.index // self.info.chunks_size, "episode_index": self.index}
