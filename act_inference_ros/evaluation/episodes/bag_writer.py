"""BagWriter: serialized messages become a rosbag2 (mcap) that rosbag2, Foxglove and `eval_policy --bag` read."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

from act_inference_ros.black_box.bag import new_bag
from act_inference_ros.errors import ConfigurationError

_QUEUE = 10


class BagWriter:
    """A context manager. The bag is complete when the block ends; `store` has the types of its messages.

    `compressed` has the chunks of the file compressed, as mcap's own readers know it.

    Raises ConfigurationError if `directory` exists or cannot be written, MissingDependencyError without rosbags.
    """

    def __init__(self, directory: Path, compressed: bool = False) -> None:
        if directory.exists():
            raise ConfigurationError(f"{directory} exists; record into a new directory, or delete that one")
        self._directory = directory
        self._connections: dict[str, Any] = {}
        self._writer, self.store = new_bag(directory)
        if compressed:
            from rosbags import rosbag2

            self._writer.set_compression(rosbag2.CompressionMode.STORAGE, rosbag2.CompressionFormat.ZSTD)
        try:
            directory.parent.mkdir(parents=True, exist_ok=True)
            self._writer.open()
        except OSError as error:
            raise self._unwritable(error) from error

    def add(self, topic: str, message_type: str, best_effort: bool) -> None:
        """Make room for a topic's messages, unless it is there already; `best_effort` is how they are published."""
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                topic, message_type, typestore=self.store, offered_qos_profiles=[self._qos(best_effort)]
            )

    def write(self, topic: str, time_ns: int, data: bytes | memoryview) -> None:
        """Append a serialized message (CDR) that came at `time_ns` on a topic that was added.

        Raises ConfigurationError if it cannot be written.
        """
        try:
            self._writer.write(self._connections[topic], time_ns, data)
        except OSError as error:
            raise self._unwritable(error) from error

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._writer.close()
        except OSError as failed:
            raise self._unwritable(failed) from failed

    def _unwritable(self, error: OSError) -> ConfigurationError:
        return ConfigurationError(f"cannot write {self._directory}: {error}")

    def _qos(self, best_effort: bool) -> Any:
        """As such publishers offer it: images as sensor data, everything else reliably."""
        from rosbags import interfaces as api

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
