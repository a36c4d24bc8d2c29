"""ControllerStates: listens to the states that trajectory controllers publish, if they can be read."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

from act_inference_ros.errors import MissingDependencyError
from act_inference_ros.execution.controller_state import TOPIC, ControllerState, ControllerStateReader
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.robot.devices import Controller
from act_inference_ros.ros.messages import message_class

STATE_TYPE = "control_msgs/msg/JointTrajectoryControllerState"
UNREADABLE = "controller_state cannot be read: control_msgs is not installed; measured joints are compared instead"
STATE_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
NOTED_EVERY_S = 0.02
"""Period at which the black box notes a state; its memory is small, and from Jazzy on each cycle brings a state."""
LOOK_AROUND_S = 0.2
"""Period of the check whether a controller publishes its state."""


class ControllerStates:
    """Subscribes to `<controller's node>/controller_state` of each trajectory controller until `close`.

    The executor calls `on_state` with the controller and each state that could be read, and `note` with the topic and
    the message, every NOTED_EVERY_S. Without control_msgs, which some ROS installations lack, there are no
    subscriptions, and `report` says so.
    """

    def __init__(
        self,
        node: Node,
        configuration: RobotConfiguration,
        on_state: Callable[[str, ControllerState], None],
        note: Callable[[str, Any], None] = lambda _topic, _message: None,
    ) -> None:
        self._node = node
        self._on_state = on_state
        self._note = note
        self._noted: dict[str, float] = {}
        self._readers = {
            each.name: ControllerStateReader(each.joints)
            for each in configuration.controllers
            if not each.interface.streams
        }
        self._subscriptions: dict[str, Any] = {}
        self._looked = float("-inf")
        self._unreadable = ""
        try:
            kind = message_class(STATE_TYPE)
        except MissingDependencyError:
            self._unreadable = UNREADABLE if self._readers else ""
            if self._readers:
                node.get_logger().info(UNREADABLE)
            return
        for each in configuration.controllers:
            if each.name in self._readers:
                topic = f"{controller_node(node, each)}/{TOPIC}"
                callback = functools.partial(self._came, each.name, topic)
                self._subscriptions[each.name] = node.create_subscription(kind, topic, callback, STATE_QOS)

    def look(self) -> Iterator[tuple[str, bool]]:
        """Yield for each controller whether any node publishes its state; nothing if it was checked just now."""
        if time.monotonic() >= self._looked + LOOK_AROUND_S:
            self._looked = time.monotonic()
            for name, subscription in self._subscriptions.items():
                yield name, self._node.count_publishers(subscription.topic_name) > 0

    def fills_speed(self, controller: str) -> None:
        """Note that the controller's parameters say that its states contain its speed."""
        self._readers[controller].fills_speed = True

    def report(self) -> dict[str, str]:
        """Return values for /diagnostics: why states cannot be read, and how many messages could not be read."""
        if self._unreadable:
            return {"controller states": self._unreadable}
        return {
            f"states of {name} ignored": f"{reader.ignored}, the last because {reader.last_ignored}"
            for name, reader in self._readers.items()
            if reader.ignored
        }

    def close(self) -> None:
        """Stop listening."""
        for subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
        self._subscriptions = {}

    def _came(self, controller: str, topic: str, message: Any) -> None:
        state = self._readers[controller].read(message)
        if state is None:
            return
        if not 0.0 <= state.time - self._noted.get(controller, -math.inf) < NOTED_EVERY_S:
            self._noted[controller] = state.time
            self._note(topic, message)
        self._on_state(controller, state)


def controller_node(node: Node, controller: Controller) -> str:
    """Return the full name of a trajectory controller's node, which listens on <its node>/joint_trajectory."""
    return str(node.resolve_topic_name(controller.topic)).rpartition("/")[0]
