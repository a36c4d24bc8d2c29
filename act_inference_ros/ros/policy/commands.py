"""CommandOutlet: turns a commander's commands into messages on its controller's topic, in order."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from rclpy.duration import Duration
from rclpy.node import Node

from act_inference_ros.execution.late_command import LateCommand
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
        """Send what is kept, unless it is too late for that."""

    @property
    def is_late(self) -> bool:
        """Whether a command was too late to be sent."""

    def take_late(self) -> LateCommand | None:
        """Return the oldest command that was too late to be sent, or None; all that is kept is dropped then.

        Until then nothing more is sent, because the later commands go on from that one. Not to be called while commands
        are being made.
        """

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
    threads may flush; the commands are still published in the order in which they came. A command that is too late is
    not published, nor is any after it, until `take_late`.

    `now` gives the time by which commands are late, s.
    """

    outcome: str | None = None

    def __init__(self, controller: Controller, publisher: Any, now: Callable[[], float] = lambda: -math.inf) -> None:
        self._controller = controller
        self._now = now
        self._late: LateCommand | None = None
        self._late_in_a_row = 0
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
        """Publish the stored commands, oldest first, up to one that is too late."""
        with self._publishing:
            while self._waiting and self._late is None:
                command = self._waiting.popleft()
                interface, joints = self._controller.interface, self._controller.joints
                message = interface.write(make_message, joints, command)
                late_s = self._now() - command.publish_by
                if late_s > 0.0:
                    self._late_in_a_row += 1
                    self._late = LateCommand(command, late_s, self._late_in_a_row)
                    return
                self._publisher.publish(message)
                self._late_in_a_row = 0
                if self.on_published is not None:
                    self.on_published(message)

    @property
    def is_late(self) -> bool:
        """Whether a command was too late to be published."""
        return self._late is not None

    def take_late(self) -> LateCommand | None:
        """Return the oldest command that was too late to be published, or None; all that is stored is dropped then."""
        late = self._late
        if late is not None:
            self._waiting.clear()
            self._late = None  # last: `flush` leaves what is stored alone until now
        return late

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
