"""Small files of a data set that stand for very much: read in bounded time and memory, or refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.datasets.description import (
    LONGEST_TEMPLATE,
    MOST_EPISODES,
    MOST_INFO_BYTES,
    read_info,
)
from act_inference_ros.evaluation.datasets.episode_entry import EpisodeEntry
from act_inference_ros.evaluation.datasets.frames import EpisodeFrames
from act_inference_ros.evaluation.datasets.index import read_episodes
from test.bounds import breach, pipe_instead_of
from test.evaluation import datasets
from test.evaluation.datasets import CAMERA, STATE, V21, V30, edit_info
from test.evaluation.test_bad_datasets import DATA_V21, EPISODES_V30
from test.fuzz.target import MIB

EPISODES = 26_000
CAMERAS = 900
MANY_EPISODES = 100_000
VERY_MANY_NUMBERS = pa.array([np.zeros(20_000_000, np.int8)], pa.list_(pa.int8()))
"""One row."""


def episodes(root: Path) -> list[EpisodeEntry]:
    return read_episodes(read_info(root))


def with_cameras(root: Path, cameras: int) -> None:
    described = json.loads((root / "meta/info.json").read_text())["features"]
    edit_info(root, features=described | {f"v{i}": datasets.camera("video", 1, 1) for i in range(cameras)})


def with_episodes(root: Path, count: int) -> None:
    lines = "".join(f'{{"episode_index":{i},"length":1}}\n' for i in range(count))
    (root / "meta/episodes.jsonl").write_text(lines)
    edit_info(root, total_episodes=count)


def packed(path: Path, columns: dict[str, Any]) -> None:
    delta = {"episode_index": "DELTA_BINARY_PACKED"} if path.match(EPISODES_V30) else None
    dictionary = [name for name in columns if name not in (delta or ())]
    parquet.write_table(pa.table(columns), path, compression="zstd", use_dictionary=dictionary, column_encoding=delta)
    assert path.stat().st_size < 2**20


def read_columns(path: Path) -> dict[str, Any]:
    table = parquet.read_table(path)
    return {name: table.column(name) for name in table.column_names}


def table_of(count: int, cameras: int = 0) -> dict[str, Any]:
    """The description of so many episodes of v3.0."""
    zeros = np.zeros(count, np.int64)
    columns = {f"videos/v{i}/{name}": zeros for i in range(cameras) for name in ("chunk_index", "file_index")}
    columns |= {f"videos/v{i}/from_timestamp": zeros for i in range(cameras)}
    numbered = {"episode_index": np.arange(count), "length": np.ones(count, np.int64)}
    return numbered | {"data/chunk_index": zeros, "data/file_index": zeros} | columns


def test_many_episodes_of_many_cameras_make_no_path_before_it_is_read(tmp_path: Path) -> None:
    root = datasets.write_dataset(tmp_path / "set", V21, "image", lengths=(3,))
    with_cameras(root, CAMERAS)
    with_episodes(root, EPISODES)
    assert breach(lambda: episodes(root)) is None
    last = episodes(root)[-1]
    assert str(last.files.data()) == "data/chunk-025/episode_025999.parquet"
    assert str(last.files.video("v7").path) == "videos/chunk-025/v7/episode_025999.mp4"


def test_a_path_as_long_as_no_path_is_refused(tmp_path: Path) -> None:
    root = datasets.write_dataset(tmp_path / "set", V21, "image", lengths=(3,))
    edit_info(root, data_path="{episode_index}" * (LONGEST_TEMPLATE // 15 + 1))
    with pytest.raises(ConfigurationError, match=f"data_path: expected a path of at most {LONGEST_TEMPLATE} charac"):
        read_info(root)


def test_a_description_of_many_megabytes_is_refused(tmp_path: Path) -> None:
    root = datasets.write_dataset(tmp_path / "set", V21, "image", lengths=(3,))
    (root / "meta/info.json").write_bytes(b"[" + b"[]," * (MOST_INFO_BYTES // 3) + b"[]]")
    with pytest.raises(ConfigurationError, match=f"expected a JSON object, got more than {MOST_INFO_BYTES} bytes"):
        read_info(root)
    (root / "meta/info.json").write_bytes(b"[" + b"[]," * (MOST_INFO_BYTES // 3 - 2) + b"[]]")
    assert breach(lambda: read_info(root)) is None


def test_vectors_of_very_many_numbers_cost_little(tmp_path: Path) -> None:
    root = datasets.write_dataset(tmp_path / "set", V21, "image", lengths=(3,))
    edit_info(root, features={"k" * 250 + str(i): datasets.vector(2**16, None) for i in range(6)})
    assert breach(lambda: read_info(root)) is None


@pytest.mark.parametrize("count", [MOST_EPISODES + 1, 2**30])
def test_more_episodes_than_any_data_set_has_are_refused(tmp_path: Path, count: int) -> None:
    root = datasets.write_dataset(tmp_path / "set", V30, "image", lengths=(3,))
    edit_info(root, total_episodes=count)
    with pytest.raises(ConfigurationError, match=f"total_episodes: expected a whole number from 0 to {MOST_EPISODES}"):
        read_info(root)


@pytest.mark.parametrize("version", [V21, V30])
def test_episodes_that_info_json_does_not_promise_are_not_read(tmp_path: Path, version: str) -> None:
    root = datasets.write_dataset(tmp_path / "set", version, "image", lengths=(3, 3, 3))
    edit_info(root, total_episodes=1)
    with pytest.raises(ConfigurationError, match=r"expected 1 episodes, as .* says, got more"):
        episodes(root)


def test_a_packed_table_of_very_many_episodes_is_read(tmp_path: Path) -> None:
    root = datasets.write_dataset(tmp_path / "set", V30, "image", lengths=(3,))
    packed(root / EPISODES_V30, table_of(MANY_EPISODES))
    edit_info(root, total_episodes=MANY_EPISODES)
    assert breach(lambda: episodes(root)) is None
    assert episodes(root)[-1].index == MANY_EPISODES - 1


def test_a_table_of_many_episodes_and_many_cameras_is_refused(tmp_path: Path) -> None:
    root = datasets.write_dataset(tmp_path / "set", V30, "image", lengths=(3,))
    with_cameras(root, 100)
    packed(root / EPISODES_V30, table_of(MANY_EPISODES, 100))
    edit_info(root, total_episodes=MANY_EPISODES)
    assert breach(lambda: episodes(root)) is None
    with pytest.raises(ConfigurationError, match="places of videos"):
        episodes(root)


@pytest.mark.parametrize("column", ["junk", "tasks", f"videos/{CAMERA}/from_timestamp"])
def test_a_list_of_very_many_numbers_in_an_episodes_row_costs_little(tmp_path: Path, column: str) -> None:
    root = datasets.write_dataset(tmp_path / "set", V30, "video", lengths=(3,))
    packed(root / EPISODES_V30, read_columns(root / EPISODES_V30) | {column: VERY_MANY_NUMBERS})
    assert breach(lambda: episodes(root), 64 * MIB) is None


def test_the_tasks_of_an_episode_are_cut_before_they_are_taken_out_of_the_table(tmp_path: Path) -> None:
    root = datasets.write_dataset(tmp_path / "set", V30, "image", lengths=(3,))
    columns = read_columns(root / EPISODES_V30)
    packed(root / EPISODES_V30, columns | {"tasks": pa.array([["ü" * 1_000_000] * 50])})
    [episode] = episodes(root)
    assert episode.tasks == ("ü" * 200,) * 10


def test_empty_lines_without_end_are_refused(tmp_path: Path) -> None:
    root = datasets.write_dataset(tmp_path / "set", V21, "image", lengths=(3,))
    (root / "meta/episodes.jsonl").write_bytes(b"\n" * 2**26)
    assert breach(lambda: episodes(root)) is None
    with pytest.raises(ConfigurationError, match="expected an episode in each line, got empty lines"):
        episodes(root)


def test_a_pipe_in_the_place_of_the_episodes_table_is_not_waited_for(tmp_path: Path) -> None:
    root = datasets.write_dataset(tmp_path / "set", V30, "image", lengths=(3,))
    with pipe_instead_of(root / EPISODES_V30), pytest.raises(ConfigurationError, match="a readable parquet file"):
        episodes(root)


@pytest.mark.parametrize("column", [STATE, "frame_index"])
def test_a_row_of_very_many_numbers_is_refused(tmp_path: Path, column: str) -> None:
    root = datasets.write_dataset(tmp_path / "set", V21, "image", lengths=(1,))
    packed(root / DATA_V21, read_columns(root / DATA_V21) | {column: VERY_MANY_NUMBERS})
    info = read_info(root)
    [entry] = read_episodes(info)

    def problems() -> list[str]:
        with EpisodeFrames(info, entry, [STATE]) as episode:
            assert list(episode.frames()) == []
            return episode.problems

    assert breach(problems) is None
    assert f"{column}: expected" in problems()[0]


WITHOUT_PLACE: dict[str, Any] = {
    "none": pa.nulls(1, pa.int64()),
    "negative": pa.array([-1]),
    "words": pa.array(["a"]),
    "no time": pa.array([float("nan")]),
}


@pytest.mark.parametrize("what", WITHOUT_PLACE)
@pytest.mark.parametrize("name", ["chunk_index", "from_timestamp"])
def test_an_episode_whose_video_has_no_place_cannot_be_read_and_says_so(tmp_path: Path, what: str, name: str) -> None:
    root = datasets.write_dataset(tmp_path / "set", V30, "video", lengths=(3,))
    column = f"videos/{CAMERA}/{name}"
    packed(root / EPISODES_V30, read_columns(root / EPISODES_V30) | {column: WITHOUT_PLACE[what]})
    info = read_info(root)
    said: list[str] = []
    try:
        [entry] = read_episodes(info)
        with EpisodeFrames(info, entry, [CAMERA]) as episode:
            assert list(episode.frames()) == []
            said += episode.problems
    except ConfigurationError as error:  # a whole column of another type
        said.append(str(error))
    assert f"{column}: expected" in said[0]
