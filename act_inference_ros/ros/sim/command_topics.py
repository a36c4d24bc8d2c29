"""The simulated robot's command topics: messages wait here until the simulation asks for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from rclpy.node import Node

from act_inference_ros.interfaces import NANOSECONDS, command_interface, seconds
from act_inference_ros.ros.messages import message_class
from act_inference_ros.simulation.command_inputs import (
    DEMO_CONTROLLERS,
    CommandInput,
    ControllerOptions,
    command_input,
    demo_topic,
)
from act_inference_ros.simulation.controllers import SimulatedController

_LOG_PERIOD_S = 1.0
_QUEUE_LENGTH = 100
_QUEUE_DEPTH = 10

_Waiting = tuple[int, str, CommandInput, Any]  # stamp in ns, topic, the controller to take it, the message


class CommandTopics:
    """Subscribes to the command topics of one interface and applies the messages when the simulation asks.

    Callbacks run in the executor's thread and only queue; everything else is for the simulation's thread.
    """

    def __init__(self, node: Node, interface: str, now_ns: Callable[[], int], options: ControllerOptions) -> None:
        self.topics: list[str] = []
        self.controllers: dict[str, SimulatedController] = {}
        self.refused_count = 0
        self.stale_count = 0
        self._logger = node.get_logger()
        self._now_ns = now_ns
        self._inputs: list[CommandInput] = []
        # A deque's append and popleft are atomic, so the two threads need no lock.
        self._queue: deque[_Waiting] = deque(maxlen=_QUEUE_LENGTH)
        self._accept_after_ns: int | None = None
        for name, joints in DEMO_CONTROLLERS.items():
            taker = command_input(interface, joints, options)
            self.controllers[name] = taker.controller
            self._subscribe(node, interface, demo_topic(interface, name), taker)

    def close(self, positions: npt.NDArray[np.float32]) -> None:
        """Hold `positions` (6,) and take no command until `open`."""
        self._accept_after_ns = None
        for each, own in self._parts():
            each.controller.hold(positions[own].astype(np.float64))

    def open(self, accept_after_ns: int) -> None:
        """Take commands again, except those stamped (without a stamp: received) before `accept_after_ns`."""
        self._accept_after_ns = accept_after_ns

    def apply(self, now_s: float, positions: npt.NDArray[np.float32], velocities: npt.NDArray[np.float32]) -> int:
        """Give every waiting command to its controller; the measured state is (6,). Returns how many were accepted."""
        accepted = 0
        places = {id(each): own for each, own in self._parts()}
        while self._queue:
            time_ns, topic, taker, message = self._queue.popleft()
            if self._accept_after_ns is None or time_ns < self._accept_after_ns:
                self.stale_count += 1
                continue
            own = places[id(taker)]
            reason = taker.take(message, now_s, positions[own].astype(np.float64), velocities[own].astype(np.float64))
            if reason is None:
                accepted += 1
            else:
                self.refused_count += 1
                self._logger.warning(f"command refused: {topic}: {reason}", throttle_duration_sec=_LOG_PERIOD_S)
        return accepted

    def target(
        self, now_s: float, positions: npt.NDArray[np.float32], velocities: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float64]:
        """Return all joints' targets (6,) at `now_s`; the measured state is (6,). Call it once per control step."""
        measured = positions.astype(np.float64), velocities.astype(np.float64)
        return np.concatenate([each.target(now_s, *(part[own] for part in measured)) for each, own in self._parts()])

    def _parts(self) -> list[tuple[CommandInput, slice]]:
        """Return each controller with the indices of its joints among the robot's."""
        parts, start = [], 0
        for each in self._inputs:
            parts.append((each, slice(start, start + len(each.controller.joints))))
            start += len(each.controller.joints)
        return parts

    def _subscribe(self, node: Node, interface: str, name: str, taker: CommandInput) -> None:
        topic = node.resolve_topic_name(name)

        def receive(message: Any) -> None:
            header = getattr(message, "header", None)
            stamp_ns = 0 if header is None else round(seconds(header.stamp) * NANOSECONDS)
            self._queue.append((stamp_ns or self._now_ns(), topic, taker, message))

        self._inputs.append(taker)
        kind = message_class(command_interface(interface).message_type)
        node.create_subscription(kind, topic, receive, _QUEUE_DEPTH)
        self.topics.append(topic)
