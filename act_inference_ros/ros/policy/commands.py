"""CommandOutlet: from a commander's commands to the messages on its controller's topic, in order."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, Protocol

from rclpy.duration import Duration
from rclpy.node import Node

from act_inference_ros.interfaces import Command
from act_inference_ros.robot.devices import Controller
from act_inference_ros.ros.messages import make_message


class Outlet(Protocol):
    """Where the commands for one controller go."""

    @property
    def topic_name(self) -> str | None:
        """The topic on which others may publish, too; None where the commands go to no topic."""

    @property
    def outcome(self) -> str | None:
        """What came of the last command, in words; None where nobody tells."""

    def send(self, command: Command) -> None:
        """Keep a command; a commander's `Send`."""

    def flush(self) -> None:
        """Send what is kept."""

    @property
    def listeners(self) -> int:
        """How many controllers would hear a command now."""

    def settle(self, timeout_s: float) -> None:
        """Wait until the controller has the last command, but not longer than `timeout_s`."""

    def destroy(self, node: Node) -> None:
        """Let go of what was made on the node."""


class CommandOutlet:
    """Takes commands under the session's lock, where it only keeps them; `flush` makes and publishes their messages.

    Making a long trajectory's message takes milliseconds, too long for a lock that the next tick waits for. Two threads
    may flush: what was taken first is published first.
    """

    outcome: str | None = None

    def __init__(self, controller: Controller, publisher: Any) -> None:
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

    @property
    def topic_name(self) -> str | None:
        """The command topic."""
        return str(self._publisher.topic_name)

    @property
    def listeners(self) -> int:
        """How many subscribe to the topic."""
        return int(self._publisher.get_subscription_count())

    def settle(self, timeout_s: float) -> None:
        """Wait until what was published is acknowledged."""
        self._publisher.wait_for_all_acked(Duration(seconds=timeout_s))

    def destroy(self, node: Node) -> None:
        """Let go of the publisher."""
        node.destroy_publisher(self._publisher)
