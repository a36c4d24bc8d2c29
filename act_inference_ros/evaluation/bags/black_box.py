"""The content of a dump of the node's black box, for people: read from the bag; no inference is repeated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from act_inference_ros.black_box import dumps
from act_inference_ros.errors import ConfigurationError, ObservationError
from act_inference_ros.evaluation.bags.bag import Bag
from act_inference_ros.execution import controller_state
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.robot.parameter_file import read_configuration
from act_inference_ros.robot.topic_names import DEFAULT_NODE

_STATUS, _INFERENCE, _IMAGES, _CHUNKS = "/status", "/black_box/inference", "/compressed", "/action_chunk"


@dataclass
class Traffic:
    """The messages of one topic; times in s after the dump's moment."""

    type: str
    count: int = 0
    first: float = 0.0
    last: float = 0.0
    longest_gap: float = 0.0

    def add(self, at: float) -> None:
        """Count a message."""
        if self.count:
            self.longest_gap = max(self.longest_gap, at - self.last)
        else:
            self.first = at
        self.last = at
        self.count += 1

    @property
    def rate(self) -> float:
        """Messages per second, 0.0 for fewer than two."""
        return (self.count - 1) / (self.last - self.first) if self.last > self.first else 0.0


@dataclass(frozen=True)
class Said:
    """The node's status or an inference's result, `at` s after the dump's moment."""

    at: float
    text: str
    values: Mapping[str, str]


@dataclass
class DumpContent:
    """Everything that is shown of a dump. `moment_s` is the time of its reason on the node's clock, in s.

    `measured`, `told` (each controller's last target) and `wanted` (the chunk's first row, in the policy's units) map
    joints to the last values at that moment; `reference` and `feedback` to the desired and measured positions that a
    trajectory controller published. `images` has the last JPEG of each camera. `problems` says what is unreadable.
    """

    path: Path
    about: Mapping[str, Any]
    moment_s: float
    span_s: float
    traffic: dict[str, Traffic] = field(default_factory=dict)
    statuses: list[Said] = field(default_factory=list)
    inferences: list[Said] = field(default_factory=list)
    measured: dict[str, float] = field(default_factory=dict)
    told: dict[str, float] = field(default_factory=dict)
    wanted: dict[str, float] = field(default_factory=dict)
    reference: dict[str, float] = field(default_factory=dict)
    feedback: dict[str, float] = field(default_factory=dict)
    images: dict[str, bytes] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read_dump(path: Path) -> DumpContent:
    """Read a dump. Raises ConfigurationError if its description cannot be read, MissingDependencyError without rosbags.

    Other unreadable parts are listed in the content's `problems`.
    """
    about = dumps.read_about(path)
    with Bag(path) as bag:
        told_ns = about.get("time_ns")
        moment_s = told_ns * 1e-9 if isinstance(told_ns, int) else bag.end_s
        content = DumpContent(path, about, moment_s, bag.end_s - bag.start_s)
        configuration = _configuration(content)
        for topic, types in bag.types.items():
            content.traffic[topic] = Traffic(", ".join(sorted(types)))
            if topic.endswith(f"/{controller_state.TOPIC}"):
                for kind in types:
                    bag.learn(kind)  # rosbags does not know control_msgs
        for topic, received, message in bag.messages(list(bag.types)):
            content.traffic[topic].add(received - moment_s)
            if message is not None:
                _take(content, configuration, topic, received - moment_s, message)
        content.problems += bag.problems
    return content


def _configuration(content: DumpContent) -> RobotConfiguration | None:
    try:
        return read_configuration(content.path / dumps.PARAMETERS, node=str(content.about.get("node", DEFAULT_NODE)))
    except ConfigurationError as error:
        content.problems.append(f"what the controllers were told is not shown: {error}")
        return None


def _take(content: DumpContent, configuration: RobotConfiguration | None, topic: str, at: float, message: Any) -> None:
    node = str(content.about.get("node", ""))
    if topic == node + _STATUS:
        content.statuses.append(_said(at, message))
    elif topic == node + _INFERENCE:
        content.inferences.append(_said(at, message))
    elif at > 0.0:  # the values below are shown as they were at the moment
        return
    elif topic.startswith(f"{node}/black_box/") and topic.endswith(_IMAGES):
        content.images[str(message.header.frame_id)] = bytes(message.data)
    elif topic == node + _CHUNKS:
        content.wanted.update(zip(message.joint_names, map(float, message.points[0].positions), strict=False))
    elif configuration is not None:
        _take_joints(content, configuration, node, topic, message)


def _take_joints(content: DumpContent, configuration: RobotConfiguration, node: str, topic: str, message: Any) -> None:
    if any(_is(topic, state) for state in configuration.state_topics):
        content.measured.update(zip(message.name, map(float, message.position), strict=False))
    for controller in configuration.controllers:
        if _is(topic, f"{controller.topic.rpartition('/')[0]}/{controller_state.TOPIC}"):
            for column, fields in (
                (content.reference, controller_state.WANTED),
                (content.feedback, controller_state.MEASURED),
            ):
                positions = controller_state.positions_in(message, fields)
                column.update(zip(map(str, message.joint_names), positions, strict=False))
            continue
        if controller.interface.message_type not in content.traffic[topic].type:
            continue
        if _is(topic, controller.topic) or topic == f"{node}/shadow/{controller.name}":
            try:
                command = controller.interface.read(controller.joints, message)
            except ObservationError as error:
                content.problems.append(f"{topic}: a command cannot be read: {error}")
                continue
            if len(command.positions):
                content.told.update(zip(controller.joints, command.positions[-1].tolist(), strict=True))


def _said(at: float, message: Any) -> Said:
    return Said(at, str(message.message), {str(each.key): str(each.value) for each in message.values})


def _is(topic: str, name: str) -> bool:
    """Whether a topic that ROS resolved is the one that the parameter file calls `name`."""
    return bool(name) and (topic == name or topic.endswith("/" + name.lstrip("~/")))
