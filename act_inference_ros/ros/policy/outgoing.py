"""Outgoing: the commanders of a session's controllers, and the outlets through which their commands leave."""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Callable, Iterator

from rclpy.node import Node

from act_inference_ros.control.commander import Commander
from act_inference_ros.control.commanders import make_commander
from act_inference_ros.execution.late_command import LateCommand
from act_inference_ros.interfaces import Command
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.robot.devices import Controller
from act_inference_ros.ros.policy.black_box import BlackBox
from act_inference_ros.ros.policy.commands import CommandOutlet, Outlet
from act_inference_ros.ros.policy.outlets import make_outlet

ACKNOWLEDGE_S = 2.0
"""How long all controllers together may take to acknowledge the last command when commanding ends.
If the node ended sooner, the command would be lost: DDS drops undelivered messages of a publisher that is gone."""
TAKEN_S = 0.2
"""How long publishers stay after their last command was acknowledged. A subscriber that learns that a publisher is gone
drops the messages that its program has not taken yet."""


class Outgoing:
    """What the commanders send waits in the outlets until `publish`, so that nothing is published under a lock.

    `outlets` has each controller's; `now` is the clock, s, by which a command is too late. Raises what `make_outlet`
    raises.
    """

    def __init__(
        self, node: Node, configuration: RobotConfiguration, black_box: BlackBox, now: Callable[[], float]
    ) -> None:
        self._node = node
        self._configuration = configuration
        self._black_box = black_box
        self._now = now
        self._acknowledged_at = -math.inf
        self.outlets: dict[str, Outlet] = {}
        try:
            self.commanders = [self._make_commander(controller) for controller in configuration.controllers]
        except BaseException:
            self.destroy()
            raise

    def publish(self) -> None:
        """Publish what waits; if that fails for one controller, the others' is published before the error is raised."""
        failed: Exception | None = None
        for outlet in self.outlets.values():
            try:
                outlet.flush()
            except Exception as error:
                failed = failed or error
        if failed is not None:
            raise failed

    def publish_what_can_be(self) -> None:
        """Publish what waits, whatever fails."""
        for outlet in self.outlets.values():
            with contextlib.suppress(Exception):
                outlet.flush()

    @property
    def is_late(self) -> bool:
        """Whether a command was too late to be published."""
        return any(outlet.is_late for outlet in self.outlets.values())

    def take_late(self) -> Iterator[tuple[str, LateCommand]]:
        """Give each controller whose command was too late, with that command, and drop what waits behind it.

        Not to be called while commands are being made.
        """
        for name, outlet in self.outlets.items():
            late = outlet.take_late()
            if late is not None:
                yield name, late

    def outcomes(self) -> dict[str, str | None]:
        """Controller -> the result of its last command, in words; None if it reports none."""
        return {name: outlet.outcome for name, outlet in self.outlets.items()}

    def settle(self) -> None:
        """Wait until the controllers have acknowledged the last command, ACKNOWLEDGE_S at most."""
        until = time.monotonic() + ACKNOWLEDGE_S
        for name, outlet in self.outlets.items():
            if not outlet.settle(max(0.0, until - time.monotonic())):
                self._node.get_logger().warning(
                    f"controller {name}: it did not acknowledge the last command within {ACKNOWLEDGE_S:g} s"
                )
        self._acknowledged_at = time.monotonic()

    def wait_until_taken(self) -> None:
        """Give the controllers' programs a moment to take the last command, before its publishers are destroyed."""
        time.sleep(max(0.0, self._acknowledged_at + TAKEN_S - time.monotonic()))

    def destroy(self) -> None:
        """Release what was created on the node."""
        for outlet in self.outlets.values():
            outlet.destroy(self._node)

    def _make_commander(self, controller: Controller) -> Commander:
        outlet = make_outlet(self._node, controller, self._configuration.shadow, self._now)
        self.outlets[controller.name] = outlet
        send: Callable[[Command], None] = outlet.send
        if isinstance(outlet, CommandOutlet):
            outlet.on_published = functools.partial(self._black_box.message, str(outlet.topic_name))
        else:
            send = functools.partial(self._send_goal, controller.name, outlet)
        return make_commander(controller, self._configuration, send)

    def _send_goal(self, controller: str, outlet: Outlet, command: Command) -> None:
        outlet.send(command)
        self._black_box.goal(controller, command)
