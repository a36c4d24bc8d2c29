"""The black box of a running node: what is written when, and that it holds what the node saw, said and did."""

import itertools
import os
import signal
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from act_inference_ros.black_box import dumps
from act_inference_ros.robot.parameter_file import read_configuration
from test.ros.policy_node_stand import ARM, Stand, robot_parameters, running_policy_node
from test.ros.policy_stand_in import Behaviour, Options
from test.ros.robot_stand_in import JOINTS, silent
from test.ros.ros_helpers import PROJECT, wait_until

sys.path.append(str(PROJECT / "test"))
from golden_fill import build_checkpoint  # type: ignore[import-not-found]  # on the path since the line above

rosbag2 = pytest.importorskip("rosbags.rosbag2", reason="rosbags is not installed")
typesys = pytest.importorskip("rosbags.typesys")
WRITTEN = r"black box: wrote (\S+{reason}\S*)"
STATUS, INFERENCE = "/policy_node/status", "/policy_node/black_box/inference"


def recorded(path: Path) -> dict[str, list[Any]]:
    """The messages of a bag by topic, oldest first."""
    store = typesys.get_typestore(typesys.Stores.ROS2_JAZZY)
    found = defaultdict(list)
    with rosbag2.Reader(path) as reader:
        for connection, _, data in reader.messages():
            found[connection.topic].append(store.deserialize_cdr(data, connection.msgtype))
    return found


def dump_of(stand: Stand, reason: str) -> Path:
    return Path(stand.node.wait_for_line(WRITTEN.format(reason=reason))[1])


def test_the_dump_that_is_asked_for_holds_what_the_node_saw_said_and_did(tmp_path: Path) -> None:
    parameters = robot_parameters(black_box=str(tmp_path / "box"), joint__pan__max_velocity=1.25)
    with running_policy_node(tmp_path, parameters) as stand:
        stand.robot.wait_for_command("arm", 0.0, count=5)
        stand.robot.wait_for_command("gripper", 0.0, count=5)
        answer = stand.ask("dump")
        path = dump_of(stand, "asked")
        sent, commanded = stand.robot.sent["state"], stand.robot.commanded("arm")
    assert answer.success
    assert answer.message == f"will be written in a moment: {path}"
    found = recorded(path)
    assert found["/joint_states"][0].name == [*sorted(JOINTS), "mimic"]
    assert 0 < len(found["/joint_states"]) <= sent
    assert [each.header.stamp.nanosec for each in found["/arm/command"]] == [
        each.header.stamp.nanosec for each in commanded[: len(found["/arm/command"])]
    ]
    assert len(found["/gripper/command"]) >= 5
    assert len(found["/policy_node/action_chunk"][0].points) == 20
    assert "commanding" in {each.message for each in found[STATUS]}
    said = [each.message for each in found[INFERENCE]]
    assert said[0] == "begun"
    assert "chunk followed" in said
    values = {each.key: each.value for each in found[INFERENCE][0].values}
    assert {"t_obs", "stamp of front", "stamp of state", "observation.state"} <= set(values)
    [image, *_] = found["/policy_node/black_box/front/compressed"]
    assert image.format == "jpeg"
    assert bytes(image.data[:2]) == b"\xff\xd8"
    assert len(found["/policy_node/black_box/front/arrivals"]) > len(found["/policy_node/black_box/front/compressed"])
    about = dumps.read_about(path)
    assert (about["reason"], about["node"], about["dropped"]) == ("asked", "/policy_node", 0)
    assert {"policy_id", "version", "utc", "facts"} <= set(about)
    assert read_configuration(path / dumps.PARAMETERS).action.joints[0].max_velocity == 1.25


def test_what_a_controller_says_of_itself_is_recorded_but_not_in_each_cycle(tmp_path: Path) -> None:
    parameters = robot_parameters(black_box=str(tmp_path / "box"))
    with running_policy_node(tmp_path, parameters, Options(controller_states=True)) as stand:
        stand.robot.wait_for_command("arm", 0.0, count=2)
        publisher = stand.participant.node.create_publisher(JointTrajectory, "/arm/controller_state", 10)
        wait_until(lambda: publisher.get_subscription_count() > 0, 20.0, "nobody listens")
        point = JointTrajectoryPoint(positions=[0.5] * len(ARM))
        began = time.time()

        numbers = iter(range(100))

        def said() -> bool:
            """Send one more state, whose stamp is a millisecond after the one before; true after the last."""
            message = JointTrajectory(joint_names=ARM, points=[point])
            number = next(numbers, None)
            if number is not None:
                stamp_ns = round(began * 1e9) + number * 1_000_000
                message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
                publisher.publish(message)
            return number is None

        wait_until(said, 20.0, "the states were not published")
        stand.ask("dump")
        path = dump_of(stand, "asked")
    noted = recorded(path)["/arm/controller_state"]
    stamps = [each.header.stamp.sec + 1e-9 * each.header.stamp.nanosec for each in noted]
    assert noted[0].points[0].positions.tolist() == [0.5] * len(ARM)
    assert 2 <= len(noted) <= 6
    assert all(later - sooner >= 0.02 - 1e-6 for sooner, later in itertools.pairwise(stamps))


def test_a_stop_and_a_hold_that_lasts_are_written(tmp_path: Path) -> None:
    with running_policy_node(tmp_path, robot_parameters(black_box=str(tmp_path / "box"))) as stand:
        stand.robot.wait_for_command("arm", 0.0, count=2)
        with stand.robot.fault("state", silent):
            held = dump_of(stand, "holding-stale-state")
        stand.ask("stop")
        stopped = dump_of(stand, "stopped-operator")
    assert [each.message for each in recorded(stopped)[STATUS]][-1] == "stopped"
    assert "holding" in {each.message for each in recorded(held)[STATUS]}


def test_a_fault_that_ends_the_node_is_written_before_it_ends(tmp_path: Path) -> None:
    with running_policy_node(tmp_path, robot_parameters(black_box=str(tmp_path / "box"))) as stand:
        stand.robot.wait_for_command("arm", 0.0, count=2)
        with stand.robot.order("front", Behaviour.RAISES_UNFORESEEN):
            assert stand.node.wait(20.0) == 1
        path = dump_of(stand, "stopped-internal-fault")
    assert recorded(path)[INFERENCE][-1].message == "begun"  # what it saw last


@pytest.mark.parametrize(
    ("number", "reason", "detail"),
    [
        (signal.SIGKILL, "inference-process-ended", "the inference process was killed by SIGKILL"),
        (signal.SIGSTOP, "inference-process-hung", "the inference process was ended: it had been stopped for"),
    ],
)
def test_the_end_of_the_inference_process_is_written(
    tmp_path: Path, number: signal.Signals, reason: str, detail: str
) -> None:
    pytest.importorskip("torch")
    build_checkpoint(str(PROJECT / "test" / "data" / "golden" / "a_small_1cam"), str(tmp_path / "checkpoint"))
    slow_machine = {"max_age": 5.0, "fps": 4.0, "inference_rate": 3.0, "max_plan_age": 6.0}
    parameters = robot_parameters(black_box=str(tmp_path / "box"), **slow_machine)
    with running_policy_node(tmp_path, parameters, tmp_path / "checkpoint") as stand:
        wait_until(lambda: stand.robot.chunks, 60.0, "no chunk")
        os.kill(engine_of(stand), number)
        path = dump_of(stand, reason)
    about = dumps.read_about(path)
    assert about["reason"] == reason.replace("-", " ")
    assert about["detail"].startswith(detail)
    assert about["facts"]["engine"]
    assert "failed" in {each.message for each in recorded(path)[INFERENCE]}


def test_an_inference_that_hangs_is_written_beside_the_hold_that_it_caused(tmp_path: Path) -> None:
    parameters = robot_parameters(black_box=str(tmp_path / "box"), checkpoint="stand-in", resume_within=600.0)
    with running_policy_node(tmp_path, parameters, Options(isolated=True, slow_s=600.0)) as stand:
        stand.robot.wait_for_command("arm", 0.0, count=2)
        with stand.robot.order("front", Behaviour.SLOW):
            held = dump_of(stand, "holding")
            hung = dump_of(stand, "inference-process-hung")
    assert dumps.read_about(hung)["detail"].startswith("the inference process was ended: an inference took longer than")
    assert dumps.read_about(held)["time_ns"] < dumps.read_about(hung)["time_ns"]


def engine_of(stand: Stand) -> int:
    """The process id of the node's inference process."""
    commands = {path: path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")}
    node = str(stand.node._process.pid).encode()
    [path] = [
        path for path, command in commands.items() if b"engine_process" in command and node in command.split(b"\0")
    ]
    return int(path.parent.name)


def test_a_node_that_is_killed_leaves_a_dump_of_its_last_minute(tmp_path: Path) -> None:
    box = tmp_path / "box"
    with running_policy_node(tmp_path, robot_parameters(black_box=str(box))) as stand:
        stand.robot.wait_for_command("arm", 0.0, count=5)
        stand.node.kill()  # and its whole process group
        [path] = wait_until(lambda: [each for each in box.iterdir() if dumps.is_dump(each)], 20.0, "no dump")
    about = dumps.read_about(path)
    assert (about["reason"], about["node"]) == ("the node died", "/policy_node")
    assert len(recorded(path)["/arm/command"]) >= 4


def test_a_node_that_ends_as_it_should_writes_nothing(tmp_path: Path) -> None:
    with running_policy_node(tmp_path, robot_parameters(black_box=str(tmp_path / "box"))) as stand:
        stand.robot.wait_for_command("arm", 0.0, count=2)
        assert stand.node.stop(signal.SIGINT) == 0
        assert "Traceback" not in stand.node.text
    assert list((tmp_path / "box").iterdir()) == []


def test_a_directory_that_cannot_be_written_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with running_policy_node(tmp_path, robot_parameters(black_box=str(tmp_path / "file" / "box")), wait=None) as stand:
        assert stand.node.wait(30.0) == 2
        assert "configure refused: black_box: expected a directory that can be written" in stand.node.text
        assert "Traceback" not in stand.node.text


def test_without_a_black_box_dump_says_so(tmp_path: Path) -> None:
    with running_policy_node(tmp_path) as stand:
        answer = stand.ask("dump")
    assert not answer.success
    assert "there is no black box: set the parameter black_box" in answer.message
