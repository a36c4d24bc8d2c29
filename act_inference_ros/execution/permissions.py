"""Permissions: who else decides whether the arm is commanded: listeners, other publishers, the enabling topic."""

from __future__ import annotations

from act_inference_ros.execution.reasons import NOBODY_LISTENS, NOT_ENABLED, SOMEBODY_ELSE
from act_inference_ros.robot.configuration import RobotConfiguration


class Permissions:
    """Collects what is reported about the ROS graph and `enable.topic`; says what forbids commanding.

    Without `closed_loop` nobody executes the plan, so no listener is needed.
    """

    def __init__(self, configuration: RobotConfiguration, closed_loop: bool) -> None:
        self._closed_loop = closed_loop
        self._listeners: dict[str, int] = {}
        self._others: dict[str, tuple[str, ...]] = {}
        self._enabled: tuple[bool, float] | None = None
        self.configure(configuration)

    def configure(self, configuration: RobotConfiguration) -> None:
        """Take new live parameters."""
        self._topics = {controller.name: controller.topic for controller in configuration.controllers}
        self._share_topics = configuration.share_topics
        self._enable_topic = configuration.enable_topic
        self._enable_timeout = configuration.enable_timeout

    def heard(self, controller: str, listeners: int, others: tuple[str, ...]) -> None:
        """Note the number of listeners on a controller's command topic, and the names of its other publishers."""
        self._listeners[controller] = listeners
        self._others[controller] = others

    def enable(self, allowed: bool, now: float) -> None:
        """Note a message of `enable.topic`."""
        self._enabled = allowed, now

    def disable(self) -> None:
        """Forget the last message of `enable.topic`: its time is no longer valid."""
        self._enabled = None

    def forbidden(self, now: float) -> tuple[str, str] | None:
        """Return why the arm may not be commanded now (reason and detail), or None."""
        if self._enable_topic:
            if self._enabled is None:
                return NOT_ENABLED, f"nothing has come on {self._enable_topic}"
            allowed, when = self._enabled
            if not allowed:
                return NOT_ENABLED, f"{self._enable_topic} says false"
            if now - when > self._enable_timeout:
                return NOT_ENABLED, f"{self._enable_topic} was last heard {now - when:.2f} s ago"
        if not self._closed_loop:
            return None
        for controller, topic in self._topics.items():
            if not self._share_topics and self._others.get(controller):
                names = ", ".join(self._others[controller])
                return SOMEBODY_ELSE, f"{names} on {topic}, the topic of {controller}; end it, or set share_topics"
        deaf = [f"{name} on {topic}" for name, topic in self._topics.items() if not self._listeners.get(name)]
        if deaf:
            return NOBODY_LISTENS, f"{', '.join(deaf)}; is the controller running, is the topic right?"
        return None
