"""bag_to_dataset writes what was recorded, in the policy's order and units, and fills nothing in."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from pyarrow import parquet

from act_inference_ros.evaluation.cli import bag_to_dataset as cli
from act_inference_ros.evaluation.datasets.description import read_info
from act_inference_ros.evaluation.datasets.index import read_episodes
from act_inference_ros.evaluation.datasets.tables import TIMESTAMP
from act_inference_ros.spec import ENVIRONMENT_STATE_KEY
from test.evaluation import bags
from test.evaluation.bags import FPS, START_S, Event, header, message
from test.evaluation.conversions import (
    ACTION,
    ORDER,
    SIDE,
    STATE,
    TOP,
    UNITS,
    WRIST,
    convert,
    demonstration,
    image,
    in_policy_units,
    leftovers,
    numbers,
    parameter_file,
    read,
    shown,
    without,
)
from test.evaluation.datasets import picture, png


def test_a_bag_becomes_an_episode_of_what_the_policy_will_see(tmp_path: Path) -> None:
    def behind(times: npt.ArrayLike) -> npt.NDArray[np.float64]:
        return bags.motion(np.asarray(times) - 0.1)

    status, root = convert(tmp_path, demonstration(states=behind), "--task", "pick the cube", **UNITS, **ORDER)

    assert status == 0
    (frames,) = read(root, TOP, STATE, ACTION)
    times = START_S + np.arange(40) / FPS
    assert shown(frames, TOP) == [(step, 0) for step in range(40)]
    commanded, measured = in_policy_units(bags.motion(times)), in_policy_units(behind(times))
    np.testing.assert_allclose(numbers(frames, ACTION), commanded[:, [1, 2, 0]], atol=1e-5)
    np.testing.assert_allclose(numbers(frames, STATE), measured[:, [2, 0]], atol=1e-5)
    features = json.loads((root / "meta/info.json").read_text())["features"]
    assert features[ACTION] == {"dtype": "float32", "shape": [3], "names": ["lift", "grip", "pan"]}
    assert features[STATE]["names"] == ["grip", "pan"]
    with av.open(str(root / f"videos/{TOP}/chunk-000/file-000.mp4")) as film:
        described = features[TOP]["info"]
        stream = film.streams.video[0]
        assert stream.frames == 40
        assert (stream.codec.canonical_name, stream.pix_fmt) == (described["video.codec"], described["video.pix_fmt"])
        assert (stream.height, stream.width, stream.average_rate) == (SIDE, SIDE, described["video.fps"])
    assert read_episodes(read_info(root))[0].tasks == ("pick the cube",)
    assert leftovers(root.parent) == ["set"]


def test_the_files_are_those_of_lerobot(tmp_path: Path) -> None:
    _, root = convert(tmp_path, demonstration(), "--task", "pick the cube")

    assert sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()) == [
        "data/chunk-000/file-000.parquet",
        "meta/episodes/chunk-000/file-000.parquet",
        "meta/info.json",
        "meta/stats.json",
        "meta/tasks.parquet",
        f"videos/{TOP}/chunk-000/file-000.mp4",
    ]
    rows = parquet.read_table(root / "data/chunk-000/file-000.parquet")
    assert rows.column_names == [STATE, ACTION, TIMESTAMP, "frame_index", "episode_index", "index", "task_index"]
    assert str(rows.schema.field(ACTION).type) == "fixed_size_list<element: float>[3]"
    tasks = parquet.read_table(root / "meta/tasks.parquet")
    assert tasks.to_pylist() == [{"task_index": 0, "task": "pick the cube"}]
    assert json.loads(tasks.schema.metadata[b"pandas"])["index_columns"] == ["task"]
    episode = parquet.read_table(root / "meta/episodes/chunk-000/file-000.parquet").to_pylist()[0]
    assert (episode["dataset_from_index"], episode["dataset_to_index"], episode["length"]) == (0, 40, 40)
    assert (episode[f"videos/{TOP}/from_timestamp"], episode[f"videos/{TOP}/to_timestamp"]) == (0.0, 2.0)
    assert episode["stats/action/count"] == [40]


def test_statistics_are_of_every_frame_and_of_each_channel(tmp_path: Path) -> None:
    _, root = convert(tmp_path, without(demonstration(5.0), "/top/image_raw", 1.5, 2.5))
    statistics = json.loads((root / "meta/stats.json").read_text())
    episodes = read(root, ACTION)
    rows = np.concatenate([numbers(frames, ACTION) for frames in episodes])

    found = {name: np.asarray(value) for name, value in statistics[ACTION].items()}
    assert sorted(found) == ["count", "max", "mean", "min", "q01", "q10", "q50", "q90", "q99", "std"]
    assert len(episodes) == 2
    assert found["count"] == [len(rows)]
    for name, expected in {
        "min": rows.min(0), "max": rows.max(0), "mean": rows.mean(0), "std": rows.std(0),
    }.items():  # fmt: skip
        np.testing.assert_allclose(found[name], expected, atol=1e-6)
    medians = [np.median(numbers(frames, ACTION), axis=0) for frames in episodes]
    shares = [len(frames) / len(rows) for frames in episodes]
    np.testing.assert_allclose(found["q50"], np.average(medians, axis=0, weights=shares), atol=1e-6)
    assert statistics["frame_index"]["min"] == [0.0]
    images = {name: np.asarray(value) for name, value in statistics[TOP].items()}
    assert images["mean"].shape == (3, 1, 1)
    assert images["count"] == [len(rows)]
    assert images["min"][0, 0, 0] == pytest.approx(20 / 255)
    assert images["max"][2, 0, 0] == pytest.approx(235 / 255)
    assert images["q50"][1, 0, 0] == pytest.approx(128 / 255)


def test_a_gap_ends_the_episode_and_short_pieces_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Images from 0 to 1.5, from 2.5 to 2.7 and from 3.5 s on; an image may be 0.2 s old.
    events = without(demonstration(6.0), "/top/image_raw", 1.5, 2.5)
    status, root = convert(tmp_path, without(events, "/top/image_raw", 2.7, 3.5))

    assert status == 0
    first, second = read(root, TOP, ACTION)
    assert shown(first, TOP)[:30] == [(step, 0) for step in range(30)]
    assert 30 <= len(first) <= 34  # with the last image once more until it is stale
    assert shown(second, TOP)[:50] == [(step, 0) for step in range(70, 120)]
    np.testing.assert_allclose(numbers(second, ACTION)[0], bags.motion([START_S + 3.5])[0], atol=1e-5)
    printed = capsys.readouterr().out
    assert re.search(r"no frames from 1\.[67] s to 2\.5 s: stale: top", printed)
    assert "frames from 2.5 s on left out: less than 1 s without a gap" in printed
    assert "2 episodes" in printed


def test_a_camera_that_is_stuck_ends_the_episode_where_the_node_would_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def frozen() -> Iterator[Event]:
        for time, topic, kind, content in demonstration(3.0):
            late = topic == "/top/image_raw" and time - START_S >= 1.5
            yield time, topic, kind, image(0, 29, time) if late else content

    status, root = convert(tmp_path, frozen(), stuck="hold", max_still=0.3)

    assert status == 0
    (frames,) = read(root, TOP)
    assert 34 <= len(frames) <= 38
    assert "stuck: top" in capsys.readouterr().out


def test_a_command_that_arrives_late_belongs_to_the_frame_at_its_stamp(tmp_path: Path) -> None:
    def late() -> Iterator[Event]:
        for time, topic, kind, content in demonstration():
            yield time + (0.2 if topic == "/arm/joint_trajectory" else 0.0), topic, kind, content

    _, root = convert(tmp_path, late())

    (frames,) = read(root, ACTION)
    np.testing.assert_allclose(numbers(frames, ACTION)[:40], bags.motion(START_S + np.arange(40) / FPS), atol=1e-5)


def test_frames_begin_with_the_first_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, root = convert(tmp_path, without(demonstration(3.0), "/gripper/commands", 0.0, 1.0))

    assert status == 0
    (frames,) = read(root, TOP, ACTION)
    assert shown(frames, TOP)[0] == (20, 0)
    assert "no command is known for grip" in capsys.readouterr().out


def test_each_camera_gives_its_newest_image(tmp_path: Path) -> None:
    def both() -> Iterator[Event]:
        yield from demonstration()
        for step in range(20):  # half as often, and a little later
            time = START_S + step / 10.0 + 0.004
            yield time, "/wrist/image_raw", "sensor_msgs/msg/Image", image(1, step, time)

    cameras = {"cameras": ["top", "wrist"], "camera.wrist.topic": "/wrist/image_raw", "max_skew": 0.08}
    status, root = convert(tmp_path, both(), **cameras)

    assert status == 0
    (frames,) = read(root, TOP, WRIST, STATE)
    first = shown(frames, TOP)[0][0]
    assert shown(frames, TOP) == [(first + place, 0) for place in range(len(frames))]
    assert shown(frames, WRIST) == [((first + place) // 2, 1) for place in range(len(frames))]
    assert len(frames) >= 38


def test_compressed_images_and_an_environment_state_are_read_as_the_node_reads_them(tmp_path: Path) -> None:
    def others() -> Iterator[Event]:
        for time, topic, kind, content in demonstration():
            if topic != "/top/image_raw":
                yield time, topic, kind, content
                continue
            step = round((time - START_S) * FPS)
            data = np.frombuffer(png(picture(0, step, SIDE, SIDE)), dtype=np.uint8)
            compressed = message("sensor_msgs/msg/CompressedImage", header=header(time), format="png", data=data)
            yield time, "/goal", "std_msgs/msg/Float64MultiArray", bags.float_array([step, -1.0])
            yield time, topic, "sensor_msgs/msg/CompressedImage", compressed

    status, root = convert(
        tmp_path, others(), **{"camera.top.transport": "compressed", "environment_state.topic": "/goal"}
    )

    assert status == 0
    (frames,) = read(root, TOP, ENVIRONMENT_STATE_KEY)
    assert shown(frames, TOP) == [(step, 0) for step in range(40)]
    assert numbers(frames, ENVIRONMENT_STATE_KEY).tolist() == [[step, -1.0] for step in range(40)]


def test_a_state_of_one_joint_is_a_column_of_numbers_as_lerobot_has_it(tmp_path: Path) -> None:
    joints = {"state.joints": ["lift"], "action.joints": list(bags.JOINTS)}
    _, root = convert(tmp_path, demonstration(), **joints)

    assert str(parquet.read_table(root / "data/chunk-000/file-000.parquet").schema.field(STATE).type) == "float"
    (frames,) = read(root, STATE)
    expected = bags.motion(START_S + np.arange(40) / FPS)[:, [1]]
    np.testing.assert_allclose(numbers(frames, STATE), expected, atol=1e-6)


def test_another_rate_than_the_cameras_is_resampled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, root = convert(tmp_path, demonstration(), "--fps", 10)

    assert status == 0
    (frames,) = read(root, TOP, ACTION)
    steps = [step for step, _ in shown(frames, TOP)]
    assert np.diff(steps).tolist() == [2] * 19
    times = START_S + np.array(steps) / FPS
    np.testing.assert_allclose(numbers(frames, ACTION), bags.motion(times), atol=1e-5)
    assert "needs `fps: 10`" in capsys.readouterr().out


def test_several_bags_are_one_data_set_and_one_without_commands_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bags.write_bag(tmp_path / "bags" / "a", demonstration())
    bags.write_bag(tmp_path / "bags" / "b", demonstration(commands=None))
    bags.write_bag(tmp_path / "bags" / "c", demonstration(3.0))
    out = tmp_path / "set"
    arguments = ["--bag", tmp_path / "bags", "--params", parameter_file(tmp_path), "--output", out]

    assert cli.main([str(each) for each in arguments]) == 1
    assert [len(frames) for frames in read(out, TOP, ACTION)] == [40, 60]
    assert "command arm (/arm/joint_trajectory): the bag has no such topic" in capsys.readouterr().out
