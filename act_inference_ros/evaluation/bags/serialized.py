"""A bag's serialized messages for replay_bag, with their topics' types and QoS."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from act_inference_ros.errors import ConfigurationError, MissingDependencyError
from act_inference_ros.evaluation.bags.connections import connections_on
from act_inference_ros.evaluation.bags.finding import METADATA
from act_inference_ros.evaluation.bags.opening import open_bag, printable

SENSOR_PACKAGES = ("sensor_msgs", "tf2_msgs")
"""Messages of these packages contain sensor data; any other message in a bag may be a command to move."""

COMMAND = "command"
"""A topic with such a word in its name is no sensor: small arms take commands as sensor_msgs/JointState."""

MOST_TIME_NS = 2**31 * 1_000_000_000
"""Times of recording, ns, are less: more does not fit into a ROS time."""


@dataclass(frozen=True)
class Topic:
    """A recorded topic: `type` such as `sensor_msgs/msg/Image`, `qos` its publishers' profiles (rosbags' type)."""

    name: str
    type: str
    count: int
    qos: tuple[Any, ...]

    @property
    def is_sensor(self) -> bool:
        """Whether its replay is expected to move nothing."""
        return self.type.split("/")[0] in SENSOR_PACKAGES and COMMAND not in self.name


@dataclass(frozen=True)
class Recorded:
    """One message: `time_ns` is when it was recorded."""

    topic: str
    time_ns: int
    data: bytes


class BagSource:
    """An open bag; a context manager.

    Raises ConfigurationError if `path` is no readable rosbag2 directory, MissingDependencyError without rosbags.
    """

    def __init__(self, path: Path) -> None:
        if not (path / METADATA).is_file():
            raise ConfigurationError(f"{path}: expected the directory of a rosbag2 recording (with {METADATA})")
        self._path = path
        try:
            self._bag = open_bag(path)
        except MissingDependencyError:
            raise
        except Exception as error:  # the parser of a damaged file may raise anything
            raise ConfigurationError(f"{path}: cannot be read: {printable(error)}") from error
        self.topics = tuple(
            Topic(each.topic, each.msgtype, each.msgcount, tuple(getattr(each.ext, "offered_qos_profiles", ())))
            for each in self._bag.reader.connections
        )
        for topic in self.topics:
            if not topic.name.isprintable() or not topic.type.isprintable():
                self._bag.reader.close()
                raise ConfigurationError(f"{path}: expected names of topics and types, got {printable(topic.name)}")

    def __enter__(self) -> BagSource:
        return self

    def __exit__(self, *_: object) -> None:
        self._bag.reader.close()

    def chosen(self, names: Sequence[str]) -> tuple[Topic, ...]:
        """Return the topics with these names; without names, the sensor topics.

        Raises ConfigurationError if there are none, or if one has several types.
        """
        known = [topic.name for topic in self.topics]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise ConfigurationError(f"topics {', '.join(unknown)}: not in the bag, which has {', '.join(known)}")
        chosen = tuple(topic for topic in self.topics if (topic.name in names if names else topic.is_sensor))
        if not any(topic.count for topic in chosen):
            raise ConfigurationError(f"no messages to replay: the bag has {', '.join(known) or 'no topics'}")
        types = {topic.name: topic.type for topic in chosen}
        if several := sorted({topic.name for topic in chosen if topic.type != types[topic.name]}):
            raise ConfigurationError(f"topics {', '.join(several)}: expected one type, the bag has several on each")
        return chosen

    def messages(self, topics: Collection[Topic]) -> Iterator[Recorded]:
        """Yield the messages of these topics in the order of recording. Raises ConfigurationError for a damaged one."""
        connections = connections_on(self._bag.reader, {topic.name for topic in topics})
        try:
            for connection, time_ns, data in self._bag.reader.messages(connections):
                if not 0 <= time_ns < MOST_TIME_NS:
                    raise ValueError(f"expected times of recording from 0 to {MOST_TIME_NS - 1} ns, got {time_ns}")
                yield Recorded(connection.topic, time_ns, bytes(self._bag.unpacked(data)))
        except Exception as error:
            raise ConfigurationError(f"{self._path}: damaged: {printable(error)}") from error
