"""The facts of a data set are read in both layouts; missing ones are reported."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from act_inference_ros.drafting.dataset_facts import MOST_EPISODES, find_dataset, read_dataset_facts
from act_inference_ros.errors import ConfigurationError
from test.bounds import breach, pipe_instead_of
from test.drafting.datasets import vector, write_info, write_v21, write_v30
from test.fuzz.target import MIB

JOINTS = ["pan.pos", "lift.pos"]
EPISODES = [np.array([[0.1, -1.0], [0.5, -0.2]]), np.array([[0.2, -0.9], [0.3, 0.4], [-0.6, 0.0]])]


@pytest.mark.parametrize("write", [write_v21, write_v30])
def test_both_layouts_tell_the_same(tmp_path: Path, write: Any) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    facts = read_dataset_facts(write(tmp_path / "set", JOINTS, EPISODES), 2)
    assert facts.name == "set"
    assert facts.fps == 20.0
    assert facts.joints == {"observation.state": ("pan.pos", "lift.pos"), "action": ("pan.pos", "lift.pos")}
    np.testing.assert_allclose(facts.ranges["action"].lowest, [-0.6, -1.0])
    np.testing.assert_allclose(facts.ranges["action"].highest, [0.5, 0.4])
    np.testing.assert_allclose(facts.starts["observation.state"], [[0.1, -1.0], [0.2, -0.9]])


def test_without_pyarrow_only_the_starts_are_missing_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    facts = read_dataset_facts(write_v21(tmp_path, JOINTS, EPISODES, parquet=False), 2)
    (tmp_path / "data" / "chunk-000").mkdir(parents=True)
    assert facts.ranges["action"].highest[0] == 0.5
    assert facts.starts == {}
    assert "needs pyarrow" in facts.without_starts


def test_a_damaged_episode_leaves_out_the_starts(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    write_v21(tmp_path, JOINTS, EPISODES)
    (tmp_path / "data" / "chunk-000" / "episode_000000.parquet").write_bytes(b"PAR1 no more")
    assert "cannot be read" in read_dataset_facts(tmp_path, 2).without_starts


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a", "b"], ("a", "b")),
        ({"motors": ["a", "b"]}, ("a", "b")),
        ([["a", "b"]], ("a", "b")),
        ({"b": 1, "a": 0}, ("a", "b")),
        ({"left": ["a"], "right": ["b"]}, ("a", "b")),
        (None, None),
        (["a"], None),
        (["a", "a"], None),
        (["a", 1], None),
    ],
)
def test_names_are_taken_as_lerobot_writes_them_and_only_if_there_is_one_for_each(
    tmp_path: Path, names: Any, expected: Any
) -> None:
    write_info(tmp_path, {"action": vector(names, 2)})
    assert read_dataset_facts(tmp_path, None).joints.get("action") == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected meta/info.json of a LeRobot data set, found none"),
        ("{", "valid JSON"),
        ("[]", "a JSON object"),
        ('{"fps": 30}', "expected features"),
    ],
)
def test_a_directory_without_a_data_set_gives_one_clear_error(
    tmp_path: Path, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "meta").mkdir()
        (tmp_path / "meta" / "info.json").write_text(content)
    with pytest.raises(ConfigurationError, match=message):
        read_dataset_facts(tmp_path, 2)


def test_invalid_statistics_are_left_out(tmp_path: Path) -> None:
    write_info(tmp_path, {"action": vector(JOINTS, 2)})
    for bad in ({"min": [0.0], "max": [1.0]}, {"min": ["a", "b"], "max": [1.0, 2.0]}, {"max": [1.0, 2.0]}, 3):
        (tmp_path / "meta" / "stats.json").write_text(json.dumps({"action": bad}))
        assert read_dataset_facts(tmp_path, 2).ranges == {}


def test_train_config_names_the_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    assert find_dataset(checkpoint) == (None, "no train_config.json stands beside the checkpoint to name it")
    monkeypatch.setenv("HF_LEROBOT_HOME", str(tmp_path / "cache"))
    settings: dict[str, Any] = {"dataset": {"repo_id": "me/cubes", "root": None}}
    (checkpoint / "train_config.json").write_text(json.dumps(settings))
    place, why = find_dataset(checkpoint)
    assert place is None
    assert "which is not on this machine" in why
    write_info(tmp_path / "cache" / "me" / "cubes", {})
    assert find_dataset(checkpoint)[0] == tmp_path / "cache" / "me" / "cubes"
    write_info(tmp_path / "elsewhere", {})
    settings["dataset"]["root"] = str(tmp_path / "elsewhere")
    (checkpoint / "train_config.json").write_text(json.dumps(settings))
    assert find_dataset(checkpoint)[0] == tmp_path / "elsewhere"


def test_a_repository_id_does_not_lead_out_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_LEROBOT_HOME", str(tmp_path / "cache"))
    write_info(tmp_path / "secret" / "set", {})
    for name in ("../secret/set", "..secret/../set", "/secret/set", 7):
        (tmp_path / "train_config.json").write_text(json.dumps({"dataset": {"repo_id": name}}))
        assert find_dataset(tmp_path)[0] is None


@pytest.mark.parametrize("write", [write_v21, write_v30])
def test_a_pipe_in_the_place_of_a_table_is_not_waited_for(tmp_path: Path, write: Any) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    write(tmp_path, JOINTS, EPISODES)
    table = sorted((tmp_path / "data").rglob("*.parquet"))[0]
    with pipe_instead_of(table):
        facts = read_dataset_facts(tmp_path, 2)
    assert facts.starts == {}
    assert facts.without_starts == f"its episodes cannot be read: {table}: expected a file, got none"


@pytest.mark.parametrize("frame", [0, 1])
def test_a_table_of_very_many_rows_is_read_only_as_far_as_it_is_needed(tmp_path: Path, frame: int) -> None:
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    write_v30(tmp_path, JOINTS, EPISODES)
    count = 3_000_000
    states = arrow.FixedSizeListArray.from_arrays(arrow.array(np.zeros(2 * count, np.float32)), 2)
    columns = {"observation.state": states, "frame_index": arrow.array(np.full(count, frame))}
    parquet.write_table(arrow.table(columns), tmp_path / "data/chunk-000/file-000.parquet", compression="zstd")
    facts = read_dataset_facts(tmp_path, 2)
    assert {key: rows.shape for key, rows in facts.starts.items()} == (
        {"observation.state": (MOST_EPISODES, 2)} if frame == 0 else {}
    )
    assert breach(lambda: read_dataset_facts(tmp_path, 2), 64 * MIB) is None


@pytest.mark.parametrize("write", [write_v21, write_v30])
def test_a_row_of_very_many_numbers_leaves_out_the_starts(tmp_path: Path, write: Any) -> None:
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    write(tmp_path, JOINTS, EPISODES)
    many = arrow.array([np.zeros(20_000_000, np.int8)], arrow.list_(arrow.int8()))
    table = sorted((tmp_path / "data").rglob("*.parquet"))[0]
    parquet.write_table(arrow.table({"observation.state": many, "frame_index": [0]}), table, compression="zstd")
    assert "observation.state: expected 2 numbers in each row, got 20000000" in (
        read_dataset_facts(tmp_path, 2).without_starts
    )
    assert breach(lambda: read_dataset_facts(tmp_path, 2)) is None


def test_of_very_many_features_none_is_read(tmp_path: Path) -> None:
    write_v21(tmp_path, JOINTS, EPISODES)
    write_info(tmp_path, {f"observation.state{i}": vector(JOINTS, 2) for i in range(20_000)})
    with pytest.raises(ConfigurationError, match="expected at most 1000 features, found 20000"):
        read_dataset_facts(tmp_path, 2)
    write_info(tmp_path, {f"observation.state{i}": vector(JOINTS, 2) for i in range(1000)})
    assert breach(lambda: read_dataset_facts(tmp_path, 2)) is None
