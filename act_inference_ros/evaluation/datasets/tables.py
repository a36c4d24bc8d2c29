"""The rows of an episode in a parquet file, a few at a time: vectors as arrays, images as the bytes of a PNG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.evaluation.datasets.features import Feature
from act_inference_ros.evaluation.datasets.reading import Unreadable, one_line, pyarrow

EPISODE_INDEX, FRAME_INDEX, TIMESTAMP = "episode_index", "frame_index", "timestamp"
ROWS_AT_ONCE = 1024
ROWS_WITH_IMAGES_AT_ONCE = 8
INDICES_AT_ONCE = 1 << 16
"""So many rows are looked at together where only the episode's index is read."""
BUFFER_BYTES = 1 << 18
"""Size of the read buffer; without one a whole row group, perhaps the whole file, is read at once."""
LARGEST_IMAGE_BYTES = 1 << 26

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """A frame's row: its number in the episode, its time in s, its vectors (n,) and encoded images by key."""

    frame_index: int
    timestamp: float
    vectors: Mapping[str, Floats]
    images: Mapping[str, bytes]


def episode_rows(path: Path, episode: int, vectors: Sequence[Feature], images: Sequence[Feature]) -> Iterator[Row]:
    """Yield the rows of one episode in the order of the file, which may hold others.

    Raises Unreadable where the file is damaged or not what info.json says, MissingDependencyError without pyarrow.
    """
    arrow, parquet = pyarrow()
    columns = [EPISODE_INDEX, FRAME_INDEX, TIMESTAMP, *(each.key for each in (*vectors, *images))]
    try:
        # No read-ahead and no memory map: memory is a few pages for files of any size.
        with parquet.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER_BYTES) as table:
            there = table.schema_arrow.names
            missing = [name for name in columns if name not in there]
            if missing:
                raise Unreadable(f"{path}: no column {missing[0]}; it has {one_line(', '.join(there))}")
            repeated = [name for name in columns if there.count(name) > 1]
            if repeated:
                raise Unreadable(f"{path}: {there.count(repeated[0])} columns {repeated[0]}")
            batches = table.iter_batches(
                batch_size=ROWS_WITH_IMAGES_AT_ONCE if images else ROWS_AT_ONCE,
                row_groups=_row_groups(table, episode, path),
                columns=columns,
                use_threads=False,
            )
            yield from _rows(batches, path, episode, vectors, images)
    except (arrow.lib.ArrowException, OSError, ValueError, TypeError, MemoryError) as error:
        raise Unreadable(f"{path}: damaged: {one_line(error)}") from error


def _row_groups(table: Any, episode: int, path: Path) -> list[int]:
    """Return the row groups that hold the episode.

    The column itself is looked at: to ask pyarrow for a group's statistics ends the process where a damaged file's
    schema and group do not agree, by a C++ exception that nobody catches.
    """

    def holds(group: int) -> bool:
        batches = table.iter_batches(
            batch_size=INDICES_AT_ONCE, row_groups=[group], columns=[EPISODE_INDEX], use_threads=False
        )
        return any((column_numbers(batch, EPISODE_INDEX, 1, path) == episode).any() for batch in batches)

    return [group for group in range(table.num_row_groups) if holds(group)]


def _rows(
    batches: Iterator[Any], path: Path, episode: int, vectors: Sequence[Feature], images: Sequence[Feature]
) -> Iterator[Row]:
    begun = False
    for batch in batches:
        ours = np.flatnonzero(column_numbers(batch, EPISODE_INDEX, 1, path)[:, 0] == episode)
        if not len(ours):
            if begun:
                return
            continue
        begun = True
        batch = batch.slice(int(ours[0]), int(ours[-1] - ours[0]) + 1)
        if len(ours) != len(batch):
            raise Unreadable(f"{path}: the rows of episode {episode} lie among those of others")
        frames = column_numbers(batch, FRAME_INDEX, 1, path)[:, 0]
        times = column_numbers(batch, TIMESTAMP, 1, path)[:, 0]
        numbers = {each.key: column_numbers(batch, each.key, each.shape[0], path) for each in vectors}
        for place in range(len(batch)):
            yield Row(
                int(frames[place]) if np.isfinite(frames[place]) else -1,
                float(times[place]),
                {key: rows[place] for key, rows in numbers.items()},
                {each.key: _image(batch.column(each.key)[place].as_py(), each.key, path) for each in images},
            )


def column_numbers(batch: Any, key: str, length: int, path: Path) -> Floats:
    """Return a column as (rows, length); LeRobot stores vectors of one number as numbers. A null becomes nan.

    Raises Unreadable, before memory is taken, for rows of another length, and for what are no numbers.
    """
    column = batch.column(key)
    if hasattr(column, "flatten") and hasattr(column, "value_lengths"):
        lengths = column.value_lengths().to_numpy(zero_copy_only=False)
        if not (lengths == length).all():
            other = next(each for each in lengths.tolist() if each != length)
            raise Unreadable(f"{path}: {key}: expected {length} numbers in each row, got {other}")
        column = column.flatten()
    elif length != 1:
        raise Unreadable(f"{path}: {key}: expected {length} numbers in each row, got {column.type}")
    values = np.asarray(column.to_numpy(zero_copy_only=False))
    if values.dtype.kind not in "fiub":
        raise Unreadable(f"{path}: {key}: expected numbers, got {column.type}")
    return values.astype(np.float64).reshape(len(batch), length)


def _image(value: Any, key: str, path: Path) -> bytes:
    """Return the bytes of an image, which are a field of the column or the column itself."""
    data = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(data, bytes) or len(data) > LARGEST_IMAGE_BYTES:
        raise Unreadable(f"{path}: {key}: expected images in the table, got {'none' if data is None else type(data)}")
    return data
