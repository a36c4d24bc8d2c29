"""The subscriptions to what trajectory controllers publish of themselves.

There is no wheel of control_msgs: a look-alike stands in for its message, and a node only remembers subscriptions.
"""

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest
from rclpy.node import Node

from act_inference_ros.execution.controller_state import ControllerState
from act_inference_ros.ros.messages import message_class
from act_inference_ros.ros.policy.controller_states import UNREADABLE, ControllerStates
from test.execution.rig import Rig
from test.execution.test_controller_state import message


class JointTrajectoryControllerState:
    """In place of the message of control_msgs."""


class Asked:
    """A node that remembers its subscriptions and what it said."""

    def __init__(self) -> None:
        self.callbacks: dict[str, Callable[[Any], None]] = {}
        self.kinds: set[Any] = set()
        self.said: list[str] = []
        self.publishers = 0

    def create_subscription(self, kind: Any, topic: str, callback: Callable[[Any], None], qos: Any) -> Any:
        self.callbacks[topic] = callback
        self.kinds.add(kind)
        return SimpleNamespace(topic_name=topic)

    def destroy_subscription(self, subscription: Any) -> None:
        del self.callbacks[subscription.topic_name]

    def resolve_topic_name(self, topic: str) -> str:
        return topic

    def count_publishers(self, topic: str) -> int:
        return self.publishers

    def get_logger(self) -> Any:
        return SimpleNamespace(info=self.said.append)


CONFIGURATION = Rig(**{"controller.arm.topic": "/cell/arm_controller/joint_trajectory"}).configuration


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("control_msgs.msg")
    module.JointTrajectoryControllerState = JointTrajectoryControllerState  # type: ignore[attr-defined]  # a look-alike
    monkeypatch.setitem(sys.modules, "control_msgs", ModuleType("control_msgs"))
    monkeypatch.setitem(sys.modules, "control_msgs.msg", module)
    monkeypatch.setattr("act_inference_ros.ros.policy.controller_states.message_class", message_class.__wrapped__)


def make(node: Asked) -> tuple[ControllerStates, list[tuple[str, ControllerState]]]:
    came: list[tuple[str, ControllerState]] = []
    return ControllerStates(cast(Node, node), CONFIGURATION, lambda *each: came.append(each)), came


@pytest.mark.usefixtures("installed")
def test_each_trajectory_controller_is_listened_to_until_close() -> None:
    node = Asked()
    states, came = make(node)
    assert list(node.callbacks) == ["/cell/arm_controller/controller_state"]
    assert node.kinds == {JointTrajectoryControllerState}
    node.callbacks["/cell/arm_controller/controller_state"](message())
    assert came == [("arm", ControllerState({"lift": 0.2, "pan": 0.1}, 5.0, 1.0))]
    states.close()
    assert node.callbacks == {}


@pytest.mark.usefixtures("installed")
def test_a_message_that_cannot_be_read_is_reported_and_raises_nothing() -> None:
    node = Asked()
    states, came = make(node)
    assert states.report() == {}
    node.callbacks["/cell/arm_controller/controller_state"](message(time=0.0))
    assert came == []
    assert states.report() == {"states of arm ignored": "1, the last because it has no stamp"}


@pytest.mark.usefixtures("installed")
def test_a_state_that_is_offered_is_found_without_looking_all_the_time() -> None:
    node = Asked()
    states, _ = make(node)
    node.publishers = 1
    assert list(states.look()) == [("arm", True)]
    assert list(states.look()) == []


@pytest.mark.usefixtures("installed")
def test_a_standstill_counts_once_the_parameters_say_that_it_is_one() -> None:
    node = Asked()
    states, came = make(node)
    callback = node.callbacks["/cell/arm_controller/controller_state"]
    callback(message(1.0, speed_scaling_factor=0.0))
    states.fills_speed("arm")
    callback(message(2.0, speed_scaling_factor=0.0))
    assert [state.speed for _, state in came] == [1.0, 0.0]


def test_without_control_msgs_that_is_said_once_and_everything_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "control_msgs", None)
    node = Asked()
    states, came = make(node)
    assert node.callbacks == {}
    assert node.said == [UNREADABLE]
    assert list(states.look()) == []
    assert states.report() == {"controller states": UNREADABLE}
    states.fills_speed("arm")
    states.close()
    assert came == []
