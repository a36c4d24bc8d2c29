"""deploy/foxglove_layout.json: the demo publishes its topics, and each line is of the joint that it names."""

import json
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState
from trajectory_msgs.msg import JointTrajectory

from act_inference_ros.evaluation.episodes import demo_policy
from act_inference_ros.robot.parameter_file import read_configuration
from test.evaluation.demo_runs import write_demo_checkpoint
from test.evaluation.layouts import topics_of
from test.ros.ros_helpers import PROJECT, NodeProcess, Participant, wait_until
from test.ros.sim_robot_stand import StartRobot, start_robot

__all__ = ["start_robot"]  # a fixture

LAYOUT = json.loads((PROJECT / "deploy" / "foxglove_layout.json").read_text())
DEADLINE_S = 60.0
TYPES: dict[str, Any] = {
    "/front/image_raw": Image,
    "/joint_states": JointState,
    "/policy_node/action_chunk": JointTrajectory,
    "/policy_node/status": DiagnosticStatus,
}
"""The test waits for a message on these topics; for the others a publisher is enough."""
SHOWN = topics_of(LAYOUT)


def plots() -> list[dict[str, Any]]:
    return [panel for name, panel in LAYOUT["configById"].items() if name.startswith("Plot!")]


def panels_of(tree: Any) -> list[str]:
    return [tree] if isinstance(tree, str) else [*panels_of(tree["first"]), *panels_of(tree["second"])]


def place_in(path: str) -> int:
    """The last number in `points[0].positions[3]` or `position[3]`: which joint it is."""
    return int(re.findall(r"\[(\d+)\]", path)[-1])


def test_every_panel_is_placed_once() -> None:
    assert sorted(panels_of(LAYOUT["layout"])) == sorted(LAYOUT["configById"])
    joints = read_configuration(demo_policy.parameter_file()).action.names
    assert [panel["foxglovePanelTitle"] for panel in plots()] == list(joints)


def test_the_demo_publishes_what_is_shown(
    start_robot: StartRobot, participant: Participant, environment: Mapping[str, str], tmp_path: Path
) -> None:
    heard = {topic: participant.collect(kind, topic, qos_profile_sensor_data) for topic, kind in TYPES.items()}
    start_robot(publish_clock=True)  # time slows down with a busy machine
    checkpoint = write_demo_checkpoint(tmp_path / "checkpoint")
    arguments = ["--params-file", str(demo_policy.parameter_file()), "-p", f"checkpoint:={checkpoint}"]
    policy = NodeProcess.module(
        "act_inference_ros.ros.policy.policy_node",
        *("--ros-args", *arguments, "-p", "use_sim_time:=true"),
        environment=dict(environment),
        output=tmp_path / "policy_node.txt",
    )
    assert set(heard) < SHOWN
    with policy:
        for topic, messages in heard.items():
            wait_until(partial(len, messages), DEADLINE_S, f"nothing came on {topic}")
        for topic in SHOWN - set(heard):
            wait_until(partial(participant.node.count_publishers, topic), DEADLINE_S, f"nobody publishes {topic}")
    # On a busy machine the arm may get no command yet: the order of its joints is in the parameters.
    joints = {each.topic: each.joints for each in read_configuration(demo_policy.parameter_file()).controllers}
    joints["/joint_states"] = tuple(heard["/joint_states"][0].name)
    joints["/policy_node/action_chunk"] = tuple(heard["/policy_node/action_chunk"][0].joint_names)
    for panel in plots():
        for path in (each["value"] for each in panel["paths"]):
            assert joints[path.split(".")[0]][place_in(path)] == panel["foxglovePanelTitle"], path
    assert heard["/policy_node/action_chunk"][0].points[0].positions
    assert all(message.message for message in heard["/policy_node/status"])
