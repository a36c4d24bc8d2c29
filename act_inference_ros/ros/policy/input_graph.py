"""InputGraph: explains a missing input by the ROS graph: which nodes publish on its topic, and which type."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSProfile, ReliabilityPolicy, qos_check_compatible

from act_inference_ros.execution.reasons import NOT_ENABLED
from act_inference_ros.execution.states import Standing
from act_inference_ros.interfaces import COMPRESSED, RAW, TRANSPORTS
from act_inference_ros.observation.contract import ENVIRONMENT_STATE_INPUT, STATE_INPUT, state_input_on
from act_inference_ros.observation.refusal import Reason
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.ros.policy.command_graph import publisher_name

LOOK_S = 0.4
"""Period of looking at the graph for the same reason."""
_ABSENT = (f"{Reason.MISSING.value}: ", f"{Reason.STALE.value}: ")


@dataclass(frozen=True)
class Expected:
    """A subscription: its message type, and for a camera the parameter of the type and other possible topics."""

    topic: str
    message_type: str
    qos: QoSProfile
    because: str = ""
    instead: tuple[str, str] | None = None
    """A topic that may carry the input, and the parameter to set in that case."""


def expected_inputs(
    configuration: RobotConfiguration, sensor: QoSProfile, enabling: QoSProfile
) -> dict[str, list[Expected]]:
    """Return reason for a missing input -> its subscriptions, with the QoS of the two kinds."""
    joints = [Expected(topic, "sensor_msgs/msg/JointState", sensor) for topic in configuration.state_topics]
    inputs: dict[str, list[Expected]] = {STATE_INPUT: joints}
    if len(joints) > 1:
        inputs |= {state_input_on(each.topic): [each] for each in joints}
    if configuration.environment_state_topic:
        numbers = "std_msgs/msg/Float64MultiArray"
        inputs[ENVIRONMENT_STATE_INPUT] = [Expected(configuration.environment_state_topic, numbers, sensor)]
    for camera in configuration.cameras:
        name = f"camera.{camera.name}.transport"
        other, end = (COMPRESSED, f"/{COMPRESSED}") if camera.transport == RAW else (RAW, "")
        topic = camera.topic + end if end else camera.topic.removesuffix(f"/{COMPRESSED}")
        instead = (topic, f"{name} {other}?") if topic != camera.topic else None
        kind = TRANSPORTS[camera.transport]
        inputs[camera.name] = [Expected(camera.topic, kind, sensor, f": {name} is {camera.transport}", instead)]
    found = {f"{absent}{name}": each for name, each in inputs.items() for absent in _ABSENT}
    if configuration.enable_topic:
        found[NOT_ENABLED] = [Expected(configuration.enable_topic, "std_msgs/msg/Bool", enabling)]
    return found


class InputGraph:
    """Adds facts from the graph to a standing whose reason is a missing input. For one thread.

    It reads the graph only while there is such a reason, so only while the arm is not commanded.
    """

    def __init__(
        self, node: Node, inputs: Mapping[str, Sequence[Expected]], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._node = node
        self._inputs = inputs
        self._monotonic = monotonic
        self._looked = float("-inf")
        self._reason = ""
        self._found = ""

    def look(self, standing: Standing, again: bool = True) -> None:
        """Look at the graph if the reason is a missing input; with `again` even if that reason was examined before."""
        reason, now = standing.reason, self._monotonic()
        if reason in self._inputs and (reason != self._reason or (again and now >= self._looked + LOOK_S)):
            self._reason, self._looked = reason, now
            self._found = "; ".join(filter(None, map(self._sentence, self._inputs[reason])))

    def told(self, standing: Standing) -> Standing:
        """Return `standing` with the findings added."""
        if standing.reason != self._reason or not self._found:
            return standing
        return replace(standing, detail="; ".join(filter(None, (standing.detail, self._found))))

    def _sentence(self, expected: Expected) -> str:
        """Say what is wrong with the publishers of a topic; empty if no problem is known."""
        topic = self._node.resolve_topic_name(expected.topic)
        publishers = self._node.get_publishers_info_by_topic(topic)
        if not publishers:
            instead = expected.instead
            if instead is not None and self._node.count_publishers(self._node.resolve_topic_name(instead[0])):
                return f"{topic} has no publisher, but {instead[0]} has: {instead[1]}"
            return f"{topic} has no publisher"
        of_type = [each for each in publishers if each.topic_type == expected.message_type]
        if not of_type:
            wanted = f"{_shown(expected.message_type)} is expected{expected.because}"
            return f"{topic} carries {_shown(publishers[0].topic_type)} from {publisher_name(publishers[0])}, {wanted}"
        for each in of_type:
            compatible, why = qos_check_compatible(each.qos_profile, expected.qos)
            if compatible != QoSCompatibility.ERROR:
                return ""
        first = of_type[0]
        if first.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT != expected.qos.reliability:
            return f"{publisher_name(first)} publishes {topic} best-effort, reliable is asked for"
        return f"{publisher_name(first)} publishes {topic} with a QoS that does not fit: {why}"


def _shown(message_type: str) -> str:
    return message_type.replace("/msg/", "/")
