"""PolicyServices: uses the policy node's services, one request after the other, and reads its ~/status."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_srvs.srv import Trigger

from act_inference_ros.execution import reasons
from act_inference_ros.execution.operator import REQUESTS
from act_inference_ros.execution.states import State, worded

ANSWER_TIMEOUT_S = 2.0
"""Longest wait for an answer, wall time; then the robot continues without it."""

OF_PEOPLE = (reasons.OPERATOR, reasons.CLEARED, reasons.AT_START_POSE, reasons.STARTED_PAUSED)
"""Reasons of a requested pause or stop; the others are holds that lasted too long, and faults."""

_LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@dataclass(frozen=True)
class PolicyStatus:
    """The content of the policy node's status: state, reason, detail, and the start of the state, as texts."""

    state: str
    reason: str
    detail: str
    since: str

    @property
    def text(self) -> str:
        """A text for people: `stopped: does not follow (elbow is ...)`."""
        return worded(self.state, self.reason, self.detail)

    @property
    def does_not_follow(self) -> bool:
        """Whether it stopped because the arm did not follow its commands."""
        return self.state == State.STOPPED.value and self.reason == reasons.NOT_FOLLOWING

    @property
    def is_halted_by_somebody(self) -> bool:
        """Whether it is paused or stopped on request."""
        return self.state in (State.PAUSED.value, State.STOPPED.value) and self.reason in OF_PEOPLE


class PolicyServices:
    """Sends requests to the policy node. No method waits: call `answered` often; time and physics go on meanwhile.

    The status comes in the executor's thread; everything else is for the simulation's thread. Without a node's name, or
    if a service is missing, no request is sent.
    """

    def __init__(self, node: Node, policy_node: str) -> None:
        self.status: PolicyStatus | None = None
        """The newest status; None before the first."""
        self._logger = node.get_logger()
        self._clients: dict[str, Any] = {}
        self._waiting: deque[str] = deque()
        self._asked: tuple[str, Any, float] | None = None  # the request, its future, when it was sent
        self._accepted: set[str] = set()
        if policy_node:
            self._clients = {request: node.create_client(Trigger, f"{policy_node}/{request}") for request in REQUESTS}
            node.create_subscription(DiagnosticStatus, f"{policy_node}/status", self._on_status, _LATCHED)

    def ask(self, *requests: str) -> None:
        """Queue these requests; each is sent when the one before is answered. Earlier queued requests are dropped."""
        self._give_up()
        self._waiting = deque(requests)
        self._accepted -= set(requests)

    def accepted(self, request: str) -> bool:
        """Whether the answer to the last `request` was yes."""
        return request in self._accepted

    def answered(self) -> bool:
        """Send the next request if it is due; return whether no request and no answer is outstanding."""
        while True:
            if self._asked is not None and not self._is_over(*self._asked):
                return False
            if not self._waiting:
                return True
            self._begin(self._waiting.popleft())

    def _begin(self, request: str) -> None:
        client = self._clients.get(request)
        if client is not None and client.service_is_ready():
            self._asked = request, client.call_async(Trigger.Request()), time.monotonic()

    def _is_over(self, request: str, future: Any, asked_s: float) -> bool:
        if future.done():
            answer = future.result()
            if answer.success:
                self._accepted.add(request)
            else:
                self._logger.warning(f"{self._clients[request].srv_name}: {answer.message}")
        elif time.monotonic() - asked_s < ANSWER_TIMEOUT_S:
            return False
        else:
            name = self._clients[request].srv_name
            self._logger.warning(f"{name} did not answer within {ANSWER_TIMEOUT_S:g} s; going on")
        self._give_up()
        return True

    def _give_up(self) -> None:
        if self._asked is not None:
            request, future, _ = self._asked
            self._clients[request].remove_pending_request(future)
            self._asked = None

    def _on_status(self, message: DiagnosticStatus) -> None:
        values = {pair.key: pair.value for pair in message.values}
        wanted = (values.get(key, "") for key in ("reason", "detail", "since"))
        self.status = PolicyStatus(message.message, *wanted)
