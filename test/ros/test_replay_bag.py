"""replay_bag between processes: what is published, how and when; and a live node says what the evaluator says."""

import itertools
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rclpy.qos import ReliabilityPolicy, qos_profile_sensor_data
from rclpy.serialization import deserialize_message
from rosbags.rosbag2 import Reader
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from trajectory_msgs.msg import JointTrajectory

from act_inference_ros.evaluation.bags.bag_evaluation import evaluate_bags
from act_inference_ros.evaluation.episodes.bag_recorder import BagRecorder
from act_inference_ros.evaluation.episodes.messages import JointState as RecordedJointState
from act_inference_ros.evaluation.episodes.messages import header, image_message, trajectory_message
from act_inference_ros.evaluation.run_settings import RunSettings
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.robot.parameter_file import read_configuration
from test.ros.ros_helpers import PROJECT, NodeProcess, Participant, wait_until

sys.path.insert(0, str(PROJECT))
from test.evaluation.demo_runs import write_demo_checkpoint

REPLAY = "act_inference_ros.ros.replay.replay_bag"
IMAGE, STATE, COMMAND = "/front/image_raw", "/joint_states", "/arm_controller/joint_trajectory"
JOINTS = ["wrist", "grip", "elbow", "pan", "roll", "shoulder"]
BEGIN_NS, MS = 5_000_000_000, 1_000_000
LENGTH_MS, STATE_EVERY_MS, IMAGE_EVERY_MS = 1600, 20, 100


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images at 10 Hz, each another one, and joint states that stay the same around each image.

    So an observation is the same whichever of the joint states around its image was there already.
    """
    directory = tmp_path_factory.mktemp("bag") / "recorded"
    random = np.random.default_rng(0)
    with BagRecorder(directory) as recorder:
        for ms in range(0, LENGTH_MS, STATE_EVERY_MS):
            now = BEGIN_NS + ms * MS
            place = (ms + IMAGE_EVERY_MS // 2) // IMAGE_EVERY_MS
            positions = 0.01 * np.arange(len(JOINTS)) + 0.02 * place
            recorder.write(STATE, RecordedJointState(header(now), JOINTS, positions), now)
            if ms % IMAGE_EVERY_MS == 0:
                pixels = random.integers(0, 256, (96, 96, 3), dtype=np.uint8)
                recorder.write(IMAGE, image_message(pixels, now, "front"), now)
                command = trajectory_message(["pan"], np.array([0.1]), np.array([[0.3]]), now)
                recorder.write(COMMAND, command, now)
    return directory


def recorded(bag: Path, topic: str, kind: type) -> list[Any]:
    with Reader(bag) as reader:
        connections = [connection for connection in reader.connections if connection.topic == topic]
        return [deserialize_message(bytes(data), kind) for _, _, data in reader.messages(connections)]


def replay(environment: dict[str, str], tmp_path: Path, *arguments: str | Path) -> NodeProcess:
    return NodeProcess.module(REPLAY, *map(str, arguments), environment=environment, output=tmp_path / "replay.log")


def test_a_live_node_says_what_the_evaluator_says(
    bag: Path, participant: Participant, environment: dict[str, str], tmp_path: Path
) -> None:
    checkpoint = write_demo_checkpoint(tmp_path / "checkpoint")
    robot = PROJECT / "config" / "sim_arm.yaml"
    faster = tmp_path / "faster.yaml"
    faster.write_text("/**/policy_node: {ros__parameters: {inference_rate: 20.0}}\n")
    live = participant.collect(JointTrajectory, "/policy_node/action_chunk", 100)
    files = [part for file in (robot, faster) for part in ("--params-file", str(file))]
    rehearsed = participant.collect(JointTrajectory, "/policy_node/shadow/arm", 100)
    parameters = ["-p", "use_sim_time:=true", "-p", "mode:=local", "-p", f"checkpoint:={checkpoint}"]
    parameters += ["-p", "shadow:=true"]  # as replay.launch.py: nobody listens to the commands
    node = NodeProcess.module(
        "act_inference_ros.ros.policy.policy_node",
        *("--ros-args", *files, *parameters),
        environment=environment,
        output=tmp_path / "policy_node.log",
    )
    with node:
        node.wait_for_line("active: waiting for", 90.0)
        wait_until(lambda: participant.node.count_publishers("/policy_node/action_chunk"), 20.0)
        with replay(environment, tmp_path, "--bag", bag, "--clock", "--rate", "0.5", "--wait", "60") as replaying:
            assert replaying.wait(90.0) == 0, replaying.text
        wait_until(lambda: len(live) >= 4, 20.0, f"{len(live)} chunks\n{node.text}\n{replaying.text}")
        assert rehearsed

    configuration = read_configuration(robot, faster)
    with InferenceClient.create("local", checkpoint=checkpoint) as client:
        result = evaluate_bags([bag], configuration, client, RunSettings("local", str(checkpoint)))
    (episode,) = result.episodes
    offline = {round(chunk.t_s * 1e3): np.array(chunk.rows) for chunk in episode.series.chunks}
    assert set(offline) == set(range(0, LENGTH_MS, IMAGE_EVERY_MS))
    for message in live:
        stamp = message.header.stamp
        since_ms = (stamp.sec * 1_000_000_000 + stamp.nanosec - BEGIN_NS) // MS
        rows = np.array([point.positions for point in message.points])
        assert message.joint_names == list(configuration.action.names)
        # The demo robot's policy counts in ROS units.
        np.testing.assert_allclose(rows, offline[since_ms], rtol=0.0, atol=1e-5)
    differing = [np.abs(a - b).max() for a, b in itertools.pairwise(offline.values())]
    assert min(differing) > 1e-3, "else a chunk of another observation would pass"


def test_sensor_topics_come_as_recorded_and_commands_do_not(
    bag: Path, participant: Participant, environment: dict[str, str], tmp_path: Path
) -> None:
    states = participant.collect(JointState, STATE, 200)
    images = participant.collect(Image, IMAGE, qos_profile_sensor_data)
    with replay(environment, tmp_path, "--bag", bag, "--wait", "30", "--loop") as replaying:
        replaying.wait_for_line("from the beginning")
        offered = {
            topic: [info.qos_profile.reliability for info in participant.node.get_publishers_info_by_topic(topic)]
            for topic in (STATE, IMAGE, COMMAND)
        }
        assert replaying.stop(signal.SIGINT, deadline_s=5.0) == 0
    assert offered == {STATE: [ReliabilityPolicy.RELIABLE], IMAGE: [ReliabilityPolicy.BEST_EFFORT], COMMAND: []}
    wanted = recorded(bag, STATE, JointState)
    assert states[: len(wanted)] == wanted
    pictures = recorded(bag, IMAGE, Image)
    assert images
    assert all(image in pictures for image in images)
    assert f"left out: {COMMAND}" in replaying.text


def test_the_clock_leads_and_the_pace_is_kept(
    bag: Path, participant: Participant, environment: dict[str, str], tmp_path: Path
) -> None:
    clocks = participant.collect(Clock, "/clock", 1000)
    wait_until(lambda: participant.node.count_subscribers("/clock") == 1, 10.0)
    with replay(environment, tmp_path, "--bag", bag, "--clock", "--rate", "2", "--wait", "3") as replaying:
        assert replaying.wait(60.0) == 0
    lasted = float(re.search(r"published \d+ messages in ([\d.]+) s", replaying.text)[1])
    last_ms = LENGTH_MS - STATE_EVERY_MS
    assert lasted >= last_ms / 2e3 - 0.1
    wait_until(lambda: clocks and nanoseconds(clocks[-1]) == BEGIN_NS + last_ms * MS, 10.0)
    times = [nanoseconds(clock) for clock in clocks]
    assert times == sorted(times)
    assert max(np.diff(times)) <= 10 * MS


def nanoseconds(clock: Clock) -> int:
    return clock.clock.sec * 1_000_000_000 + clock.clock.nanosec


def test_a_signal_ends_a_slow_replay_at_once(bag: Path, environment: dict[str, str], tmp_path: Path) -> None:
    with replay(environment, tmp_path, "--bag", bag, "--rate", "0.01") as replaying:
        replaying.wait_for_line("publishing")
        started = time.monotonic()
        assert replaying.stop(signal.SIGTERM) == 0
        assert time.monotonic() - started < 3.0
    assert re.search(r"published \d+ messages", replaying.text)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--bag", "nowhere"], "nowhere: expected the directory of a rosbag2 recording"),
        (["--bag", "{bag}", "--topics", "/other"], "topics /other: not in the bag"),
        (["--bag", "{bag}", "--rate", "-1"], "expected a number from 0.01 to 100"),
        (["--bag", "{bag}", "--rate", "fast"], "expected a number"),
        ([], "the following arguments are required: --bag"),
    ],
)
def test_a_mistake_is_told_in_one_line(bag: Path, environment: dict[str, str], arguments: list[str], said: str) -> None:
    command = [sys.executable, "-m", REPLAY, *(argument.format(bag=bag) for argument in arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert said in done.stderr.splitlines()[-1]
