"""RobotObserver: takes messages from a bag or from the live graph, and notes the facts that a draft needs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.drafting.facts import CommandTopic, ImageTopic, RobotFacts, StateTopic, Track, Vector
from act_inference_ros.errors import ObservationError
from act_inference_ros.interfaces import COMMAND_INTERFACES, COMPRESSED, RAW, TRANSPORTS
from act_inference_ros.observation.compressed import data_of, read_header

IMAGE, COMPRESSED_IMAGE = TRANSPORTS[RAW], TRANSPORTS[COMPRESSED]
JOINT_STATE = "sensor_msgs/msg/JointState"
STRING = "std_msgs/msg/String"
IMAGES = (IMAGE, COMPRESSED_IMAGE)
COMMANDS: Mapping[str, str] = {
    row.message_type: name
    for name, row in COMMAND_INTERFACES.items()
    if row.action is None and row.message_type != JOINT_STATE
}
"""Type of the messages -> interface; JointState is left out, since it measures more often than it commands."""
JOINT_STATE_COMMANDS = next(
    name for name, row in COMMAND_INTERFACES.items() if row.action is None and row.message_type == JOINT_STATE
)
DESCRIPTION = "robot_description"

MOST_SAMPLES = 5000
"""Most messages kept per topic; later messages still count for rates and ranges."""
MOST_TOPICS = 100
MOST_JOINTS = 1000
"""Most joints of a topic, and of a message."""
MOST_NUMBERS = 500_000
"""Most numbers kept per topic: as many samples as may be of a hundred joints, fewer of more joints."""
LONGEST_NAME = 256
"""Most characters of a joint's name."""
_OURS = re.compile(r"/(action_chunk|shadow/\w+)")
_DEPTH = re.compile(r"16UC|32FC|mono16|compressedDepth", re.IGNORECASE)
_COMMANDING = re.compile(r"command|cmd|target|goal|desired|reference|set_?point", re.IGNORECASE)

Places = npt.NDArray[np.int32]


def is_wanted(topic: str, kind: str) -> bool:
    """Whether a topic of this type is useful for a draft; topics of the policy node itself are not."""
    if _OURS.search(topic):
        return False
    if kind == STRING:
        return topic.rsplit("/", 1)[-1] == DESCRIPTION
    return kind in IMAGES or kind == JOINT_STATE or kind in COMMANDS


def is_commanding(topic: str) -> bool:
    """Whether the name of a JointState topic says that it commands, where others measure."""
    return bool(_COMMANDING.search(topic))


class RobotObserver:
    """Give it every message with `take`; `facts` says what was seen. A message that cannot be read is a problem."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.problems: list[str] = []
        self._images: dict[str, tuple[str, int, int]] = {}
        self._joints: dict[str, _Positions] = {}
        self._commands: dict[str, _Commands] = {}
        self._description = ("", "")
        self._times: dict[str, tuple[int, float, float]] = {}

    def take(self, topic: str, kind: str, received: float, message: Any) -> None:
        """Note a message of a wanted topic (see `is_wanted`), received at this time in s."""
        if topic not in self._times and len(self._times) >= MOST_TOPICS:
            self._tell(f"only the first {MOST_TOPICS} topics are looked at", "only the first ")
            return
        count, first, _ = self._times.get(topic, (0, received, received))
        self._times[topic] = (count + 1, first, received)
        if kind in IMAGES:
            if topic not in self._images:
                self._take_image(topic, kind, message)
        elif kind == STRING:
            self._description = (message.data, topic)
        elif kind == JOINT_STATE:
            if len(message.name) > MOST_JOINTS:
                told = f"a message of {len(message.name)} joints is left out; expected at most {MOST_JOINTS}"
                self._tell(f"{topic}: {told}", f"{topic}: ")
                return
            self._joints.setdefault(topic, _Positions()).take(received, message.name, message.position)
        elif kind in COMMANDS:
            self._commands.setdefault(topic, _Commands(COMMANDS[kind])).take(received, message)

    def facts(self) -> RobotFacts:
        """Return the facts seen so far."""
        states = {topic: joints for topic, joints in self._joints.items() if joints.names}
        return RobotFacts(
            self.name,
            tuple(ImageTopic(topic, *what, rate=self._rate(topic)) for topic, what in sorted(self._images.items())),
            tuple(
                StateTopic(topic, each.names, each.lowest, each.highest, self._rate(topic))
                for topic, each in sorted(states.items())
                if not is_commanding(topic)
            ),
            (
                *(each.topic(topic) for topic, each in sorted(self._commands.items())),
                *(
                    CommandTopic(topic, JOINT_STATE_COMMANDS, each.names, "its messages name them", len(each.names))
                    for topic, each in sorted(states.items())
                    if is_commanding(topic)
                ),
            ),
            {topic: each.track for topic, each in states.items()},
            *self._description,
            tuple(self.problems),
        )

    def _take_image(self, topic: str, kind: str, message: Any) -> None:
        words = message.encoding if kind == IMAGE else message.format
        if _DEPTH.search(words):
            return
        if kind == IMAGE:
            self._images[topic] = (RAW, int(message.height), int(message.width))
            return
        try:
            header = read_header(data_of(message))
        except ObservationError as error:
            self._tell(f"{topic}: {error}", f"{topic}: ")
            return
        self._images[topic] = (COMPRESSED, header.height, header.width)

    def _tell(self, problem: str, beginning: str) -> None:
        """Note a problem, unless there is one already that begins like this."""
        if not any(each.startswith(beginning) for each in self.problems):
            self.problems.append(problem)

    def _rate(self, topic: str) -> float | None:
        count, first, last = self._times[topic]
        return (count - 1) / (last - first) if last > first else None


class _Samples:
    """The numbers of one topic's messages: when each came, its numbers, and their places in a row; within bounds."""

    def __init__(self) -> None:
        self.kept: list[tuple[float, Vector, Places]] = []
        self._numbers = 0

    def add(self, time: float, numbers: Any, places: Any = ()) -> None:
        """Keep the numbers of a message that came at this time, s, if there is still room for them."""
        if len(self.kept) < MOST_SAMPLES and self._numbers + len(numbers) <= MOST_NUMBERS:
            self._numbers += len(numbers)
            self.kept.append((time, np.array(numbers, dtype=np.float64), np.array(places, dtype=np.int32)))


class _Positions:
    """The positions of the joints of one JointState topic, whose messages may each have some of them."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, float]] = {}
        self._places: dict[str, int] = {}
        self._samples = _Samples()

    def take(self, time: float, names: Any, positions: Any) -> None:
        """Note the positions of joints that were seen before, or for which there is still room."""
        if len(names) != len(positions):
            return
        now: dict[int, float] = {}
        for name, value in zip(map(str, names), map(float, positions), strict=True):
            if not math.isfinite(value) or not self._has_room(name):
                continue
            lowest, highest = self._seen.get(name, (value, value))
            self._seen[name] = (min(lowest, value), max(highest, value))
            now[self._places.setdefault(name, len(self._places))] = value
        self._samples.add(time, list(now.values()), list(now))

    def _has_room(self, name: str) -> bool:
        return name in self._seen or (len(self._seen) < MOST_JOINTS and len(name) <= LONGEST_NAME)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._seen)

    @property
    def lowest(self) -> Vector:
        return np.array([lowest for lowest, _ in self._seen.values()])

    @property
    def highest(self) -> Vector:
        return np.array([highest for _, highest in self._seen.values()])

    @property
    def track(self) -> Track:
        samples = self._samples.kept[: MOST_NUMBERS // max(1, len(self._seen))]
        positions = np.full((len(samples), len(self._seen)), np.nan)
        for row, (_, values, places) in zip(positions, samples, strict=True):
            row[places] = values
        return Track(np.array([time for time, _, _ in samples]), positions)


class _Commands:
    """The messages of one command topic: the joints that they name, or their numbers if they name none."""

    def __init__(self, interface: str) -> None:
        self._interface = interface
        self._joints: tuple[str, ...] = ()
        self._samples = _Samples()

    def take(self, time: float, message: Any) -> None:
        names = getattr(message, "joint_names", None)
        if len(message.data if names is None else names) > MOST_JOINTS:
            return
        if names is None:
            self._samples.add(time, message.data)
        else:
            named = (name for name in map(str, names) if len(name) <= LONGEST_NAME)
            self._joints = tuple(dict.fromkeys((*self._joints, *named)))[:MOST_JOINTS]

    def topic(self, topic: str) -> CommandTopic:
        samples = self._samples.kept
        if not samples:
            source = "its messages name them" if self._joints else ""
            return CommandTopic(topic, self._interface, self._joints, source, len(self._joints) or None)
        width = len(samples[-1][1])
        alike = [(time, row) for time, row, _ in samples if len(row) == width]
        values = np.array([row for _, row in alike]).reshape(-1, width)
        return CommandTopic(
            topic, self._interface, width=width, times=np.array([time for time, _ in alike]), values=values
        )
