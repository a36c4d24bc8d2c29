"""Writes the messages of an episode as a rosbag2 (mcap) that rosbag2, Foxglove and `eval_policy --bag` read."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from act_inference_ros.errors import ConfigurationError, MissingDependencyError
from act_inference_ros.evaluation.episodes.messages import Image, Message

BAG_VERSION = 9
"""Of rosbag2's metadata; what Jazzy and Kilted write and Humble reads."""

_QUEUE = 10


class BagRecorder:
    """A context manager; `write` is a `Publish` of an episode. The bag is complete when the block ends.

    Raises ConfigurationError if `directory` exists or cannot be written, MissingDependencyError without rosbags.
    """

    def __init__(self, directory: Path) -> None:
        self._rosbag2, typesys, self._interfaces = _rosbags()
        if directory.exists():
            raise ConfigurationError(f"{directory} exists; record into a new directory, or delete that one")
        self._store = typesys.get_typestore(typesys.Stores.ROS2_JAZZY)
        self._connections: dict[str, Any] = {}
        self._writer = self._rosbag2.Writer(
            directory, version=BAG_VERSION, storage_plugin=self._rosbag2.StoragePlugin.MCAP
        )
        try:
            directory.parent.mkdir(parents=True, exist_ok=True)
            self._writer.open()
        except OSError as error:
            raise ConfigurationError(f"cannot write {directory}: {error}") from error

    def write(self, topic: str, message: Message, time_ns: int) -> None:
        """Append a message that was published at `time_ns`."""
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                topic,
                message.TYPE,
                typestore=self._store,
                offered_qos_profiles=[self._qos(best_effort=isinstance(message, Image))],
            )
        serialized = self._store.serialize_cdr(self._ros(message), message.TYPE)
        self._writer.write(self._connections[topic], time_ns, serialized)

    def __enter__(self) -> BagRecorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def _qos(self, best_effort: bool) -> Any:
        """As such publishers offer it: images as sensor data, everything else reliably."""
        api = self._interfaces
        reliability = api.QosReliability.BEST_EFFORT if best_effort else api.QosReliability.RELIABLE
        unset = api.QosTime(0, 0)
        return api.Qos(
            history=api.QosHistory.KEEP_LAST,
            depth=_QUEUE,
            reliability=reliability,
            durability=api.QosDurability.VOLATILE,
            deadline=unset,
            lifespan=unset,
            liveliness=api.QosLiveliness.AUTOMATIC,
            liveliness_lease_duration=unset,
            avoid_ros_namespace_conventions=False,
        )

    def _ros(self, value: Any) -> Any:
        """The same message in rosbags' types."""
        if isinstance(value, np.ndarray):
            return np.ascontiguousarray(value)
        if isinstance(value, list):
            return [self._ros(each) for each in value]
        kind = getattr(value, "TYPE", None)
        if kind is None:
            return value
        fields = {name: self._ros(each) for name, each in vars(value).items()}
        return self._store.types[kind](**fields)


def _rosbags() -> tuple[Any, Any, Any]:
    try:
        import rosbags.interfaces
        import rosbags.rosbag2
        import rosbags.typesys
    except ModuleNotFoundError as error:
        raise MissingDependencyError("bags need rosbags: pip install rosbags") from error
    return rosbags.rosbag2, rosbags.typesys, rosbags.interfaces
