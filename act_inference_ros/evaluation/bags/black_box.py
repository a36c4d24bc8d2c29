"""The content of a dump of the node's black box, for people: read from the bag; no inference is repeated."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from act_inference_ros.black_box import dumps
from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.bags.bag import Bag
from act_inference_ros.execution import controller_state
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.robot.parameter_file import read_configuration
from act_inference_ros.robot.topic_names import DEFAULT_NODE

MOST_SAID = 10_000
"""Most messages of the status, and of the inferences, that are kept; a dump of the node has some thousands."""
SHOWN_VALUES = ("reason", "detail", "t_obs", "inference_s", "error")
"""The values of a status or an inference that are kept."""
MOST_JOINTS = 1000
MOST_CAMERAS = 32
LARGEST_IMAGE_BYTES = 2**22
LONGEST_TEXT = 500
"""Most characters of a text from a dump."""
_LATEST_NS = 2**63
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
    trajectory controller published. `images` has the last JPEG of each camera. `not_shown` says
    once for each topic why a message on it is not shown, and `problems` that and all else that is unreadable.
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
    not_shown: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read_dump(path: Path) -> DumpContent:
    """Read a dump. Raises ConfigurationError if its description cannot be read, MissingDependencyError without rosbags.

    Other unreadable parts are listed in the content's `problems`.
    """
    about = dumps.read_about(path)
    with Bag(path) as bag:
        moment_s = _moment_s(about)
        content = DumpContent(path, about, bag.end_s if moment_s is None else moment_s, bag.end_s - bag.start_s)
        if moment_s is None and "time_ns" in about:
            content.problems.append(
                f"{dumps.ABOUT}: time_ns: expected a time in ns, got {one_line(about['time_ns'], 50)}; "
                "times are shown relative to the dump's last message"
            )
        configuration = _configuration(content)
        for topic, types in bag.types.items():
            content.traffic[topic] = Traffic(", ".join(sorted(types)))
            if topic.endswith(f"/{controller_state.TOPIC}"):
                for kind in types:
                    bag.learn(kind)  # rosbags does not know control_msgs
        for topic, received, message in bag.messages(list(bag.types)):
            content.traffic[topic].add(received - content.moment_s)
            if message is not None:
                _take(content, configuration, topic, received - content.moment_s, message)
        content.problems += [f"{one_line(topic)}: {why}" for topic, why in content.not_shown.items()]
        content.problems += bag.problems
    return content


def one_line(told: object, longest: int = LONGEST_TEXT) -> str:
    """Return something out of a dump as one printable line of at most `longest` characters."""
    line = " ".join(str(told)[:longest].split())
    return "".join(each if each.isprintable() else "?" for each in line)


def _moment_s(about: Mapping[str, Any]) -> float | None:
    """Return the time of the dump's reason on the node's clock, s; None if the description states none."""
    told_ns = about.get("time_ns")
    if not isinstance(told_ns, int) or isinstance(told_ns, bool) or not 0 <= told_ns < _LATEST_NS:
        return None
    return told_ns * 1e-9


def _configuration(content: DumpContent) -> RobotConfiguration | None:
    path = content.path / dumps.PARAMETERS
    try:
        return read_configuration(path, node=one_line(content.about.get("node", DEFAULT_NODE)))
    except ConfigurationError as error:
        content.problems.append(f"what the controllers were told is not shown: {error}")
        return None


def _take(content: DumpContent, configuration: RobotConfiguration | None, topic: str, at: float, message: Any) -> None:
    """Note what a message says. Any type may be recorded on any topic; what cannot be shown is told once per topic."""
    try:
        _show(content, configuration, topic, at, message)
    except (AttributeError, TypeError, ValueError, LookupError, ArithmeticError) as error:
        why = one_line(error) or type(error).__name__
        content.not_shown.setdefault(topic, f"a message of it cannot be shown: {why}")


def _show(content: DumpContent, configuration: RobotConfiguration | None, topic: str, at: float, message: Any) -> None:
    node = str(content.about.get("node", ""))
    if topic == node + _STATUS:
        _keep_said(content, content.statuses, topic, _said(at, message))
    elif topic == node + _INFERENCE:
        _keep_said(content, content.inferences, topic, _said(at, message))
    elif at > 0.0:  # the values below are shown as they were at the moment
        return
    elif topic.startswith(f"{node}/black_box/") and topic.endswith(_IMAGES):
        _keep_image(content, topic, message)
    elif topic == node + _CHUNKS:
        _keep(content.wanted, message.joint_names, message.points[0].positions)
    elif configuration is not None:
        _take_joints(content, configuration, node, topic, message)


def _keep_said(content: DumpContent, kept: list[Said], topic: str, said: Said) -> None:
    if len(kept) < MOST_SAID:
        kept.append(said)
    else:
        content.not_shown.setdefault(topic, f"only the first {MOST_SAID} messages are shown")


def _keep_image(content: DumpContent, topic: str, message: Any) -> None:
    camera = one_line(message.header.frame_id)
    if len(message.data) > LARGEST_IMAGE_BYTES:
        raise ValueError(f"expected an image of at most {LARGEST_IMAGE_BYTES} bytes, got {len(message.data)}")
    if camera in content.images or len(content.images) < MOST_CAMERAS:
        content.images[camera] = bytes(message.data)
    else:
        content.not_shown.setdefault(topic, f"only the first {MOST_CAMERAS} cameras are shown")


def _keep(column: dict[str, float], joints: Sequence[Any], positions: Sequence[Any]) -> None:
    """Note the positions of joints, which are in the same order; of no more joints than any arm has."""
    for joint, position in itertools.islice(zip(joints, positions, strict=False), MOST_JOINTS):
        name = one_line(joint)
        if name in column or len(column) < MOST_JOINTS:
            column[name] = float(position)


def _take_joints(content: DumpContent, configuration: RobotConfiguration, node: str, topic: str, message: Any) -> None:
    if any(_is(topic, state) for state in configuration.state_topics):
        _keep(content.measured, message.name, message.position)
    for controller in configuration.controllers:
        if _is(topic, f"{controller.topic.rpartition('/')[0]}/{controller_state.TOPIC}"):
            for column, fields in (
                (content.reference, controller_state.WANTED),
                (content.feedback, controller_state.MEASURED),
            ):
                _keep(column, message.joint_names, controller_state.positions_in(message, fields))
            continue
        if controller.interface.message_type not in content.traffic[topic].type:
            continue
        if _is(topic, controller.topic) or topic == f"{node}/shadow/{controller.name}":
            command = controller.interface.read(controller.joints, message)
            if len(command.positions):
                content.told.update(zip(controller.joints, command.positions[-1].tolist(), strict=True))


def _said(at: float, message: Any) -> Said:
    values = {str(each.key): one_line(each.value) for each in message.values if each.key in SHOWN_VALUES}
    return Said(at, one_line(message.message), values)


def _is(topic: str, name: str) -> bool:
    """Whether a topic that ROS resolved is the one that the parameter file calls `name`."""
    return bool(name) and (topic == name or topic.endswith("/" + name.lstrip("~/")))
