"""The black box without ROS: what is kept, what is written, what is removed, and what never fails."""

import importlib.util
import io
import json
import os
import signal
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from act_inference_ros.black_box import bag, dumps
from act_inference_ros.black_box import recorder as recorder_module
from act_inference_ros.black_box.frames import Dump, End, Frame, FrameError, Record, Topic, read_frames, write_frame
from act_inference_ros.black_box.recorder import WRITER, Recorder
from act_inference_ros.black_box.ring import OVERHEAD_BYTES, Ring
from act_inference_ros.errors import ConfigurationError, MissingDependencyError
from act_inference_ros.program.child import child_environment, lasting_child_command
from test.ros.ros_helpers import wait_until

highlevel = pytest.importorskip("rosbags.highlevel", reason="rosbags is not installed")
rosbag2 = pytest.importorskip("rosbags.rosbag2", reason="rosbags is not installed")
typesys = pytest.importorskip("rosbags.typesys")

from test.controller_states import DEFINITIONS, TYPE, controller_state  # noqa: E402  # wants rosbags

STORE = typesys.get_typestore(typesys.Stores.ROS2_JAZZY)
STRING = "std_msgs/msg/String"
FRAMES: list[Frame] = [Topic(0, "/words", STRING), Record(0, 5, b"abc"), Dump("name", {"reason": "stopped"}), End()]


def serialized(text: str) -> bytes:
    return bytes(STORE.serialize_cdr(STORE.types[STRING](data=text), STRING))


def words_in(path: Path) -> list[str]:
    with rosbag2.Reader(path) as reader:
        return [str(STORE.deserialize_cdr(data, c.msgtype).data) for c, _, data in reader.messages()]


def dumps_in(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if dumps.is_dump(path))


class Lines(list[str]):
    """Collects the lines that a recorder prints."""

    def recorder(self, directory: Path) -> Recorder:
        return Recorder(directory, serialized, self.append, self.append)


def test_frames_are_read_as_they_were_written() -> None:
    assert list(read_frames(io.BytesIO(b"".join(map(write_frame, FRAMES))))) == FRAMES


def test_a_stream_that_ends_in_the_middle_of_a_frame_ends_there() -> None:
    stream = b"".join(map(write_frame, FRAMES[:2]))
    assert list(read_frames(io.BytesIO(stream[:-1]))) == FRAMES[:1]


@pytest.mark.parametrize("stream", [b"\xff\xff\xff\xff\x02", b"\0\0\0\0\x09", b"\x01\0\0\0\x02a", b"\x02\0\0\0\x03{}"])
def test_bytes_that_are_no_frame_are_refused(stream: bytes) -> None:
    with pytest.raises(FrameError, match="frame of the black box"):
        list(read_frames(io.BytesIO(stream)))


def test_the_ring_is_bounded_in_time() -> None:
    ring = Ring(keep_s=10.0)
    for second in range(30):
        ring.add(Record(0, second, b""), float(second))
    assert [record.time_ns for record in ring.records(29.0)] == list(range(19, 30))
    assert [record.time_ns for record in ring.records(35.0)] == list(range(25, 30))


def test_the_ring_is_bounded_in_memory() -> None:
    ring = Ring(keep_bytes=10 * (100 + OVERHEAD_BYTES))
    for number in range(1000):
        ring.add(Record(0, number, bytes(100)), 0.0)
        assert ring.bytes <= 10 * (100 + OVERHEAD_BYTES)
    assert [record.time_ns for record in ring.records(0.0)] == list(range(990, 1000))


def test_a_name_has_the_time_and_the_reason_and_nothing_that_a_path_must_not_have() -> None:
    when = datetime(2026, 1, 31, 10, 15, 0, 250000, tzinfo=timezone.utc)
    assert dumps.dump_name("stopped: ../../does not follow", when) == "20260131T101500.250Z_stopped-does-not-follow"


def make_dumps(directory: Path, count: int, size: int = 0) -> list[str]:
    names = [dumps.dump_name("stop", datetime(2026, 1, 1 + i, tzinfo=timezone.utc)) for i in range(count)]
    for name in names:
        (directory / name).mkdir()
        (directory / name / dumps.ABOUT).write_text(" " * size)
    return names


def test_the_oldest_dumps_make_room_by_number_and_by_size(tmp_path: Path) -> None:
    names = make_dumps(tmp_path, 6, size=100)
    dumps.make_room(tmp_path, 0, keep=5)
    assert [path.name for path in dumps_in(tmp_path)] == names[2:]
    dumps.make_room(tmp_path, 150, keep_bytes=400)
    assert [path.name for path in dumps_in(tmp_path)] == names[4:]


def test_nothing_but_dumps_is_removed(tmp_path: Path) -> None:
    (somebody_elses := tmp_path / "20260101T000000.000Z_notes").mkdir()
    (tmp_path / "elsewhere").mkdir()
    make_dumps(tmp_path / "elsewhere", 1)
    [link] = [tmp_path / path.name for path in (tmp_path / "elsewhere").iterdir()]
    link.symlink_to(tmp_path / "elsewhere" / link.name)
    make_dumps(tmp_path, 0)
    dumps.make_room(tmp_path, 0, keep=1)
    assert somebody_elses.exists()
    assert link.exists()


def test_a_dump_is_a_bag_with_its_reason_policy_version_and_parameters(tmp_path: Path) -> None:
    lines = Lines()
    recorder = lines.recorder(tmp_path / "box")
    recorder.note("/words", STRING, 2_000, "second")
    recorder.note("/words", STRING, 1_000, "first")
    recorder.dump("20260101T000000.000Z_stop", {"reason": "stop", "policy_id": "ab" * 32, "parameters": "a: 1\n"})
    recorder.close()
    path = tmp_path / "box" / "20260101T000000.000Z_stop"
    assert lines == [f"black box: wrote {path}"]
    assert words_in(path) == ["first", "second"]
    assert dumps.read_about(path) == {"reason": "stop", "policy_id": "ab" * 32, "dropped": 0, "not_written": []}
    assert (path / dumps.PARAMETERS).read_text() == "a: 1\n"
    [mcap] = path.glob("*.mcap")
    assert mcap.name == f"{path.name}.mcap"
    assert b"ab" * 32 in mcap.read_bytes()  # inside the file, too, in case somebody copies that file alone
    assert [each.name for each in (tmp_path / "box").iterdir()] == [path.name]


def test_messages_that_only_the_node_knows_are_written_with_their_definitions(tmp_path: Path) -> None:
    recorder = Recorder(
        tmp_path, lambda _: controller_state({"a": 0.5}, {"a": 0.25}), print, print, lambda _: DEFINITIONS
    )
    recorder.note("/arm/controller_state", TYPE, 1, "state")
    recorder.dump("20260101T000000.000Z_stop", {})
    recorder.close()
    [path] = dumps_in(tmp_path)
    assert dumps.read_about(path)["not_written"] == []
    with highlevel.AnyReader([path]) as reader:  # knows no types but those that the bag carries
        [(connection, _, data)] = reader.messages()
        assert connection.msgtype == TYPE
        message = reader.deserialize(data, TYPE)
    assert (message.reference.positions.tolist(), message.feedback.positions.tolist()) == ([0.5], [0.25])


def test_a_definition_that_nobody_can_read_leaves_out_its_topic_only(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, serialized, print, print, lambda text: {TYPE: "no definition"} if text == "x" else {})
    recorder.note("/arm/controller_state", TYPE, 1, "x")
    recorder.note("/words", STRING, 2, "word")
    recorder.dump("20260101T000000.000Z_stop", {})
    recorder.close()
    [path] = dumps_in(tmp_path)
    assert words_in(path) == ["word"]
    assert dumps.read_about(path)["not_written"] == [f"/arm/controller_state ({TYPE})"]


def test_bytes_after_a_serialized_message_are_not_written(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, lambda text: serialized(text) + b"from elsewhere", print, print)
    recorder.note("/words", STRING, 1, "word")
    recorder.dump("20260101T000000.000Z_stop", {})
    recorder.close()
    [path] = dumps_in(tmp_path)
    assert words_in(path) == ["word"]


def test_a_topic_of_a_type_that_nobody_knows_here_is_named(tmp_path: Path) -> None:
    lines = Lines()
    recorder = lines.recorder(tmp_path)
    recorder.note("/words", STRING, 1, "known")
    recorder.note("/secret", "of_mine/msg/Secret", 1, "unknown")
    recorder.dump("20260101T000000.000Z_stop", {})
    recorder.close()
    [path] = dumps_in(tmp_path)
    assert words_in(path) == ["known"]
    assert dumps.read_about(path)["not_written"] == ["/secret (of_mine/msg/Secret)"]


def test_a_dump_that_cannot_be_written_is_a_warning_and_the_next_one_is_written(tmp_path: Path) -> None:
    lines = Lines()
    recorder = lines.recorder(tmp_path)
    recorder.note("/words", STRING, 1, "word")
    (tmp_path / "20260101T000000.000Z_stop").mkdir()
    (tmp_path / "20260101T000000.000Z_stop" / "in the way").touch()
    recorder.dump("20260101T000000.000Z_stop", {})
    recorder.dump("20260102T000000.000Z_stop", {})
    recorder.close()
    assert "20260101T000000.000Z_stop could not be written" in lines[0]
    assert [path.name for path in dumps_in(tmp_path)] == ["20260102T000000.000Z_stop"]


def test_messages_that_come_too_fast_are_dropped_and_counted_and_the_node_does_not_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "MAX_WAITING", 10)
    lines = Lines()
    recorder = lines.recorder(tmp_path)
    recorder._process.send_signal(signal.SIGSTOP)  # its pipe holds 64 KiB
    for number in range(1000):
        recorder.note("/words", STRING, number, "x" * 1000)
    assert recorder.dropped > 500
    recorder._process.send_signal(signal.SIGCONT)
    wait_until(recorder._waiting.empty, 20.0)
    recorder.dump("20260101T000000.000Z_stop", {})
    recorder.close()
    [path] = dumps_in(tmp_path)
    assert dumps.read_about(path)["dropped"] == recorder.dropped == 1000 - len(words_in(path))


def test_a_message_that_cannot_be_serialized_is_left_out_and_named_once(tmp_path: Path) -> None:
    lines = Lines()
    recorder = lines.recorder(tmp_path)
    for word in ("first", None, None, "second"):
        recorder.note("/words", STRING, 1, word)
    recorder.dump("20260101T000000.000Z_stop", {})
    recorder.close()
    assert "a message on /words is not recorded" in lines[0]
    assert len(lines) == 2
    [path] = dumps_in(tmp_path)
    assert words_in(path) == ["first", "second"]


def test_a_writer_that_dies_is_a_warning_and_noting_does_not_fail(tmp_path: Path) -> None:
    lines = Lines()
    recorder = lines.recorder(tmp_path)
    recorder._process.kill()
    recorder._process.wait()

    def broken() -> str:
        recorder.note("/words", STRING, 1, "word")
        return recorder.broken

    wait_until(broken, 20.0)
    recorder.note("/words", STRING, 1, "word")
    recorder.close()
    assert [line for line in lines if "nothing is recorded any more" in line]


def test_a_node_that_dies_leaves_a_dump(tmp_path: Path) -> None:
    command = lasting_child_command(WRITER, str(tmp_path))
    with subprocess.Popen(command, env=child_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        for frame in (Topic(0, "/words", STRING), Record(0, 1, serialized("last words")), Dump("", {"policy_id": "x"})):
            writer.stdin.write(write_frame(frame))
        writer.stdin.flush()
        writer.send_signal(signal.SIGSTOP)  # it must not matter when it reads
        writer.stdin.close()
        writer.send_signal(signal.SIGCONT)
        answer: dict[str, Any] = json.loads(writer.stdout.read())
        assert writer.wait(20.0) == 0
    path = Path(answer["written"])
    assert words_in(path) == ["last words"]
    about = dumps.read_about(path)
    assert (about["reason"], about["policy_id"]) == ("the node died", "x")


def test_a_recorder_that_is_closed_leaves_no_dump(tmp_path: Path) -> None:
    recorder = Lines().recorder(tmp_path)
    recorder.note("/words", STRING, 1, "word")
    recorder.close()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writer_left_half_done_is_removed_by_the_next(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    (left := tmp_path / f".partial-{ended.pid}").mkdir()
    (under_way := tmp_path / f".partial-{os.getpid()}").mkdir()
    dumps.remove_leftovers(tmp_path)
    assert not left.exists()
    assert under_way.exists()


def test_a_directory_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="black_box: expected a directory that can be written"):
        bag.check(tmp_path / "file" / "box")


def test_without_rosbags_it_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match="black_box needs rosbags"):
        bag.check(tmp_path)
