"""The content of `meta/` of a LeRobot data set v3.0, and the names of its files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.evaluation.datasets.description import DATA_PATHS, DEFAULT_CHUNKS_SIZE, INFO, V30, VIDEO_PATHS
from act_inference_ros.evaluation.datasets.episode_tables import EPISODES_TABLES
from act_inference_ros.evaluation.datasets.features import INTERVENTION, VIDEO
from act_inference_ros.evaluation.datasets.reading import pyarrow
from act_inference_ros.evaluation.datasets.tables import EPISODE_INDEX, FRAME_INDEX, TIMESTAMP
from act_inference_ros.spec import PolicySpec

STATS = "meta/stats.json"
TASKS = "meta/tasks.parquet"
INDEX, TASK_INDEX = "index", "task_index"
DATA_FILE_MB, VIDEO_FILE_MB = 100, 200
"""When a file has reached this size, a new one begins."""
_COUNTED = {TIMESTAMP: "float32", FRAME_INDEX: "int64", EPISODE_INDEX: "int64", INDEX: "int64", TASK_INDEX: "int64"}


@dataclass(frozen=True)
class FileNumber:
    """A file's number in its folder, and the folder's number."""

    chunk: int = 0
    file: int = 0

    @property
    def next(self) -> FileNumber:
        """Return the number of the next file."""
        full = self.file + 1 == DEFAULT_CHUNKS_SIZE
        return FileNumber(self.chunk + 1, 0) if full else FileNumber(self.chunk, self.file + 1)

    def entry(self, what: str) -> dict[str, int]:
        """Return the entries for the columns of meta/episodes."""
        return {f"{what}/chunk_index": self.chunk, f"{what}/file_index": self.file}


def data_path(number: FileNumber) -> str:
    """Return the path of a file of rows, relative to the data set's directory."""
    return DATA_PATHS[V30].format(chunk_index=number.chunk, file_index=number.file)


def video_path(key: str, number: FileNumber) -> str:
    """Return the path of a video, relative to the data set's directory."""
    return VIDEO_PATHS[V30].format(video_key=key, chunk_index=number.chunk, file_index=number.file)


def features(
    spec: PolicySpec, outputs: Mapping[str, int], names: Mapping[str, tuple[str, ...]], marked: bool = False
) -> dict[str, dict[str, Any]]:
    """Return the features in the form of info.json; `names` has the names of a vector's numbers, if any.

    `marked`: the frames say whether the operator commanded them.
    """
    found: dict[str, dict[str, Any]] = {}
    for key, length in {**spec.vectors, **outputs}.items():
        found[key] = {"dtype": "float32", "shape": [length], "names": list(names[key]) if key in names else None}
    for image in spec.images:
        found[image.key] = {"dtype": VIDEO, "shape": list(image.shape), "names": ["height", "width", "channels"]}
    if marked:
        found[INTERVENTION] = {"dtype": "bool", "shape": [1], "names": None}
    return {**found, **{key: {"dtype": dtype, "shape": [1], "names": None} for key, dtype in _COUNTED.items()}}


def counted(length: int, fps: int, episode: int, begin: int) -> dict[str, npt.NDArray[Any]]:
    """Return the columns (length,) that every data set has, for an episode whose first row is row `begin`."""
    frames = np.arange(length, dtype=np.int64)
    values = {
        TIMESTAMP: frames / fps,
        FRAME_INDEX: frames,
        EPISODE_INDEX: np.full(length, episode),
        INDEX: begin + frames,
        TASK_INDEX: np.zeros(length),
    }
    return {key: values[key].astype(dtype) for key, dtype in _COUNTED.items()}


def write_info(root: Path, described: Mapping[str, Any], fps: int, episodes: int, frames: int) -> None:
    """Write meta/info.json, which makes the directory a data set."""
    films = any(feature["dtype"] == VIDEO for feature in described.values())
    write_json(
        root / INFO,
        {
            "codebase_version": V30,
            "fps": fps,
            "features": dict(described),
            "total_episodes": episodes,
            "total_frames": frames,
            "total_tasks": 1,
            "chunks_size": DEFAULT_CHUNKS_SIZE,
            "data_files_size_in_mb": DATA_FILE_MB,
            "video_files_size_in_mb": VIDEO_FILE_MB,
            "data_path": DATA_PATHS[V30],
            "video_path": VIDEO_PATHS[V30] if films else None,
            "robot_type": None,
            "splits": {"train": f"0:{episodes}"},
        },
    )


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file, and its folder if there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=4, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def write_episodes(root: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Write meta/episodes: a row for each episode."""
    arrow, parquet = pyarrow()
    path = root / EPISODES_TABLES / "chunk-000" / "file-000.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(arrow.Table.from_pylist([dict(entry) for entry in entries]), path)


def write_tasks(root: Path, task: str) -> None:
    """Write meta/tasks.parquet with one task.

    LeRobot reads it with pandas and finds a task by the table's index; the file's metadata say which column that is.
    """
    arrow, parquet = pyarrow()
    path = root / TASKS
    path.parent.mkdir(parents=True, exist_ok=True)
    table = arrow.table({TASK_INDEX: arrow.array([0], arrow.int64()), "task": arrow.array([task])})
    described = {"index_columns": ["task"], "column_indexes": [_TEXTS | {"name": None, "field_name": None}]}
    described["columns"] = [_NUMBERS, _TEXTS | {"name": "task", "field_name": "task", "metadata": None}]
    parquet.write_table(table.replace_schema_metadata({"pandas": json.dumps(described)}), path)


_NUMBERS = {
    "name": TASK_INDEX,
    "field_name": TASK_INDEX,
    "pandas_type": "int64",
    "numpy_type": "int64",
    "metadata": None,
}
_TEXTS: dict[str, Any] = {"pandas_type": "unicode", "numpy_type": "object", "metadata": {"encoding": "UTF-8"}}
