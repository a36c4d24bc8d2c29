"""DatasetWriter: writes frames as a LeRobot data set of version 3.0, with the layout of LeRobot 0.6.1.

The layout follows `dataset_writer.py` and `dataset_metadata.py` in LeRobot's folder `lerobot/datasets`: one parquet
file has the rows of all episodes, one row group per episode; one video per camera has the images of all episodes; a
new file begins when one has grown to the size that info.json states. Everything is written as it comes: memory holds
the rows of one episode without its images.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.evaluation.conversion import metadata
from act_inference_ros.evaluation.conversion.metadata import DATA_FILE_MB, VIDEO_FILE_MB, FileNumber
from act_inference_ros.evaluation.conversion.statistics import (
    ImageStatistics,
    Statistics,
    merged,
    plain,
    vector_statistics,
)
from act_inference_ros.evaluation.conversion.video_writer import VideoWriter, choose_encoder, video_info
from act_inference_ros.evaluation.datasets.features import INTERVENTION
from act_inference_ros.evaluation.datasets.reading import pyarrow
from act_inference_ros.spec import PolicySpec

ACTION = "action"
_MB = 2**20


class _Film:
    """The videos of one camera, one after the other."""

    def __init__(self, root: Path, key: str, height: int, width: int, fps: int, encoder: str) -> None:
        self.number = FileNumber()
        self._root, self._key, self._fps = root, key, fps
        self._how = (height, width, fps, encoder)
        self.info = video_info(*self._how)
        self._begun = 0
        self.statistics = ImageStatistics()
        self.writer = self._open()

    def begin_episode(self) -> None:
        """Begin an episode with the next image."""
        if self.writer.frames and self.writer.bytes_written >= VIDEO_FILE_MB * _MB:
            self.writer.close()
            self.number = self.number.next
            self.writer = self._open()
        self._begun = self.writer.frames
        self.statistics = ImageStatistics()

    def add(self, pixels: npt.NDArray[np.uint8]) -> None:
        self.writer.add(pixels)
        self.statistics.add(pixels)

    def entry(self) -> dict[str, Any]:
        """Return the place of the episode's images, in the form of meta/episodes."""
        place = self.number.entry(f"videos/{self._key}")
        times = {"from_timestamp": self._begun / self._fps, "to_timestamp": self.writer.frames / self._fps}
        return {**place, **{f"videos/{self._key}/{name}": time for name, time in times.items()}}

    def _open(self) -> VideoWriter:
        return VideoWriter(self._root / metadata.video_path(self._key, self.number), *self._how)


class DatasetWriter:
    """Writes a data set into the empty directory `root`; `finish` completes it, `abandon` only closes the files.

    `names` has the joints' names of the state, if the spec has one, and of the action. `marked`: each frame says
    whether the operator commanded it. Raises ConfigurationError for images that no encoder accepts,
    MissingDependencyError without pyarrow or, if there are cameras, without PyAV.
    """

    def __init__(
        self,
        root: Path,
        spec: PolicySpec,
        names: Mapping[str, tuple[str, ...]],
        fps: int,
        task: str,
        marked: bool = False,
    ) -> None:
        self.episodes = self.frames = 0
        self.marked = marked
        self._root, self._fps, self._task = root, fps, task
        self._arrow, self._parquet = pyarrow()
        self._cameras = {image.key: image for image in spec.images}
        self._vectors = {**spec.vectors, ACTION: spec.action_dim}
        self._features = metadata.features(spec, {ACTION: spec.action_dim}, names, marked)
        self._statistics: dict[str, Statistics] = {}
        self._entries: list[dict[str, Any]] = []
        self._rows: dict[str, list[npt.NDArray[np.float32]]] = {}
        self._marks: list[bool] = []
        self._length = 0
        self._data_number = FileNumber()
        self._table: Any = None
        self._films: dict[str, _Film] = {}
        for key, image in self._cameras.items():
            encoder = choose_encoder(root, image.height, image.width, fps)
            self._films[key] = _Film(root, key, image.height, image.width, fps, encoder)

    def add(
        self, observation: Mapping[str, npt.NDArray[Any]], action: npt.NDArray[np.float32], operators: bool = True
    ) -> None:
        """Write the next frame of the episode; begin an episode if none has begun."""
        if not self._length:
            self._rows = {key: [] for key in self._vectors}
            for film in self._films.values():
                film.begin_episode()
        for key in self._vectors:
            self._rows[key].append(action if key == ACTION else observation[key])
        for key, film in self._films.items():
            film.add(observation[key])
        self._marks.append(operators)
        self._length += 1

    def end_episode(self) -> None:
        """End the episode; do nothing if none has begun."""
        if not self._length:
            return
        columns: dict[str, npt.NDArray[Any]] = {
            key: np.stack(rows).astype(np.float32) for key, rows in self._rows.items()
        }
        if self.marked:
            columns[INTERVENTION] = np.array(self._marks)
        columns |= metadata.counted(self._length, self._fps, self.episodes, self.frames)
        place = self._write_rows(columns)
        found = {
            key: vector_statistics(values if values.ndim == 2 else values[:, None]) for key, values in columns.items()
        }
        found |= {key: film.statistics.result() for key, film in self._films.items()}
        for key, statistics in found.items():
            before = self._statistics.get(key)
            self._statistics[key] = statistics if before is None else merged(before, statistics)
        entry: dict[str, Any] = {"episode_index": self.episodes, "tasks": [self._task], "length": self._length, **place}
        entry |= {"dataset_from_index": self.frames, "dataset_to_index": self.frames + self._length}
        for film in self._films.values():
            entry |= film.entry()
        for key, statistics in found.items():
            entry |= {f"stats/{key}/{name}": value for name, value in plain(statistics).items()}
        self._entries.append(entry | FileNumber().entry("meta/episodes"))
        self.episodes += 1
        self.frames += self._length
        self._length, self._rows, self._marks = 0, {}, []

    def finish(self) -> None:
        """End the last episode, complete the files and describe them."""
        self.end_episode()
        if self._table is not None:
            self._table.close()
        for film in self._films.values():
            film.writer.close()
        metadata.write_tasks(self._root, self._task)
        metadata.write_episodes(self._root, self._entries)
        metadata.write_json(self._root / metadata.STATS, {key: plain(value) for key, value in self._statistics.items()})
        features = dict(self._features)
        for key, film in self._films.items():
            features[key] = {**features[key], "info": film.info}
        metadata.write_info(self._root, features, self._fps, self.episodes, self.frames)

    def abandon(self) -> None:
        """Close all files, complete or not."""
        for film in self._films.values():
            film.writer.abandon()
        if self._table is not None:
            self._table.close()

    def _write_rows(self, columns: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
        """Append a row group; return its place in the form of meta/episodes."""
        table = self._arrow.table({key: self._column(values) for key, values in columns.items()})
        path = self._root / metadata.data_path(self._data_number)
        if self._table is not None and path.stat().st_size >= DATA_FILE_MB * _MB:
            self._table.close()
            self._table, self._data_number = None, self._data_number.next
            path = self._root / metadata.data_path(self._data_number)
        if self._table is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._table = self._parquet.ParquetWriter(path, table.schema, compression="snappy", use_dictionary=True)
        self._table.write_table(table)
        return self._data_number.entry("data")

    def _column(self, values: npt.NDArray[Any]) -> Any:
        """Return numbers as a column; vectors are lists of fixed length, except for length 1, as in LeRobot."""
        flat = self._arrow.array(values.reshape(-1))
        if values.ndim == 1 or values.shape[1] == 1:
            return flat
        return self._arrow.FixedSizeListArray.from_arrays(flat, values.shape[1])
