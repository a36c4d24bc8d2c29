"""Data sets that are broken or hostile: one clear error, or an episode that says what is missing from it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.results import COMPLETE, FAILED, PARTIAL, EpisodeResult
from act_inference_ros.spec import MAX_LENGTH
from test.evaluation import datasets
from test.evaluation.datasets import CAMERA, HEIGHT, STATE, V21, V30, WIDTH, edit_feature, edit_info
from test.evaluation.test_datasets import evaluate

LENGTH = 24
DATA_V21 = "data/chunk-000/episode_000000.parquet"
VIDEO_V21 = f"videos/chunk-000/{CAMERA}/episode_000000.mp4"
EPISODES_V30 = "meta/episodes/chunk-000/file-000.parquet"


def replace_table(root: Path, **columns: Any) -> None:
    """Write the table of the only episode again, with other columns."""
    named = {name.replace("__", "."): column for name, column in columns.items()}
    datasets.write_table(root / DATA_V21, datasets.episode_table(0, LENGTH, 0, "video", columns=named))


def cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


def describe(root: Path, *lines: str) -> None:
    (root / "meta/episodes.jsonl").write_text("".join(line + "\n" for line in lines))


def frames_of(*frames: int) -> pa.Array:
    return pa.array(list(frames))


Damage = Callable[[Path], object]

REFUSED: dict[str, tuple[Damage, str]] = {
    "another version": (
        lambda root: edit_info(root, codebase_version="v2.0"),
        "codebase_version: expected v2.1 or v3.0",
    ),
    "no version": (lambda root: edit_info(root, codebase_version=None), "codebase_version: expected v2.1 or v3.0"),
    "no rate": (lambda root: edit_info(root, fps=None), "fps: expected a number from 0.1 to 1000, got None"),
    "a rate that is true": (lambda root: edit_info(root, fps=True), "fps: expected a number"),
    "a rate of 0": (lambda root: edit_info(root, fps=0), "fps: expected a number"),
    "not JSON": (lambda root: cut(root / "meta/info.json", 0.5), "meta/info.json: expected a readable JSON file"),
    "not text": (lambda root: (root / "meta/info.json").write_bytes(b"\xff{}"), "expected a readable JSON file"),
    "a list": (lambda root: (root / "meta/info.json").write_text("[]"), "expected a JSON object, got list"),
    "deep JSON": (lambda root: (root / "meta/info.json").write_text("[" * 100_000), "readable JSON file"),
    "no features": (lambda root: edit_info(root, features={}), "features: expected an object of 1 to 1000"),
    "a feature that is a path": (
        lambda root: edit_info(root, features={"../../up": datasets.camera("video")}),
        "names that could be those of a folder, without a slash",
    ),
    "a feature of no type": (lambda root: edit_feature(root, CAMERA, dtype=7), f"{CAMERA}: dtype: expected"),
    "a feature of a huge size": (
        lambda root: edit_feature(root, "action", shape=[MAX_LENGTH + 1]),
        "action: shape: expected a list of whole numbers",
    ),
    "an image of two dimensions": (
        lambda root: edit_feature(root, CAMERA, shape=[32, 64]),
        "shape: expected height, width and channels",
    ),
    "another size": (
        lambda root: edit_feature(root, CAMERA, shape=[48, 64, 3]),
        "the policy reads images (32, 64, 3), the data set has video (48, 64, 3)",
    ),
    "data above the directory": (
        lambda root: edit_info(root, data_path="../other/{episode_index:06d}.parquet"),
        "data_path: expected a path inside the data set's directory, got '../other/.parquet'",
    ),
    "data from anywhere": (
        lambda root: edit_info(root, data_path="/etc/{episode_index:06d}"),
        "data_path: expected a path inside",
    ),
    "videos above the directory": (
        lambda root: edit_info(root, video_path="videos/{video_key}/../../../{episode_index:06d}.mp4"),
        "video_path: expected a path inside",
    ),
    "a template that looks into Python": (
        lambda root: edit_info(root, data_path="{episode_index.__class__}"),
        "data_path: expected a path with no other fields than {episode_chunk}, {episode_index}",
    ),
    "a template that fills memory": (
        lambda root: edit_info(root, data_path="{episode_index:0999999999d}"),
        "data_path: expected a path with no other fields",
    ),
    "a template of the other version": (
        lambda root: edit_info(root, data_path="data/chunk-{chunk_index:03d}.parquet"),
        "data_path: expected a path with no other fields",
    ),
    "more episodes than are described": (
        lambda root: edit_info(root, total_episodes=2),
        "expected 2 episodes, as meta/info.json says, got 1 that are described",
    ),
    "no description of episodes": (
        lambda root: (root / "meta/episodes.jsonl").unlink(),
        "expected the episodes of v2.1 in meta/episodes.jsonl, got no file",
    ),
    "a description that is not JSON": (
        lambda root: describe(root, '{"episode_index": 0'),
        "episodes.jsonl, line 1: expected JSON",
    ),
    "an episode without a length": (
        lambda root: describe(root, '{"episode_index": 0, "tasks": []}'),
        "line 1: length: expected a whole number from 1, got None",
    ),
    "an episode described twice": (
        lambda root: describe(root, *['{"episode_index": 0, "length": 24}'] * 2),
        "expected each episode described once",
    ),
}


@pytest.mark.parametrize("damage", REFUSED)
def test_a_description_that_makes_no_sense_is_refused_in_one_line(tmp_path: Path, damage: str) -> None:
    root = datasets.write_dataset(tmp_path / "set", V21, lengths=(LENGTH,))
    break_it, said = REFUSED[damage]
    break_it(root)
    with pytest.raises(ConfigurationError) as refused:
        evaluate(root)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


REFUSED_V30: dict[str, tuple[Damage, str]] = {
    "no description of episodes": (lambda root: (root / EPISODES_V30).unlink(), "in meta/episodes, got no parquet"),
    "a description that is cut off": (lambda root: cut(root / EPISODES_V30, 0.5), "expected a readable parquet file"),
    "no place of the video": (
        lambda root: datasets.write_table(
            root / EPISODES_V30,
            pa.table({"episode_index": [0], "length": [LENGTH], "data/chunk_index": [0], "data/file_index": [0]}),
        ),
        f"videos/{CAMERA}/chunk_index: expected a column of whole numbers, got 0 of that name",
    ),
}


@pytest.mark.parametrize("damage", REFUSED_V30)
def test_a_description_of_v30_that_makes_no_sense_is_refused(tmp_path: Path, damage: str) -> None:
    root = datasets.write_dataset(tmp_path / "set", V30, lengths=(LENGTH,))
    break_it, said = REFUSED_V30[damage]
    break_it(root)
    with pytest.raises(ConfigurationError) as refused:
        evaluate(root)
    assert said in str(refused.value)


UNREADABLE: dict[str, tuple[Damage, str]] = {
    "no data": (lambda root: (root / DATA_V21).unlink(), f"{DATA_V21}: no such file"),
    "data cut off": (lambda root: cut(root / DATA_V21, 0.6), "damaged: "),
    "data of another kind": (lambda root: (root / DATA_V21).write_bytes(b"PAR1" * 50), "damaged: "),
    "no action": (lambda root: replace_table(root, action=None), "no column action; it has observation.state, "),
    "actions of another length": (
        lambda root: replace_table(root, action=pa.array([[0.0, 1.0]] * LENGTH)),
        "action: expected 3 numbers in each row, got 2",
    ),
    "actions that are words": (
        lambda root: replace_table(root, action=pa.array([["a", "b", "c"]] * LENGTH)),
        "action: expected numbers, got string",
    ),
    "actions that are single numbers": (
        lambda root: replace_table(root, action=pa.array([0.5] * LENGTH)),
        "action: expected 3 numbers in each row, got double",
    ),
    "no video": (lambda root: (root / VIDEO_V21).unlink(), f"{VIDEO_V21}: no such file"),
    "a video without its index": (lambda root: cut(root / VIDEO_V21, 0.05), ".mp4: no video in it"),
    "a playlist instead of a video": (
        lambda root: (root / VIDEO_V21).write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"),
        "not a readable video",
    ),
    "a video of another size": (
        lambda root: datasets.write_video(root / VIDEO_V21, [np.zeros((48, 64, 3), dtype=np.uint8)] * LENGTH),
        "expected frames of (32, 64) (height, width), got (48, 64)",
    ),
    "another episode's rows": (
        lambda root: replace_table(root, episode_index=np.ones(LENGTH, dtype=np.int64)),
        "the data ends after 0 of the 24 frames",
    ),
}


def only_episode(root: Path) -> EpisodeResult:
    (episode,) = evaluate(root).episodes
    return episode


@pytest.mark.parametrize("damage", UNREADABLE)
def test_an_episode_that_cannot_be_read_is_failed_and_says_why(tmp_path: Path, damage: str) -> None:
    root = datasets.write_dataset(tmp_path / "set", V21, lengths=(LENGTH,))
    break_it, said = UNREADABLE[damage]
    break_it(root)
    episode = only_episode(root)
    assert episode.status == FAILED
    assert any(said in reason for reason in episode.reasons), episode.reasons


def other_times(fps: float) -> pa.Array:
    return pa.array((np.arange(LENGTH) / fps).astype(np.float32))


def with_nan() -> pa.Array:
    rows = datasets.actions(0, np.arange(LENGTH)).astype(np.float32)
    rows[7, 1] = np.nan
    return pa.array(list(rows), pa.list_(pa.float32()))


def described_as(length: int) -> Damage:
    return lambda root: describe(root, json.dumps({"episode_index": 0, "length": length, "tasks": ["a"]}))


IN_PART: dict[str, tuple[Damage, str, int]] = {
    "a video that ends early": (
        lambda root: datasets.write_video(root / VIDEO_V21, [datasets.picture(0, i) for i in range(15)]),
        "it ends before 0.750 s; 15 of 24 frames can be read",
        15,
    ),
    "a video of another rate": (
        lambda root: datasets.write_video(root / VIDEO_V21, [datasets.picture(0, i) for i in range(LENGTH)], fps=25),
        "no frame at 0.0500 s, the nearest are at 0.0400, 0.0800 s; 1 of 24 frames can be read",
        1,
    ),
    "rows of another rate": (
        lambda root: replace_table(root, timestamp=other_times(25.0)),
        "frame 1 is stamped 0.0400 s after the first; at the 20 fps of info.json it would be 0.0500 s",
        1,
    ),
    "fewer rows than promised": (described_as(30), "the data ends after 24 of the 30 frames that meta/ promises", 24),
    "more rows than promised": (described_as(10), "more rows than the 10 frames that meta/ promises", 10),
    "a frame left out": (
        lambda root: replace_table(root, frame_index=frames_of(*range(9), *range(10, LENGTH + 1))),
        "expected frame_index 9, got 10; 9 of 24 frames can be read",
        9,
    ),
    "an action that is no number": (
        lambda root: replace_table(root, action=with_nan()),
        "invalid: action (1 times): frame 7: expected finite positions, got {'lift': nan}",
        24,
    ),
}


@pytest.mark.parametrize("damage", IN_PART)
def test_an_episode_that_can_be_read_in_part_is_partial_and_says_why(tmp_path: Path, damage: str) -> None:
    root = datasets.write_dataset(tmp_path / "set", V21, lengths=(LENGTH,))
    break_it, said, frames = IN_PART[damage]
    break_it(root)
    episode = only_episode(root)
    assert any(said in reason for reason in episode.reasons), episode.reasons
    assert (episode.status, episode.messages, episode.metrics.chunks) == (PARTIAL, frames, frames)
    assert max(error.max_ros_units for error in episode.metrics.chunk_error.values()) < 1e-6


def test_an_episode_whose_actions_are_no_numbers_is_failed(tmp_path: Path) -> None:
    root = datasets.write_dataset(tmp_path / "set", V21, lengths=(LENGTH,))
    replace_table(root, action=pa.array([[0.0, float("nan"), 0.0]] * LENGTH, pa.list_(pa.float32())))
    episode = only_episode(root)
    assert episode.status == FAILED
    assert "no chunk could be compared: the action is not known at any of their times" in episode.reasons


def test_a_video_that_was_cut_off_is_read_up_to_the_damage(tmp_path: Path) -> None:
    root = datasets.write_dataset(tmp_path / "set", V21, lengths=(LENGTH,))
    cut(root / VIDEO_V21, 0.7)
    episode = only_episode(root)
    assert episode.status == PARTIAL
    assert 0 < episode.messages < LENGTH
    assert f"{episode.messages} of 24 frames can be read" in episode.reasons[0]
    assert max(error.max_ros_units for error in episode.metrics.chunk_error.values()) < 1e-6


def test_an_unreadable_episode_does_not_keep_the_others_from_being_evaluated(tmp_path: Path) -> None:
    root = datasets.write_dataset(tmp_path / "set", V21)
    (root / DATA_V21).unlink()
    result = evaluate(root)
    assert [episode.status for episode in result.episodes] == [FAILED, COMPLETE]
    assert result.status == PARTIAL


def test_a_file_that_is_no_image_is_refused_and_named(tmp_path: Path) -> None:
    root = datasets.write_dataset(tmp_path / "set", V21, "image", lengths=(LENGTH,))
    images = [{"bytes": datasets.png(datasets.picture(0, i)), "path": ""} for i in range(LENGTH)]
    images[5]["bytes"] = b"not an image"
    table = datasets.episode_table(0, LENGTH, 0, "image", columns={CAMERA: images})
    datasets.write_table(root / DATA_V21, table)
    episode = only_episode(root)
    assert (episode.status, episode.messages, episode.metrics.chunks) == (PARTIAL, LENGTH, LENGTH - 1)
    assert "invalid: top (1 times): image: neither JPEG nor PNG" in episode.reasons[0]


def test_images_that_lie_outside_of_the_table_are_not_looked_for(tmp_path: Path) -> None:
    root = datasets.write_dataset(tmp_path / "set", V21, "image", lengths=(LENGTH,))
    outside = [{"bytes": None, "path": "/etc/hostname"}] * LENGTH
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = datasets.episode_table(0, LENGTH, 0, "image", columns={CAMERA: pa.array(outside, kind)})
    datasets.write_table(root / DATA_V21, table)
    episode = only_episode(root)
    assert episode.status == FAILED
    assert f"{CAMERA}: expected images in the table, got none" in episode.reasons[0]


def test_the_names_of_a_vector_are_taken_however_they_are_written(tmp_path: Path) -> None:
    root = datasets.write_dataset(tmp_path / "set", V21, lengths=(LENGTH,))
    edit_feature(root, "action", names={"grip": 2, "pan": 0, "lift": 1})
    assert list(evaluate(root).total.chunk_error) == ["pan", "lift", "grip"]
    edit_feature(root, "action", names=[["grip", "lift", "pan"]])
    assert list(evaluate(root).total.chunk_error) == ["grip", "lift", "pan"]
    edit_feature(root, "action", names=["pan", "pan", "grip"])
    assert list(evaluate(root).total.chunk_error) == ["action[0]", "action[1]", "action[2]"]


def test_old_data_sets_may_have_the_channels_first(tmp_path: Path) -> None:
    root = datasets.write_dataset(tmp_path / "set", V21, lengths=(LENGTH,))
    edit_feature(root, CAMERA, shape=[3, HEIGHT, WIDTH], names=["channels", "height", "width"])
    assert evaluate(root).status == COMPLETE


def test_a_state_of_nulls_is_not_filled_in(tmp_path: Path) -> None:
    root = datasets.write_dataset(tmp_path / "set", V21, lengths=(LENGTH,))
    replace_table(root, **{STATE.replace(".", "__"): pa.array([[None] * 3] * LENGTH, pa.list_(pa.float32()))})
    episode = only_episode(root)
    assert episode.status == FAILED
    assert any("invalid: state (24 times)" in reason for reason in episode.reasons)
