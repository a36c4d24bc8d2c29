"""SaidStatus: the node's status in a simulated episode, so that its recording shows who commanded."""

from __future__ import annotations

from collections.abc import Callable

from act_inference_ros.evaluation.episodes.messages import DiagnosticStatus, KeyValue
from act_inference_ros.execution.states import SINCE, WHO_COMMANDS, Standing
from act_inference_ros.execution.supervisor import Supervisor
from act_inference_ros.interfaces import NANOSECONDS
from act_inference_ros.robot.topic_names import DEFAULT_NODE

TOPIC = f"{DEFAULT_NODE}/status"
PERIOD_S = 0.5


class SaidStatus:
    """Publishes `~/status` as the node does: when the state changes, and every PERIOD_S. Times are s."""

    def __init__(self, publish: Callable[[str, DiagnosticStatus, int], None]) -> None:
        self._publish = publish
        self._said: Standing | None = None
        self._next = 0.0

    def tell(self, supervisor: Supervisor, now: float) -> None:
        """Publish the state if necessary; call it at each tick."""
        standing = supervisor.standing
        if standing == self._said and now < self._next:
            return
        self._said, self._next = standing, now + PERIOD_S
        values = {
            "reason": standing.reason,
            "detail": standing.detail,
            SINCE: f"{standing.since:.3f}",
            WHO_COMMANDS: supervisor.who_commands,
        }
        pairs = [KeyValue(key, value) for key, value in values.items()]
        message = DiagnosticStatus(f"{DEFAULT_NODE}: status", standing.state.value, pairs)
        self._publish(TOPIC, message, round(now * NANOSECONDS))
