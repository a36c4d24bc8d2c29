"""ControllerStates: listens to what the trajectory controllers publish of themselves, where that can be read."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

from act_inference_ros.errors import MissingDependencyError
from act_inference_ros.execution.controller_state import ControllerState, ControllerStateReader
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.robot.devices import Controller
from act_inference_ros.ros.messages import message_class

STATE_TYPE = "control_msgs/msg/JointTrajectoryControllerState"
UNREADABLE = "controller_state cannot be read: control_msgs is not installed; measured joints are compared instead"
STATE_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
LOOK_AROUND_S = 0.2
"""How often it is looked whether a controller offers its state."""


class ControllerStates:
    """Subscribes to `<controller's node>/controller_state` of each trajectory controller until `close`.

    `on_state` is called with each controller and state that could be read, from the executor. Without control_msgs,
    which a ROS installation need not have, nothing is subscribed to, and `report` says so.
    """

    def __init__(
        self, node: Node, configuration: RobotConfiguration, on_state: Callable[[str, ControllerState], None]
    ) -> None:
        self._node = node
        self._on_state = on_state
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
                callback = functools.partial(self._came, each.name)
                topic = f"{controller_node(node, each)}/controller_state"
                self._subscriptions[each.name] = node.create_subscription(kind, topic, callback, STATE_QOS)

    def look(self) -> Iterator[tuple[str, bool]]:
        """Give for each controller whether anybody publishes its state; nothing if that was looked at just now."""
        if time.monotonic() >= self._looked + LOOK_AROUND_S:
            self._looked = time.monotonic()
            for name, subscription in self._subscriptions.items():
                yield name, self._node.count_publishers(subscription.topic_name) > 0

    def fills_speed(self, controller: str) -> None:
        """Note that the parameters of a controller say that it fills in its speed."""
        self._readers[controller].fills_speed = True

    def report(self) -> dict[str, str]:
        """What /diagnostics says: why states cannot be read, and how many messages could not."""
        if self._unreadable:
            return {"controller states": self._unreadable}
        return {
            f"states of {name} ignored": f"{reader.ignored}, the last because {reader.last_ignored}"
            for name, reader in self._readers.items()
            if reader.ignored
        }

    def close(self) -> None:
        """Listen no more."""
        for subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
        self._subscriptions = {}

    def _came(self, controller: str, message: Any) -> None:
        state = self._readers[controller].read(message)
        if state is not None:
            self._on_state(controller, state)


def controller_node(node: Node, controller: Controller) -> str:
    """The full name of a trajectory controller's node: it listens on <its node>/joint_trajectory."""
    return str(node.resolve_topic_name(controller.topic)).rpartition("/")[0]
