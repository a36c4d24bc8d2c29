"""From safe targets to messages: what a commander sends, as the ROS message of its controller's interface."""

from __future__ import annotations

from typing import Any, Protocol

from act_inference_ros.control.commander import Commander, make_commander
from act_inference_ros.interfaces import Command
from act_inference_ros.robot.configuration import Controller, RobotConfiguration
from act_inference_ros.ros.messages import make_message


class Publisher(Protocol):
    """What a commander needs of rclpy's publisher."""

    def publish(self, msg: Any) -> None:
        """Send a message."""


def publishing_commander(controller: Controller, configuration: RobotConfiguration, publisher: Publisher) -> Commander:
    """Return the commander for the controller's interface, which publishes what it commands."""

    def publish(command: Command) -> None:
        publisher.publish(controller.interface.write(make_message, controller.joints, command))

    return make_commander(controller, configuration, publish)
