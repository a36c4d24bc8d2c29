"""A bag's serialized messages for replay_bag, with their topics' types and QoS."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from act_inference_ros.errors import ConfigurationError, MissingDependencyError
from act_inference_ros.evaluation.bags.connections import connections_on

SENSOR_PACKAGES = ("sensor_msgs", "tf2_msgs")
"""Messages of these packages contain sensor data; any other message in a bag may be a command to move."""

COMMAND = "command"
"""A topic with such a word in its name is no sensor: small arms take commands as sensor_msgs/JointState."""


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
        try:
            from rosbags.rosbag2 import Reader, ReaderError
        except ModuleNotFoundError as error:
            raise MissingDependencyError("replay_bag needs rosbags: pip install rosbags") from error
        if not (path / "metadata.yaml").is_file():
            raise ConfigurationError(f"{path}: expected the directory of a rosbag2 recording (with metadata.yaml)")
        try:
            self._reader = Reader(path)
            self._reader.open()
        except (ReaderError, OSError) as error:
            raise ConfigurationError(f"{path}: cannot be read: {error}") from error
        self.topics = tuple(
            Topic(each.topic, each.msgtype, each.msgcount, tuple(getattr(each.ext, "offered_qos_profiles", ())))
            for each in self._reader.connections
        )

    def __enter__(self) -> BagSource:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    def chosen(self, names: Sequence[str]) -> tuple[Topic, ...]:
        """Return the topics with these names; without names, the sensor topics. Raises ConfigurationError if empty."""
        known = [topic.name for topic in self.topics]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise ConfigurationError(f"topics {', '.join(unknown)}: not in the bag, which has {', '.join(known)}")
        chosen = tuple(topic for topic in self.topics if (topic.name in names if names else topic.is_sensor))
        if not any(topic.count for topic in chosen):
            raise ConfigurationError(f"no messages to replay: the bag has {', '.join(known) or 'no topics'}")
        return chosen

    def messages(self, topics: Collection[Topic]) -> Iterator[Recorded]:
        """Yield the messages of these topics in the order of recording."""
        connections = connections_on(self._reader, {topic.name for topic in topics})
        for connection, time_ns, data in self._reader.messages(connections):
            yield Recorded(connection.topic, time_ns, bytes(data))
