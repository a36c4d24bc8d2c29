"""Each parameter file of docs/robots.md commands the robot that it is for.

The policy node is real; the policy is a stand-in's, and so is the robot, on the very topics that the file names.
"""

import json
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import CompressedImage, Image, JointState

from act_inference_ros.interfaces import ACTIONS, command_interface
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.ros.messages import message_class
from act_inference_ros.simulation.command_inputs import command_input
from test.ros.policy_node_stand import STAND_IN
from test.ros.policy_stand_in import Options
from test.ros.robot_stand_in import HEIGHT, WIDTH, image_message, stamp
from test.ros.ros_helpers import PROJECT, NodeProcess, Participant, wait_until
from test.ros.sim_robot_stand import KEPT
from test.test_config_files import flat

ROBOTS = ("so101", "aloha", "ur5e_robotiq")
DEADLINE_S = 60.0
SPEED = 0.05
"""The speed of the policy's motion, policy units/s."""


def parameters_of(robot: str) -> dict[str, Any]:
    file = yaml.safe_load((PROJECT / "config" / f"{robot}.yaml").read_text())
    return flat(file["/**/policy_node"]["ros__parameters"])


def with_topics_for_goals(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters, with a topic in place of a gripper's action: control_msgs, which has its type, has no wheel."""
    changed = dict(parameters)
    for name in parameters["controllers"]:
        if parameters[f"controller.{name}.interface"] in ACTIONS:
            changed[f"controller.{name}.interface"] = "position_stream"
            changed[f"controller.{name}.topic"] = parameters[f"controller.{name}.topic"].replace(
                "gripper_cmd", "commands"
            )
            changed.pop(f"controller.{name}.deadband", None)
    return changed


def file_of(robot: str, parameters: Mapping[str, Any], directory: Path) -> Path:
    """The robot's own file, or a copy with these parameters if they differ from those in the file."""
    if parameters == parameters_of(robot):
        return PROJECT / "config" / f"{robot}.yaml"
    path = directory / f"{robot}.yaml"
    path.write_text(yaml.safe_dump({"/**/policy_node": {"ros__parameters": dict(parameters)}}))
    return path


class FileRobot:
    """Publishes every topic that a parameter file reads, and obeys the command topics that the file names."""

    def __init__(self, participant: Participant, parameters: Mapping[str, Any]) -> None:
        self._node = participant.node
        joints = RobotConfiguration.from_parameters(dict(parameters)).action.joints
        self.positions = {joint.name: 0.5 * (joint.minimum + joint.maximum) for joint in joints}
        self._controllers = {}
        self.commands: dict[str, list[Any]] = {name: [] for name in parameters["controllers"]}
        self.refusals: list[str] = []
        self._lock = threading.Lock()  # guards the controllers and the positions
        for name in parameters["controllers"]:
            moved = tuple(parameters[f"controller.{name}.joints"])
            interface = parameters[f"controller.{name}.interface"]
            self._controllers[name] = command_input(interface, moved)
            self._controllers[name].controller.hold([self.positions[joint] for joint in moved])
            kind = message_class(command_interface(interface).message_type)
            topic = parameters[f"controller.{name}.topic"]
            self._node.create_subscription(kind, topic, lambda message, name=name: self._obey(name, message), 100)
        self._states = [
            (self._node.create_publisher(JointState, topic, 10), names) for topic, names in drivers(parameters).items()
        ]
        self._cameras = []
        for camera in parameters["cameras"]:
            transport = parameters[f"camera.{camera}.transport"]
            kind = CompressedImage if transport == "compressed" else Image
            publisher = self._node.create_publisher(kind, parameters[f"camera.{camera}.topic"], 10)
            self._cameras.append((publisher, transport))
        self._random = np.random.default_rng(0)
        self._timer = self._node.create_timer(1.0 / 30.0, self._tick)

    def _obey(self, name: str, message: Any) -> None:
        taker = self._controllers[name]
        with self._lock:
            here = np.array([self.positions[joint] for joint in taker.controller.joints])
            refusal = taker.take(message, time.time(), here, np.zeros(len(here)))
        self.commands[name].append(message)
        self.refusals += [f"{name}: {refusal}"] if refusal else []

    def _tick(self) -> None:
        now = time.time()
        with self._lock:
            for taker in self._controllers.values():
                target = taker.controller.sample(now).tolist()
                self.positions |= dict(zip(taker.controller.joints, target, strict=True))
        for publisher, names in self._states:
            message = JointState(name=names, position=[self.positions[name] for name in names])
            message.header.stamp = stamp(now)
            publisher.publish(message)
        for publisher, transport in self._cameras:
            pixels = self._random.integers(0, 250, (HEIGHT, WIDTH, 3), np.uint8)
            publisher.publish(image_message(pixels, transport, now))


def drivers(parameters: Mapping[str, Any]) -> dict[str, Sequence[str]]:
    """The topics of joint states, and which joints each has: those of the gripper come from the last one."""
    joints = list(parameters["state.joints"])
    topics = parameters.get("state.topics")
    if not topics:
        return {parameters["state.topic"]: sorted(joints)}
    return dict(zip(topics, (sorted(joints[:-1]), joints[-1:]), strict=True))


@pytest.mark.parametrize("robot", ROBOTS)
def test_a_robot_with_the_topics_of_its_file_is_commanded_on_every_controller(
    robot: str, tmp_path: Path, environment: dict[str, str], participant: Participant
) -> None:
    parameters = with_topics_for_goals(parameters_of(robot))
    options = Options(
        cameras=tuple(parameters["cameras"]),
        joints=len(parameters["state.joints"]),
        fps=parameters["fps"],
        speed=SPEED,
        chunk_size=100,
    )
    file = file_of(robot, parameters, tmp_path)
    patience = [
        "-p",
        "max_age:=1.0",
        "-p",
        "max_skew:=0.5",
        "-p",
        "max_plan_age:=3.0",
    ]  # a busy machine's images are late
    command = [sys.executable, str(STAND_IN), "--ros-args", "--params-file", str(file), *patience]
    node = NodeProcess(command, environment | {"POLICY_STAND_IN": json.dumps(asdict(options))}, tmp_path / "node.txt")
    statuses = participant.collect(DiagnosticStatus, "/policy_node/status", KEPT)
    arm = FileRobot(participant, parameters)
    began = dict(arm.positions)
    with node:
        node.wait_for_line("active: waiting for", DEADLINE_S)
        wait_until(lambda: any(s.message == "commanding" for s in statuses), DEADLINE_S, f"not commanding\n{node.text}")
        wait_until(
            lambda: all(len(commands) > 2 for commands in arm.commands.values()),
            DEADLINE_S,
            "some controller is not commanded",
        )
        wait_until(
            lambda: all(arm.positions[joint] > began[joint] for joint in began),
            DEADLINE_S,
            f"some joint did not go the policy's way from {began}",
        )
        assert arm.refusals == []


@pytest.mark.parametrize("robot", ROBOTS)
def test_the_guide_names_the_topics_and_the_file_of_the_robot(robot: str) -> None:
    text = (PROJECT / "docs" / "robots.md").read_text()
    parameters = parameters_of(robot)
    assert f"config/{robot}.yaml" in text
    named = [value for name, value in parameters.items() if name.endswith(".topic")] + parameters.get(
        "state.topics", []
    )
    assert [topic for topic in named if f"`{topic}`" not in text] == []
