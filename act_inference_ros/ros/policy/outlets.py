"""Makes the outlet for a controller's interface: a publisher on its topic, or a client of its action server."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.action import ActionClient
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

from act_inference_ros.robot.devices import Controller
from act_inference_ros.ros.messages import message_class
from act_inference_ros.ros.policy.commands import CommandOutlet, Outlet
from act_inference_ros.ros.policy.gripper_goals import GoalOutlet

COMMAND_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)


def make_outlet(node: Node, controller: Controller, shadow: bool, now: Callable[[], float]) -> Outlet:
    """Make the outlet of a controller; with `shadow`, messages and goals' commands go to `~/shadow/<controller>`.

    `now` is the clock, s, by which a command is too late.

    Raises MissingDependencyError, which names the package to install, if a message type is missing.
    """
    kind, action = message_class(controller.interface.message_type), controller.interface.action
    if shadow or action is None:
        topic = f"~/shadow/{controller.name}" if shadow else controller.topic
        return CommandOutlet(controller, node.create_publisher(kind, topic, COMMAND_QOS), now)
    action_class = message_class(action.type)
    return GoalOutlet(controller, action, ActionClient(node, action_class, controller.topic), action_class.Goal)
