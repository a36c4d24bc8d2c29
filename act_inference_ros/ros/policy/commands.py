"""CommandOutlet: from a commander's commands to the ROS messages of its controller's interface, in order."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, Protocol

from act_inference_ros.interfaces import Command
from act_inference_ros.robot.devices import Controller
from act_inference_ros.ros.messages import make_message


class Publisher(Protocol):
    """What an outlet needs of rclpy's publisher."""

    def publish(self, msg: Any) -> None:
        """Send a message."""


class CommandOutlet:
    """Takes commands under the session's lock, where it only keeps them; `flush` makes and publishes their messages.

    Making a long trajectory's message takes milliseconds, too long for a lock that the next tick waits for. Two threads
    may flush: what was taken first is published first.
    """

    def __init__(self, controller: Controller, publisher: Publisher) -> None:
        self._controller = controller
        self._publisher = publisher
        # A deque's append and popleft are atomic.
        self._waiting: deque[Command] = deque()
        self._publishing = threading.Lock()  # keeps the commands in order; nothing is decided under it

    def send(self, command: Command) -> None:
        """Keep a command; a commander's `Send`."""
        self._waiting.append(command)

    def flush(self) -> None:
        """Publish what is kept, oldest first."""
        with self._publishing:
            while self._waiting:
                command = self._waiting.popleft()
                interface, joints = self._controller.interface, self._controller.joints
                self._publisher.publish(interface.write(make_message, joints, command))
