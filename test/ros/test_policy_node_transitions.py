"""A transition in which something unforeseen happens ends the node; rclpy alone would swallow it."""

from typing import Any

import pytest
from rclpy.lifecycle import TransitionCallbackReturn

from act_inference_ros.ros.policy.policy_node import PolicyNode
from act_inference_ros.ros.policy.status import NOT_ACTIVE, status_message
from test.ros.ros_helpers import Participant


class BrokenSession:
    """A session whose last command cannot be published."""

    active = False

    def activate(self) -> None: ...

    def deactivate(self) -> None:
        raise OSError("the hold could not be published")

    def stop(self, reason: str) -> None: ...

    def wait_until_taken(self) -> None: ...

    close = deactivate

    def statuses(self, name: str) -> list[Any]:
        return [status_message(name, NOT_ACTIVE, None)]


@pytest.mark.parametrize("transition", ["deactivate", "cleanup", "shutdown"])
def test_a_transition_that_fails_ends_the_node(
    participant: Participant, monkeypatch: pytest.MonkeyPatch, transition: str
) -> None:
    node = PolicyNode(context=participant.node.context)
    try:
        monkeypatch.setattr(node._opener, "open", lambda _: BrokenSession())
        assert node.trigger_configure() is TransitionCallbackReturn.SUCCESS
        if transition == "deactivate":
            assert node.trigger_activate() is TransitionCallbackReturn.SUCCESS
        assert getattr(node, f"trigger_{transition}")() is not TransitionCallbackReturn.SUCCESS
        assert isinstance(node.fault, OSError), "the process would go on with half a node"
    finally:
        node.leave_ros()
