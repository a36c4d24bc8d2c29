"""Damaged and unfit bags: a clear reason, the rest is evaluated, never a traceback or a silent number."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from act_inference_ros.errors import ConfigurationError, NotReadyError
from act_inference_ros.evaluation.bags.bag import find_bags
from act_inference_ros.evaluation.bags.bag_evaluation import EvaluationOptions, evaluate_bags
from act_inference_ros.evaluation.results import COMPLETE, FAILED, PARTIAL, EpisodeResult
from act_inference_ros.evaluation.run_settings import RunSettings
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.robot.configuration import RobotConfiguration
from test.evaluation import bags
from test.evaluation.bags import FPS, START_S, STORAGES

IMAGE, JOINT_STATE = "sensor_msgs/msg/Image", "sensor_msgs/msg/JointState"


def evaluate(path: Path, configuration: RobotConfiguration | None = None, **options: Any) -> EpisodeResult:
    with bags.client() as client:
        result = evaluate_bags(
            [path], configuration or bags.configuration(), client, RunSettings("test", "test"),
            EvaluationOptions(**options),
        )  # fmt: skip
    (episode,) = result.episodes
    assert all("\n" not in reason for reason in episode.reasons)
    if episode.status != FAILED:  # whatever is counted is right: the bags' commands are the policy's own
        compared = {joint: error for joint, error in episode.metrics.chunk_error.items() if error.count}
        assert bags.largest(compared) < 1e-6
    return episode


def with_images(change: Callable[[int, Any], Any], seconds: float = 4.0) -> Iterator[bags.Event]:
    """The usual events, but image number i is what `change(i, message)` makes of it; None leaves it out."""
    images = 0
    for time, topic, kind, message in bags.events(seconds):
        if kind == IMAGE:
            message = change(images, message)
            images += 1
        if message is not None:
            yield time, topic, kind, message


def without(topic: str, events: Iterable[bags.Event]) -> list[bags.Event]:
    return [event for event in events if event[1] != topic]


def truncate(path: Path, share: float) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(int(size * share))


@pytest.mark.parametrize("storage", STORAGES)
def test_a_truncated_bag_is_evaluated_up_to_the_damage(tmp_path: Path, storage: str) -> None:
    # So large that there are several pages and chunks.
    random = np.random.default_rng(0)
    noise = [replace(bags.image(0, START_S), data=random.integers(0, 256, 60_000, dtype=np.uint8)) for _ in range(160)]
    big = [*bags.events(8.0), *((START_S + step / FPS, "/other", IMAGE, other) for step, other in enumerate(noise))]
    path = bags.write_bag(tmp_path / "bag", big, storage)
    (file,) = (file for file in path.iterdir() if file.name != "metadata.yaml")
    truncate(file, 0.6)
    episode = evaluate(path)
    assert "damaged" in episode.reasons[0]
    assert episode.status == PARTIAL
    assert 1.0 < episode.duration_s < 7.0
    assert "read up to the damage" in episode.reasons[0]


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_bag_without_metadata_is_read_from_its_files(tmp_path: Path, storage: str) -> None:
    path = bags.write_bag(tmp_path / "bag", bags.events(1.0), storage)
    (path / "metadata.yaml").unlink()
    assert evaluate(path).metrics.chunks > 3
    (path / "metadata.yaml").write_text("")  # as a recorder that died leaves it
    assert evaluate(path).metrics.chunks > 3


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_bag_whose_metadata_names_another_qos_than_its_files_is_whole(tmp_path: Path, storage: str) -> None:
    path = bags.write_bag(tmp_path / "bag", bags.events(2.0), storage)
    never, metadata = "{sec: 0, nsec: 0}", path / "metadata.yaml"
    profile = (
        "[{history: keep_last, depth: 7, reliability: reliable, durability: volatile, liveliness: automatic, "
        f"deadline: {never}, lifespan: {never}, liveliness_lease_duration: {never}, "
        "avoid_ros_namespace_conventions: false}]"
    )
    text = metadata.read_text()
    assert "offered_qos_profiles: []" in text
    metadata.write_text(text.replace("offered_qos_profiles: []", f"offered_qos_profiles: {profile}"))
    assert evaluate(path).status == COMPLETE


def test_a_bag_of_another_serialization_format_is_refused(tmp_path: Path) -> None:
    path = bags.write_bag(tmp_path / "bag", bags.events(1.0))
    metadata = path / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("serialization_format: cdr", "serialization_format: other"))
    episode = evaluate(path)
    assert episode.status == FAILED
    assert episode.reasons == ("not a bag of ROS 2's own format, cdr: Serialization format {'other'} is not supported",)


@pytest.mark.parametrize("name", ["bag.mcap", "bag.db3"])
@pytest.mark.parametrize("content", [b"", b"this is no bag", b"\x89MCAP0\r\n" + bytes(50)])
def test_a_file_that_is_no_bag_fails_with_a_reason(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    episode = evaluate(tmp_path / name)
    assert episode.status == FAILED
    assert "no message can be read" in episode.reasons[0]


def test_damage_in_the_middle_ends_the_reading_there(tmp_path: Path) -> None:
    path = bags.write_bag(tmp_path / "bag", bags.events(4.0), "mcap message")
    (file,) = path.glob("*.mcap")
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = bytes(200)
    file.write_bytes(data)
    episode = evaluate(path)
    assert episode.status in (PARTIAL, FAILED)
    assert "damaged" in " ".join(episode.reasons)


def test_one_bad_bag_does_not_spoil_the_others(tmp_path: Path) -> None:
    bags.write_bag(tmp_path / "good", bags.events(1.0))
    bad = bags.write_bag(tmp_path / "bad", bags.events(1.0))
    truncate(next(bad.glob("*.mcap")), 0.01)
    with bags.client() as client:
        result = evaluate_bags([tmp_path], bags.configuration(), client, RunSettings("test", ""))
    assert [episode.status for episode in result.episodes] == [FAILED, COMPLETE]
    assert result.status == PARTIAL
    assert result.total.chunks == result.episodes[1].metrics.chunks


def test_no_bag_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file or directory"):
        find_bags([tmp_path / "missing"])
    with pytest.raises(ConfigurationError, match=r"no rosbag2 bag here; expected a directory with metadata\.yaml"):
        find_bags([tmp_path])


def test_bags_are_found_in_order_and_parts_belong_together(tmp_path: Path) -> None:
    for name in ("b", "a"):
        bags.write_bag(tmp_path / "day" / name, bags.events(0.1))
    (tmp_path / "split").mkdir()
    for number in (10, 9):
        shutil.copy(tmp_path / "day" / "a" / "a.mcap", tmp_path / "split" / f"run_{number}.mcap")
    assert [path.name for path in find_bags([tmp_path, tmp_path / "day" / "a"])] == ["a", "b", "split"]


@pytest.mark.parametrize("topic", ["/top/image_raw", "/joint_states"])
def test_a_missing_topic_is_named_with_those_there_are(tmp_path: Path, topic: str) -> None:
    episode = evaluate(bags.write_bag(tmp_path / "bag", without(topic, bags.events(1.0))))
    assert episode.status == FAILED
    assert f"({topic}): the bag has no such topic" in episode.reasons[0]
    assert "/arm/joint_trajectory" in episode.reasons[0]


def test_an_empty_topic_is_told_from_a_missing_one(tmp_path: Path) -> None:
    events = [*without("/top/image_raw", bags.events(1.0)), bags.nothing_recorded("/top/image_raw", IMAGE)]
    episode = evaluate(bags.write_bag(tmp_path / "bag", events))
    assert episode.status == FAILED
    assert "no message was recorded" in episode.reasons[0]


def test_an_empty_bag_fails(tmp_path: Path) -> None:
    episode = evaluate(bags.write_bag(tmp_path / "bag", [bags.nothing_recorded("/top/image_raw", IMAGE)]))
    assert (episode.status, episode.reasons) == (FAILED, ("the bag holds no message",))
    assert np.isnan(episode.metrics.chunk_error["pan"].mae_ros_units)


def test_a_wrong_message_type_is_named(tmp_path: Path) -> None:
    configuration = bags.configuration(**{"camera.top.transport": "compressed"})
    episode = evaluate(bags.write_bag(tmp_path / "bag", bags.events(1.0)), configuration)
    assert episode.status == FAILED
    assert "expected sensor_msgs/msg/CompressedImage, the bag has sensor_msgs/msg/Image" in episode.reasons[0]
    assert "camera.top.transport: raw reads that" in episode.reasons[0]


def test_commands_of_a_wrong_type_are_a_reason_and_leave_their_joints_to_the_states(tmp_path: Path) -> None:
    configuration = bags.configuration(**{"controller.arm.interface": "joint_trajectory"})
    episode = evaluate(bags.write_bag(tmp_path / "bag", bags.events(1.0)), configuration)
    assert episode.truth == {"arm": "state", "gripper": "commands"}
    assert episode.status == PARTIAL
    assert "expected trajectory_msgs/msg/JointTrajectory, the bag has sensor_msgs/msg/JointState" in episode.reasons[0]
    assert "controller.arm.interface: joint_state reads that" in episode.reasons[0]
    assert "compared with the measured positions that followed" in episode.reasons[0]


def test_wrong_joint_names_show_both_sides(tmp_path: Path) -> None:
    episode = evaluate(bags.write_bag(tmp_path / "bag", bags.events(1.0, names=("a", "b", "c"))))
    assert episode.status == FAILED
    assert "missing ['pan', 'lift', 'grip']; the message has ['c', 'a', 'b', 'other']" in " ".join(episode.reasons)


def test_commands_for_other_joints_are_not_compared(tmp_path: Path) -> None:
    events = [
        (time, topic, kind, bags.joint_state(["x", "y"], [0.0, 0.0], time))
        if topic == "/arm/joint_trajectory"
        else (time, topic, kind, message)
        for time, topic, kind, message in bags.events(1.0)
    ]
    episode = evaluate(bags.write_bag(tmp_path / "bag", events))
    assert episode.status == PARTIAL
    assert episode.metrics.chunk_error["pan"].count == 0
    assert episode.metrics.chunk_error["grip"].count > 0
    assert "missing joints ['pan', 'lift']; the message has ['x', 'y']" in " ".join(episode.reasons)


def test_an_image_of_another_size_is_refused_with_both_sizes(tmp_path: Path) -> None:
    other = lambda i, message: bags.image(i, START_S + i / FPS, 12, 16)  # noqa: E731
    path = bags.write_bag(tmp_path / "bag", with_images(other, 1.0))
    episode = evaluate(path)
    assert episode.status == FAILED
    assert "expected 6 x 8 (height x width), got 12 x 16" in " ".join(episode.reasons)
    assert episode.metrics.refused["invalid: top"] == 20


@pytest.mark.parametrize("which", ["/top/image_raw", "/joint_states"])
def test_stamps_of_zero_are_refused_unless_told_otherwise(tmp_path: Path, which: str) -> None:
    events = [
        (time, topic, kind, replace(message, header=bags.header(0)) if topic == which else message)
        for time, topic, kind, message in bags.events(2.0)
    ]
    path = bags.write_bag(tmp_path / "bag", events)
    episode = evaluate(path)
    assert episode.status == FAILED
    assert "the header's stamp is zero" in " ".join(episode.reasons)
    assert evaluate_by_arrival(path).status == COMPLETE


def evaluate_by_arrival(path: Path) -> EpisodeResult:
    with bags.client() as client:
        result = evaluate_bags([path], bags.configuration(stamps="receive"), client, RunSettings("test", ""))
    assert bags.largest(result.total.chunk_error) < 1e-5  # times of recording are not exactly those of the steps
    return result.episodes[0]


def test_stamps_of_a_simulation_in_a_bag_on_the_wall_clock_are_explained(tmp_path: Path) -> None:
    def move(message: Any, time: float) -> Any:
        return replace(message, header=bags.header(time - START_S + 1.0)) if hasattr(message, "header") else message

    events = [(time, topic, kind, move(message, time)) for time, topic, kind, message in bags.events(1.0)]
    episode = evaluate(bags.write_bag(tmp_path / "bag", events))
    assert episode.status == FAILED
    assert "set `stamps: receive`" in " ".join(episode.reasons)


def test_stamps_going_back_are_refused_and_counted(tmp_path: Path) -> None:
    def late(i: int, message: Any) -> Any:
        return bags.image(i, START_S + (i - 2.5) / FPS) if i % 10 == 9 else message

    episode = evaluate(bags.write_bag(tmp_path / "bag", with_images(late)))
    assert episode.status == PARTIAL
    assert episode.metrics.refused["out of order: top"] == 8
    assert episode.metrics.chunks > 10


def test_mixed_encodings_are_each_decoded_or_refused(tmp_path: Path) -> None:
    def mix(i: int, message: Any) -> Any:
        encoding = ("rgb8", "bgr8", "rgb8", "8UC3")[i % 4]
        return bags.image(i, START_S + i / FPS, encoding=encoding)

    episode = evaluate(bags.write_bag(tmp_path / "bag", with_images(mix)))
    assert episode.status == PARTIAL
    assert episode.metrics.refused["invalid: top"] == 20
    assert "8UC3" in " ".join(episode.reasons)
    assert episode.metrics.chunks > 10


def test_a_camera_that_pauses_stops_the_arm_and_is_no_fault_of_the_bag(tmp_path: Path) -> None:
    pause = lambda i, message: None if 30 <= i < 50 else message  # noqa: E731
    episode = evaluate(bags.write_bag(tmp_path / "bag", with_images(pause)))
    assert episode.status == COMPLETE
    assert episode.metrics.holds == {"stale: top": 1}
    assert episode.metrics.refused["stale: top"] > 0


def test_commands_that_end_early_are_noted(tmp_path: Path) -> None:
    events = [
        event for event in bags.events(6.0) if event[1] != "/gripper/commands" or event[0] < START_S + 2.0
    ]  # fmt: skip
    with bags.client() as client:
        result = evaluate_bags([bags.write_bag(tmp_path / "bag", events)], bags.configuration(), client, settings())
    assert "no command in the last 4.0 s" in result.episodes[0].notes[0]


def test_a_policy_that_fails_is_counted_and_given_up(tmp_path: Path) -> None:
    backend = bags.KnowingBackend()
    backend.failing = NotReadyError("the server cannot be reached")
    path = bags.write_bag(tmp_path / "bag", bags.events(6.0))
    result = evaluate_bags([path], bags.configuration(), InferenceClient(backend), settings())
    assert result.status == FAILED
    assert result.total.failed_inferences == {"NotReadyError": 10}
    assert "10 inferences in a row failed, the last: the server cannot be reached" in result.episodes[0].reasons


def test_a_stopped_evaluation_returns_what_it_has(tmp_path: Path) -> None:
    for name in ("a", "b"):
        bags.write_bag(tmp_path / name, bags.events(2.0))
    messages = iter(range(10**6))
    with bags.client() as client:
        result = evaluate_bags(
            [tmp_path], bags.configuration(), client, settings(), stopped=lambda: next(messages) > 120
        )
    assert result.status == PARTIAL
    assert len(result.episodes) == 1
    assert "interrupted after" in result.episodes[0].reasons[0]
    assert result.reasons == ("interrupted: 1 of 2 bags were not evaluated",)
    assert result.total.chunks > 0


def settings() -> RunSettings:
    return RunSettings("test", "")
