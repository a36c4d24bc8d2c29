"""Reads facts from a LeRobot data set: fps, names of joints, ranges, and the start of its episodes.

It reads directories of v2.0, v2.1 and v3.0. Source of the format: LeRobot's datasets/utils.py and
datasets/v30/convert_dataset_v21_to_v30.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from act_inference_ros.drafting.facts import DataSetFacts, Range, Vector
from act_inference_ros.errors import CheckpointError, ConfigurationError
from act_inference_ros.evaluation.datasets.description import INFO, is_dataset
from act_inference_ros.evaluation.datasets.features import MOST_FEATURES, vector_names
from act_inference_ros.evaluation.datasets.reading import Unreadable
from act_inference_ros.evaluation.datasets.tables import BUFFER_BYTES, FRAME_INDEX, ROWS_AT_ONCE, column_numbers
from act_inference_ros.policy import bounds
from act_inference_ros.policy.json_files import read_json
from act_inference_ros.policy.refusals import shown

STATS, EPISODES_STATS = "meta/stats.json", "meta/episodes_stats.jsonl"
TRAIN_CONFIG = "train_config.json"
MOST_EPISODES = 50
"""Most episodes whose first frame is read; later episodes begin alike."""
MOST_ROWS = 1_000_000
"""Most rows among which the episodes' first frames are looked for."""
MOST_STATES = 8
"""Most vectors that are read as the state; a data set has one or two of its length."""
MOST_LINES = 100_000
MOST_FPS = 1000.0
"""Largest rate, as for the node's parameter `fps`."""
_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)


def find_dataset(checkpoint: Path) -> tuple[Path | None, str]:
    """Return a checkpoint's data set on this machine, from the train_config.json beside it; or None and why."""
    file = checkpoint / TRAIN_CONFIG
    if not file.is_file():
        return None, f"no {TRAIN_CONFIG} stands beside the checkpoint to name it"
    settings = read_json(file).get("dataset")
    settings = settings if isinstance(settings, dict) else {}
    root, repository = settings.get("root"), settings.get("repo_id")
    places = [_home_resolved(root)] if isinstance(root, str) and root else []
    if isinstance(repository, str) and _REPOSITORY.fullmatch(repository) and ".." not in repository:
        cache = os.environ.get("HF_LEROBOT_HOME") or "~/.cache/huggingface/lerobot"
        places.append(Path(cache).expanduser() / repository)
    for place in places:
        with contextlib.suppress(OSError):  # a name that no file can have
            if is_dataset(place):
                return place, ""
    named = " or ".join(str(place) for place in places) or repository or "none"
    return None, f"{TRAIN_CONFIG} names {shown(named)}, which is not on this machine"


def _home_resolved(path: str) -> Path:
    """The path with the user's directory for `~`; as it is, if there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def read_dataset_facts(directory: Path, state_dim: int | None) -> DataSetFacts:
    """Read the facts in a data set's directory, for a policy whose state has `state_dim` numbers.

    Raises ConfigurationError if it is no LeRobot data set.
    """
    if not is_dataset(directory):
        raise ConfigurationError(f"data set {directory}: expected {INFO} of a LeRobot data set, found none")
    try:
        info = read_json(directory / INFO)
        features = info.get("features")
        if not isinstance(features, dict):
            raise ConfigurationError(f"data set {directory / INFO}: expected features, found none")
        if len(features) > MOST_FEATURES:
            raise ConfigurationError(
                f"data set {directory / INFO}: expected at most {MOST_FEATURES} features, found {len(features)}"
            )
        dims = {key: dim for key, feature in features.items() if (dim := _dim(feature)) is not None}
        ranges = _ranges(directory, dims)
    except CheckpointError as error:
        raise ConfigurationError(f"data set {error}") from error
    joints = {key: names for key in dims if (names := vector_names(features[key].get("names"), dims[key]))}
    fps = info.get("fps")
    starts: dict[str, Vector] = {}
    without = ""
    try:
        states = [key for key, dim in dims.items() if key.startswith("observation.") and dim == state_dim]
        read = {key: _starts(directory, key, dims[key]) for key in states[:MOST_STATES]}
        starts = {key: rows for key, rows in read.items() if len(rows)}
        without = "" if starts else "its episodes could not be found in data/"
    except ModuleNotFoundError:
        without = "reading its episodes needs pyarrow: pip install pyarrow"
    except (
        OSError,
        ValueError,
        TypeError,
        LookupError,
        ArithmeticError,
        MemoryError,
        NotImplementedError,
        Unreadable,
    ) as error:  # pyarrow's, too
        without = f"its episodes cannot be read: {' '.join(str(error).split())[:200]}"
    number = float(fps) if isinstance(fps, (int, float)) and not isinstance(fps, bool) and 0 < fps <= MOST_FPS else None
    return DataSetFacts(directory.resolve().name, number, joints, ranges, starts, without)


def _dim(feature: Any) -> int | None:
    """Return the length of a vector of floats; None for images and other features."""
    shape = feature.get("shape") if isinstance(feature, dict) else None
    floats = isinstance(feature, dict) and str(feature.get("dtype", "")).startswith("float")
    if not floats or not isinstance(shape, list) or len(shape) != 1 or not isinstance(shape[0], int):
        return None
    return shape[0] if 1 < shape[0] <= bounds.VECTOR else None


def _ranges(directory: Path, dims: Mapping[str, int]) -> dict[str, Range]:
    """Return key -> range of each entry, from the statistics of the data set or of its episodes."""
    found: dict[str, tuple[Vector, Vector]] = {}
    for statistics in _statistics(directory):
        for key, dim in dims.items():
            entry = statistics.get(key)
            lowest, highest = (
                _vector(entry.get(name) if isinstance(entry, dict) else None, dim) for name in ("min", "max")
            )
            if lowest is None or highest is None:
                continue
            before = found.get(key, (lowest, highest))
            found[key] = (np.minimum(before[0], lowest), np.maximum(before[1], highest))
    return {key: Range(*pair, f"the data set's {key}") for key, pair in found.items()}


def _statistics(directory: Path) -> Iterator[Mapping[str, Any]]:
    if (directory / STATS).is_file():
        yield read_json(directory / STATS)
    elif (directory / EPISODES_STATS).is_file():
        with (directory / EPISODES_STATS).open(encoding="utf-8", errors="replace") as file:
            for number in range(MOST_LINES):
                line = file.readline(bounds.JSON_BYTES)
                if not line:
                    return
                try:
                    stats = json.loads(line).get("stats")
                except (ValueError, AttributeError, RecursionError) as error:
                    raise ConfigurationError(
                        f"data set {directory / EPISODES_STATS}: expected JSON in line {number + 1}; found {error}"
                    ) from error
                if isinstance(stats, dict):
                    yield stats


def _vector(given: Any, dim: int) -> Vector | None:
    try:
        vector = np.asarray(given, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError, OverflowError):
        return None
    return vector if vector.shape == (dim,) and bool(np.isfinite(vector).all()) else None


def _starts(directory: Path, key: str, dim: int) -> Vector:
    """The first frames of at most MOST_EPISODES episodes, (episodes, dim). Raises Unreadable, and pyarrow's errors."""
    import pyarrow.parquet as parquet

    rows: list[Vector] = []
    left = MOST_ROWS
    for file in sorted((directory / "data").glob("*/*.parquet")):
        if not file.is_file():  # a pipe would be waited for
            raise Unreadable(f"{file}: expected a file, got none")
        with parquet.ParquetFile(file, pre_buffer=False, buffer_size=BUFFER_BYTES) as table:
            own = file.name.startswith("episode_")  # up to v2.1 each episode has a file
            columns = [key] if own else [key, FRAME_INDEX]
            for batch in table.iter_batches(1 if own else ROWS_AT_ONCE, columns=columns, use_threads=False):
                frames = np.zeros(1) if own else column_numbers(batch, FRAME_INDEX, 1, file)[:, 0]
                rows += list(column_numbers(batch, key, dim, file)[frames == 0])
                left -= len(batch)
                if own or len(rows) >= MOST_EPISODES or left <= 0:
                    break
        if len(rows) >= MOST_EPISODES or left <= 0:
            break
    return np.array(rows[:MOST_EPISODES]).reshape(-1, dim)
