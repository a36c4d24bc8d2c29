"""What the live ROS graph shows of a robot: published topics, controllers that take commands, and their joints.

Command topics get no subscription: a policy node would count it as a controller that listens. The joints of a
controller come from its parameter service.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import rclpy
from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import GetParameters
from rclpy.action.graph import get_action_names_and_types
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions

from act_inference_ros.drafting.facts import CommandTopic, RobotFacts
from act_inference_ros.drafting.observer import (
    COMMANDS,
    JOINT_STATE,
    JOINT_STATE_COMMANDS,
    STRING,
    RobotObserver,
    is_commanding,
    is_wanted,
)
from act_inference_ros.interfaces import ACTIONS, COMMAND_INTERFACES
from act_inference_ros.ros.command_line import readable_ros_errors
from act_inference_ros.ros.messages import message_class

LOOK_S = 0.2
"""Period of the checks for new topics and nodes in the graph."""
JOINTS_PARAMETERS = ("joints", "joint")
"""Names of the parameter that holds a controller's joints in ros2_controllers; grippers use the second."""
_SENSORS = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
_LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def listen(seconds: float) -> RobotFacts:
    """Watch the graph and listen for `seconds`. Raises ConfigurationError if ROS cannot be initialised."""
    context = Context()
    with readable_ros_errors():
        rclpy.init(args=[], context=context, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = Node("draft_robot", context=context, use_global_arguments=False, start_parameter_services=False)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        try:
            graph = _LiveGraph(node)
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                graph.look()
                executor.spin_once(timeout_sec=0.05)
            return graph.facts(seconds)
        finally:
            executor.shutdown()
            node.destroy_node()
    finally:
        rclpy.shutdown(context=context)


class _LiveGraph:
    """Subscribes to published topics, and asks controllers for their joints, as they appear."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._observer = RobotObserver("the live graph")
        self._subscribed: dict[str, str] = {}
        self._taken: set[str] = set()
        self._commands: dict[str, str] = {}
        self._questions: dict[str, _Question] = {}
        self._looked = float("-inf")

    def look(self) -> None:
        """Look for new topics and controllers, at most once per period."""
        if time.monotonic() < self._looked + LOOK_S:
            return
        self._looked = time.monotonic()
        for topic, kinds in self._node.get_topic_names_and_types():
            if len(kinds) == 1 and is_wanted(topic, kinds[0]):
                self._found(topic, kinds[0])
        actions = {COMMAND_INTERFACES[name].action.type: name for name in ACTIONS}  # type: ignore[union-attr]  # ACTIONS have one
        for name, kinds in get_action_names_and_types(self._node):
            for kind in kinds:
                if kind in actions:
                    self._found_controller(name, actions[kind])
        for question in self._questions.values():
            question.look()

    def facts(self, seconds: float) -> RobotFacts:
        """Return what was seen; a topic without messages is reported as a problem."""
        silent = [topic for topic in self._subscribed if topic not in self._taken]
        self._observer.problems += [f"{topic}: no message came within {seconds:g} s" for topic in sorted(silent)]
        commands = []
        for topic, interface in sorted(self._commands.items()):
            question = self._questions[topic]
            joints = question.joints()
            source = f"by the parameters of {question.asked}" if joints else ""
            commands.append(CommandTopic(topic, interface, joints, source, len(joints) or None))
        return replace(self._observer.facts(), commands=tuple(commands))

    def _found(self, topic: str, kind: str) -> None:
        commands = COMMANDS.get(kind) or (JOINT_STATE_COMMANDS if kind == JOINT_STATE and is_commanding(topic) else "")
        if commands:
            if self._node.count_subscribers(topic):
                self._found_controller(topic, commands)
        elif topic not in self._subscribed and self._node.count_publishers(topic):
            self._subscribed[topic] = kind
            qos = _LATCHED if kind == STRING else _SENSORS
            take = functools.partial(self._take, topic, kind)
            self._node.create_subscription(message_class(kind), topic, take, qos)

    def _found_controller(self, topic: str, interface: str) -> None:
        if topic not in self._commands:
            self._commands[topic] = interface
            self._questions[topic] = _Question(self._node, topic.rpartition("/")[0])

    def _take(self, topic: str, kind: str, message: Any) -> None:
        self._taken.add(topic)
        self._observer.take(topic, kind, time.monotonic(), message)


class _Question:
    """Asks a controller's node for its joints as soon as its parameter service is there.

    Each request asks for one parameter: from Jazzy on, one undeclared name makes the whole answer empty.
    """

    def __init__(self, node: Node, asked: str) -> None:
        self.asked = asked
        self._client = node.create_client(GetParameters, f"{asked}/get_parameters") if asked else None
        self._futures: Mapping[str, Any] = {}

    def look(self) -> None:
        """Send the requests once, as soon as the service is there."""
        if self._client is not None and not self._futures and self._client.service_is_ready():
            self._futures = {
                name: self._client.call_async(GetParameters.Request(names=[name])) for name in JOINTS_PARAMETERS
            }

    def joints(self) -> tuple[str, ...]:
        """The joints in the answer; empty until it has come."""
        for future in self._futures.values():
            answer = future.result() if future.done() else None
            value = answer.values[0] if answer is not None and len(answer.values) == 1 else None
            if value is not None and value.type == ParameterType.PARAMETER_STRING_ARRAY:
                return tuple(value.string_array_value)
            if value is not None and value.type == ParameterType.PARAMETER_STRING and value.string_value:
                return (value.string_value,)
        return ()
