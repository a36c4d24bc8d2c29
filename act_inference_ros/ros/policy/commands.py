"""CommandOutlet: turns a commander's commands into messages on its controller's topic, in order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
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
        """The command topic, on which other nodes may publish, too; None if the commands go to no topic."""

    @property
    def outcome(self) -> str | None:
        """The result of the last command, in words; None if the controller reports none."""

    def send(self, command: Command) -> None:
        """Keep a command; a commander's `Send`."""

    def flush(self) -> None:
        """Send what is kept."""

    @property
    def listeners(self) -> int:
        """Return how many controllers would receive a command now."""

    def settle(self, timeout_s: float) -> bool:
        """Wait at most `timeout_s` until the controller has the last command; return whether it has."""

    def destroy(self, node: Node) -> None:
        """Release what was created on the node."""


class CommandOutlet:
    """Only stores commands under the session's lock; `flush` makes and publishes their messages later.

    Making the message of a long trajectory takes milliseconds, too long for a lock that the next tick waits for. Two
    threads may flush; the commands are still published in the order in which they came.
    """

    outcome: str | None = None

    def __init__(self, controller: Controller, publisher: Any) -> None:
        self._controller = controller
        self._publisher = publisher
        # A deque's append and popleft are atomic.
        self._waiting: deque[Command] = deque()
        self.on_published: Callable[[Any], None] | None = None
        """Called with each message that was published."""
        self._publishing = threading.Lock()  # keeps the commands in order; nothing is decided under it

    def send(self, command: Command) -> None:
        """Keep a command; a commander's `Send`."""
        self._waiting.append(command)

    def flush(self) -> None:
        """Publish the stored commands, oldest first."""
        with self._publishing:
            while self._waiting:
                command = self._waiting.popleft()
                interface, joints = self._controller.interface, self._controller.joints
                message = interface.write(make_message, joints, command)
                self._publisher.publish(message)
                if self.on_published is not None:
                    self.on_published(message)

    @property
    def topic_name(self) -> str | None:
        """The command topic."""
        return str(self._publisher.topic_name)

    @property
    def listeners(self) -> int:
        """Return the number of subscribers of the topic."""
        return int(self._publisher.get_subscription_count())

    def settle(self, timeout_s: float) -> bool:
        """Wait until the published messages are acknowledged."""
        return bool(self._publisher.wait_for_all_acked(Duration(seconds=timeout_s)))

    def destroy(self, node: Node) -> None:
        """Destroy the publisher."""
        node.destroy_publisher(self._publisher)
