"""A recorded run of the node, with an operator who takes over: its data set says who commanded each frame."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from act_inference_ros.evaluation.cli import bag_to_dataset
from act_inference_ros.evaluation.datasets.description import read_info
from act_inference_ros.evaluation.datasets.frames import EpisodeFrames
from act_inference_ros.evaluation.datasets.index import read_episodes
from test.ros.policy_node_stand import ARM, Stand, robot_parameters, running_policy_node
from test.ros.ros_helpers import Participant, wait_until

rosbag2 = pytest.importorskip("rosbags.rosbag2", reason="rosbags is not installed")
typesys = pytest.importorskip("rosbags.typesys")
pytest.importorskip("pyarrow")
pytest.importorskip("av")

TOPICS = {
    "/joint_states": JointState,
    "/front/image": Image,
    "/arm/command": JointTrajectory,
    "/gripper/command": Float64MultiArray,
    "/policy_node/status": DiagnosticStatus,
}
LATCHED = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
ANY = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
FAR = 2.0
"""Where the operator moves the joints, rad; the policy does not move them so far within the test."""
PHASE_S = 2.0


class Recorder:
    """Records topics as they come, with when they came."""

    def __init__(self, participant: Participant) -> None:
        self.messages: list[tuple[int, str, bytes]] = []
        for topic, kind in TOPICS.items():
            qos = LATCHED if topic.endswith("status") else ANY

            def came(data: bytes, topic: str = topic) -> None:
                self.messages.append((time.time_ns(), topic, bytes(data)))

            participant.node.create_subscription(kind, topic, came, qos, raw=True)

    def wait(self, seconds: float) -> None:
        """Wait until images of so many seconds more are recorded."""
        began = time.time_ns()
        wait_until(
            lambda: any(at - began > seconds * 1e9 for at, topic, _ in self.messages[-20:] if "image" in topic),
            30.0,
            "no images",
        )

    def write(self, path: Path) -> Path:
        store = typesys.get_typestore(typesys.Stores.ROS2_JAZZY)
        with rosbag2.Writer(path, version=9, storage_plugin=rosbag2.StoragePlugin.MCAP) as writer:
            connections = {}
            for topic, kind in TOPICS.items():
                name = f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"
                connections[topic] = writer.add_connection(topic, name, typestore=store)
            for at, topic, data in sorted(self.messages):
                writer.write(connections[topic], at, data)
        return path


def operate(stand: Stand, positions: float, seconds: float) -> None:
    """Command the arm as another program does, for so long."""
    publisher = stand.participant.publisher(JointTrajectory, "/arm/command")
    until = time.monotonic() + seconds

    def commanded() -> bool:
        point = JointTrajectoryPoint(positions=[positions] * len(ARM))
        publisher.publish(JointTrajectory(joint_names=ARM, points=[point]))
        return time.monotonic() > until

    wait_until(commanded, seconds + 20.0, "the operator did not command")
    stand.participant.node.destroy_publisher(publisher)


def actions_by_mark(root: Path) -> dict[bool, np.ndarray[Any, Any]]:
    """Whether the operator commanded -> the arm's actions (frames, joints)."""
    info = read_info(root)
    rows: dict[bool, list[Any]] = {True: [], False: []}
    arm = [info.features["action"].names.index(joint) for joint in ARM]
    for entry in read_episodes(info):
        with EpisodeFrames(info, entry, ["action", "intervention"]) as episode:
            frames = list(episode.frames())
        marks = {bool(frame.vectors["intervention"][0]) for frame in frames}
        assert len(marks) == 1  # each episode has one commander
        rows[marks.pop()] += [frame.vectors["action"][arm] for frame in frames]
    return {mark: np.array(each) for mark, each in rows.items()}


def test_the_operators_commands_are_told_from_the_policys_and_from_its_holds(tmp_path: Path) -> None:
    parameters = robot_parameters()
    with running_policy_node(tmp_path, parameters) as stand:
        recorder = Recorder(stand.participant)
        stand.robot.wait_for_command("arm", 0.0, count=5)
        recorder.wait(PHASE_S)
        stand.ask("pause")
        recorder.wait(1.0)
        for positions in (FAR, 0.0):
            operate(stand, positions, PHASE_S)
        recorder.wait(1.0)
        assert stand.ask("resume").success
        stand.robot.wait_for_command("arm", time.time(), count=2)
        recorder.wait(PHASE_S)
        stand.ask("pause")
        recorder.wait(1.0)
    bag = recorder.write(tmp_path / "bag")
    file = tmp_path / "parameters.yaml"
    file.write_text(yaml.safe_dump({"policy_node": {"ros__parameters": parameters}}))

    root = tmp_path / "set"
    assert bag_to_dataset.main(["--bag", str(bag), "--params", str(file), "--output", str(root)]) == 0
    actions = actions_by_mark(root)
    # A position that the operator never commanded, such as that of a hold, must not be marked as the operator's.
    assert set(np.unique(actions[True])) == {0.0, FAR}
    assert (actions[True] == FAR).all(axis=1).sum() >= 0.5 * PHASE_S * parameters["fps"]
    assert len(actions[False]) >= PHASE_S * parameters["fps"]
    assert np.abs(actions[False]).max() < 0.6 * FAR
