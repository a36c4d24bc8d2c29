"""Relative topic names lie in the node's namespace, as ROS itself resolves them."""

from typing import Any

import pytest

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.robot.topic_names import DEFAULT_NODE, full_name, node_in

GIVEN: dict[str, Any] = {
    "fps": 20.0,
    "state.topic": "joint_states",
    "state.joints": ["pan"],
    "cameras": ["front"],
    "camera.front.topic": "~/front",
    "enable.topic": "/enable",
    "controllers": ["arm"],
    "controller.arm.topic": "arm/commands",
    "controller.arm.joints": ["pan"],
}


@pytest.mark.parametrize("node", [DEFAULT_NODE, "/left/policy_node", "/cell_2/left/arm_policy"])
@pytest.mark.parametrize("topic", ["/a", "/a/b", "a", "a/b", "~/a", "~"])
def test_a_name_is_resolved_as_ros_does_it(node: str, topic: str) -> None:
    rclpy_expand = pytest.importorskip("rclpy.expand_topic_name").expand_topic_name
    namespace, _, name = node.rpartition("/")
    assert full_name(topic, node) == rclpy_expand(topic, name, namespace or "/")


def test_an_empty_name_stays_empty() -> None:
    assert full_name("", "/left/policy_node") == ""


@pytest.mark.parametrize(
    ("namespace", "node"),
    [
        ("", "/policy_node"),
        ("/", "/policy_node"),
        ("left", "/left/policy_node"),
        ("/left/", "/left/policy_node"),
        ("cell/left", "/cell/left/policy_node"),
    ],
)
def test_a_namespace_is_given_with_or_without_slashes(namespace: str, node: str) -> None:
    assert node_in(namespace) == node


def test_every_topic_of_the_configuration_has_its_full_name() -> None:
    configuration = RobotConfiguration.from_parameters(GIVEN, node="/left/policy_node")
    assert configuration.state_topics == ("/left/joint_states",)
    assert configuration.cameras[0].topic == "/left/policy_node/front"
    assert configuration.controllers[0].topic == "/left/arm/commands"
    assert configuration.enable_topic == "/enable"
    assert configuration.robot_description_topic == "/left/robot_description"
    several = GIVEN | {"state.topic": "", "state.topics": ["joint_states", "/hand"]}
    configuration = RobotConfiguration.from_parameters(several, node="/left/policy_node")
    assert configuration.state_topics == ("/left/joint_states", "/hand")


def test_one_topic_under_two_spellings_is_one_topic() -> None:
    same = GIVEN | {"controller.arm.topic": "/left/joint_states"}
    with pytest.raises(ConfigurationError, match=r"controller\.arm\.topic and state\.topic: one topic, /left"):
        RobotConfiguration.from_parameters(same, node="/left/policy_node")
    RobotConfiguration.from_parameters(same, node="/right/policy_node")
