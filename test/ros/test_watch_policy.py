"""examples/watch_policy.py prints what a policy node publishes: a stand-in publishes it here."""

import re
import signal
import sys
from pathlib import Path

import pytest
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from act_inference_ros.interfaces import duration
from act_inference_ros.ros.messages import make_message
from test.ros.ros_helpers import PROJECT, NodeProcess, Participant

TOPIC = "/policy_node/action_chunk"


def watching(tmp_path: Path, environment: dict[str, str], *arguments: str) -> NodeProcess:
    command = [sys.executable, str(PROJECT / "examples" / "watch_policy.py"), *arguments]
    return NodeProcess(command, environment, tmp_path / "watch_policy.txt")


def chunk_from(participant: Participant) -> JointTrajectory:
    """Two actions of two joints, observed now; the last is for 30 s later, so that no machine is too slow to see it."""
    message = JointTrajectory(joint_names=["pan", "lift"])
    message.header.stamp = participant.node.get_clock().now().to_msg()
    message.points = [
        JointTrajectoryPoint(positions=positions, time_from_start=duration(make_message, after))
        for after, positions in ((0.0, [0.0, 0.0]), (30.0, [0.25, -1.5]))
    ]
    return message


def test_each_chunk_is_a_line_with_its_lead_and_the_joints(
    tmp_path: Path, environment: dict[str, str], participant: Participant
) -> None:
    with watching(tmp_path, environment, "--count", "2") as watch:
        publisher = participant.publisher(JointTrajectory, TOPIC)
        publisher.publish(chunk_from(participant))
        line = watch.wait_for_line(r"^observed (.*) s ago, lead (.*) s, then at (.*)$")
        assert watch.returncode is None, "there is one more chunk to come"
        publisher.publish(chunk_from(participant))
        assert watch.wait(20.0) == 0
    age_s, lead_s = float(line[1]), float(line[2])
    assert 0.0 <= age_s < 20.0
    assert abs(age_s + lead_s - 30.0) < 0.02
    assert line[3] == "pan=0.250 lift=-1.500"
    assert len(re.findall("^observed", watch.text, re.MULTILINE)) == 2


def test_ros_arguments_and_another_topic_are_taken(
    tmp_path: Path, environment: dict[str, str], participant: Participant
) -> None:
    arguments = ["--topic", "/watched", "--count", "1", "--ros-args", "-r", "/watched:=/renamed"]
    with watching(tmp_path, environment, *arguments) as watch:
        participant.publisher(JointTrajectory, "/renamed").publish(chunk_from(participant))
        assert watch.wait(20.0) == 0


def test_ctrl_c_ends_it_without_a_trace(tmp_path: Path, environment: dict[str, str]) -> None:
    with watching(tmp_path, environment) as watch:
        watch.wait_for_line("^waiting for chunks")
        assert watch.stop(signal.SIGINT) == 0
    assert "Traceback" not in watch.text


@pytest.mark.parametrize("arguments", [["--topic", "bad topic"], ["--ros-args", "-p", "nonsense"]])
def test_a_mistake_is_answered_with_one_line(tmp_path: Path, environment: dict[str, str], arguments: list[str]) -> None:
    with watching(tmp_path, environment, *arguments) as watch:
        assert watch.wait(30.0) == 2
        assert re.fullmatch(r"watch_policy: .+\n?", watch.text)
