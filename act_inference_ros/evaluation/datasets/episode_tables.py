"""The episodes of v3.0: a row for each in meta/episodes/chunk-*/file-*.parquet; one file holds many episodes.

A table of a few kilobytes may stand for very many numbers. Only the columns that are needed are read, and only if their
types are right; the places of the videos stay in the table's own form until an episode is read.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from act_inference_ros.evaluation.datasets.description import VIDEO_KEY, DatasetInfo
from act_inference_ros.evaluation.datasets.episode_entry import (
    LONGEST_TASK,
    MOST_FRAMES,
    MOST_TASKS,
    Entries,
    EpisodeEntry,
    VideoPart,
    seconds,
    shown_tasks,
    whole,
)
from act_inference_ros.evaluation.datasets.reading import dataset_error, one_line, pyarrow
from act_inference_ros.evaluation.datasets.tables import BUFFER_BYTES

EPISODES_TABLES = "meta/episodes"
MOST_VIDEO_PARTS = 4_000_000
"""Most episodes times cameras. A hundred thousand episodes with eight cameras have a fifth of it."""
ROWS_AT_ONCE = 1000

_EPISODE_INDEX, _LENGTH, _DATA_CHUNK, _DATA_FILE = "episode_index", "length", "data/chunk_index", "data/file_index"
_NUMBERS = (_EPISODE_INDEX, _LENGTH, _DATA_CHUNK, _DATA_FILE)
_TASKS = "tasks"


def entries_of_tables(info: DatasetInfo) -> Entries:
    """Yield the episodes in the order of the rows.

    Raises ConfigurationError for a table that describes none, MissingDependencyError without pyarrow.
    """
    arrow, parquet = pyarrow()
    paths = sorted((info.root / EPISODES_TABLES).glob("*/*.parquet"))
    if not paths:
        raise dataset_error(
            f"data set {info.root}", f"the episodes of {info.version} in {EPISODES_TABLES}", "no parquet file there"
        )
    parts = info.total_episodes * len(info.videos)
    if parts > MOST_VIDEO_PARTS:
        raise dataset_error(
            f"data set {info.root}", f"at most {MOST_VIDEO_PARTS} places of videos (episodes times cameras)", parts
        )
    for path in paths:
        if not path.is_file():  # a pipe would be waited for
            raise dataset_error(path, "a readable parquet file", "no file")
        try:
            with parquet.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER_BYTES) as table:
                columns = _checked_columns(table.schema_arrow, path, info)
                first = 0
                for batch in table.iter_batches(batch_size=ROWS_AT_ONCE, columns=columns, use_threads=False):
                    yield from _entries(batch, path, first, info)
                    first += len(batch)
        except (arrow.lib.ArrowException, OSError, ValueError, TypeError, MemoryError) as error:
            raise dataset_error(path, "a readable parquet file", one_line(error)) from error


def _checked_columns(schema: Any, path: Path, info: DatasetInfo) -> list[str]:
    """Return the columns to read, which have the types that they should have; the other ones may be of any size."""
    arrow, _ = pyarrow()
    is_integer, is_floating = arrow.types.is_integer, arrow.types.is_floating
    whole_numbers = [*_NUMBERS, *(name for key in info.videos for name in _place_columns(key))]
    times = [_time_column(key) for key in info.videos]
    for name in (*whole_numbers, *times):
        kind = schema.field(name).type if schema.names.count(name) == 1 else None
        if kind is None or not (is_integer(kind) or (name in times and is_floating(kind))):
            what = "seconds" if name in times else "whole numbers"
            got = f"{schema.names.count(name)} of that name" if kind is None else kind
            raise dataset_error(f"{path}: {name}", f"a column of {what}", got)
    return [*whole_numbers, *times, *([_TASKS] if _has_tasks(schema) else [])]


def _has_tasks(schema: Any) -> bool:
    arrow, _ = pyarrow()
    if schema.names.count(_TASKS) != 1:
        return False
    kind = schema.field(_TASKS).type
    return bool(arrow.types.is_list(kind) and arrow.types.is_string(kind.value_type))


def _place_columns(key: str) -> tuple[str, str]:
    return f"videos/{key}/chunk_index", f"videos/{key}/file_index"


def _time_column(key: str) -> str:
    return f"videos/{key}/from_timestamp"


def _entries(batch: Any, path: Path, first: int, info: DatasetInfo) -> Entries:
    """Yield the episodes of some rows; `first` is the number of the first one."""
    films = batch.select([name for name in batch.schema.names if name not in (*_NUMBERS, _TASKS)])
    indices, lengths, chunks, files = (
        _whole_numbers(batch, name, path, first, least=1 if name == _LENGTH else 0) for name in _NUMBERS
    )
    for row, tasks in enumerate(_tasks(batch)):
        shared = _SharedFiles(info, path, first, films, row, chunks[row], files[row])
        yield indices[row], partial(_entry, indices[row], lengths[row], tasks, shared)


def _entry(index: int, length: int, tasks: list[str], files: _SharedFiles) -> EpisodeEntry:
    return EpisodeEntry(index, length, shown_tasks(tasks), files)


def _whole_numbers(batch: Any, name: str, path: Path, first: int, least: int) -> list[int]:
    """Return a column of whole numbers, all of which are checked together."""
    column = batch.column(name)
    values = column.to_numpy(zero_copy_only=False)  # nulls become nan
    good = (values >= least) & (values < MOST_FRAMES)
    if not good.all():
        row = int(good.argmin())
        whole(f"{path}, row {first + row}", name, column[row].as_py(), least)
    numbers: list[int] = column.to_pylist()
    return numbers


def _tasks(batch: Any) -> Iterator[list[str]]:
    """Yield the tasks of each row, cut to what is shown before they leave the table."""
    from pyarrow import compute

    if _TASKS not in batch.schema.names:
        yield from itertools.repeat([], len(batch))
        return
    few = compute.list_slice(batch.column(_TASKS), 0, MOST_TASKS)
    texts = iter(compute.utf8_slice_codeunits(few.flatten(), 0, LONGEST_TASK).to_pylist())
    for count in few.value_lengths().to_pylist():
        yield list(itertools.islice(texts, count or 0))


@dataclass(slots=True)
class _SharedFiles:
    """The files of an episode that shares them with others; `row` of `films` has the places of its videos.

    `first` is the number of the first row of `films` in the file.
    """

    info: DatasetInfo
    path: Path
    first: int
    films: Any
    row: int
    chunk: int
    file: int

    def data(self) -> PurePosixPath:
        return self.info.data_path.filled(chunk_index=self.chunk, file_index=self.file)

    def video(self, key: str) -> VideoPart:
        where = f"{self.path}, row {self.first + self.row}"
        chunk, file = (whole(where, name, self._value(name)) for name in _place_columns(key))
        path = self.info.video_path.filled(chunk_index=chunk, file_index=file, **{VIDEO_KEY: key})
        name = _time_column(key)
        return VideoPart(path, seconds(where, name, self._value(name)))

    def _value(self, name: str) -> Any:
        return self.films.column(name)[self.row].as_py()
