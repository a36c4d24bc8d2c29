"""Listener: the witness's ears. It subscribes to the topics and writes a recording, with the publishers' own times."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from trajectory_msgs.msg import JointTrajectory

from act_inference_ros.interfaces import command_interface
from act_inference_ros.ros.messages import message_class
from test.witness.good_inputs import Looked, is_good
from test.witness.recording import CHUNK, COMMAND, INPUT, STATUS, Contract, Event, Recording

SENSORS = QoSProfile(depth=200, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=500)
LATCHED = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
METRONOME_S = 0.005


class Listener:
    """Records what goes over the topics, on a node of its own.

    `inputs` maps each input to its topic and message class. `lateness` says how late a thread woke meanwhile.
    """

    def __init__(self, node: Any, contract: Contract, inputs: Mapping[str, tuple[str, Any]]) -> None:
        self.recording = Recording()
        self._node, self._contract = node, contract
        self._commands: dict[str, Any] = {}
        self._deaf: dict[str, float] = {}
        """Controller that is not listened to -> since when, s."""
        for name, (topic, kind) in inputs.items():
            self._subscribe(kind, topic, SENSORS, INPUT, name)
        self._subscribe(JointTrajectory, "/policy_node/action_chunk", RELIABLE, CHUNK, "chunk")
        self._subscribe(DiagnosticStatus, "/policy_node/status", LATCHED, STATUS, "status")
        for name in contract.controllers:
            self.hear(name)
        self._late: list[tuple[float, float]] = []
        self._over = threading.Event()
        threading.Thread(target=self._beat, daemon=True).start()

    def hear(self, controller: str) -> None:
        """Listen to a controller's command topic."""
        kind = message_class(command_interface(self._contract.controllers[controller].interface).message_type)
        self._commands[controller] = self._subscribe(kind, f"/{controller}/command", RELIABLE, COMMAND, controller)
        if controller in self._deaf:
            self.recording.deaf.append((controller, self._deaf.pop(controller), time.time()))

    def go_deaf(self, controller: str) -> None:
        """Listen to it no more: who listens counts as a controller."""
        self._deaf[controller] = time.time()
        self._node.destroy_subscription(self._commands.pop(controller))

    def close(self) -> None:
        self._over.set()

    def latest_lateness(self, begin: float, end: float) -> float:
        """How late a thread of this process woke at worst between two times, s."""
        return max((late for when, late in list(self._late) if begin <= when <= end), default=0.0)

    def statuses(self, after: float) -> Sequence[Event]:
        """The statuses since a time."""
        return [event for event in self.recording.of(STATUS) if event.time > after]

    def _subscribe(self, kind: Any, topic: str, qos: QoSProfile, event: str, name: str) -> Any:
        def note(message: Any, info: Any) -> None:
            if event == INPUT:  # images of minutes are not kept
                wanted = self._contract.inputs[name]
                places = dict(zip(message.name, message.position, strict=False)) if hasattr(message, "name") else {}
                message = Looked(getattr(message, "header", None), is_good(message, wanted), places)
            self.recording.events.append(Event(info["source_timestamp"] * 1e-9, event, name, message))

        return self._node.create_subscription(kind, topic, note, qos)

    def _beat(self) -> None:
        due = time.monotonic()
        while not self._over.is_set():
            due += METRONOME_S
            time.sleep(max(0.0, due - time.monotonic()))
            late = time.monotonic() - due
            self._late.append((time.time(), late))
            due = max(due, time.monotonic())
