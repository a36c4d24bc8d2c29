"""Writes one dump: a rosbag2 directory with an mcap, the dump's description, and the parameters."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from act_inference_ros.black_box import dumps
from act_inference_ros.black_box.frames import Dump, Record, Topic
from act_inference_ros.errors import ActInferenceError, ConfigurationError, MissingDependencyError

_HEADER = 4
"""Bytes of a serialized message before its fields: byte order and options."""
_BAG_VERSION: Literal[9] = 9
"""Version of rosbag2's metadata; Jazzy and Kilted write it, and Humble reads it."""


def new_bag(path: Path) -> tuple[Any, Any]:
    """Return rosbags' writer of a bag with an mcap at `path`, not yet open, and its store of message types.

    All bags of this package are written this way. Raises MissingDependencyError without rosbags.
    """
    try:
        from rosbags.rosbag2 import StoragePlugin, Writer
        from rosbags.typesys import Stores, get_typestore
    except ModuleNotFoundError as error:
        raise MissingDependencyError("bags need rosbags: pip install rosbags") from error
    writer = Writer(path, version=_BAG_VERSION, storage_plugin=StoragePlugin.MCAP)
    return writer, get_typestore(Stores.ROS2_JAZZY)


def check(directory: Path) -> None:
    """Raise ConfigurationError or MissingDependencyError unless dumps can be written into this directory."""
    if importlib.util.find_spec("rosbags") is None:
        raise MissingDependencyError("black_box needs rosbags, which writes the bags: pip install rosbags")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        trial = dumps.partial_directory(directory)
        trial.mkdir()
        trial.rmdir()
    except OSError as error:
        raise ConfigurationError(
            f"black_box: expected a directory that can be written, got {directory}: {error.strerror}"
        ) from error


def write_dump(directory: Path, dump: Dump, topics: Mapping[int, Topic], records: Sequence[Record]) -> Path:
    """Write `records` as the bag `directory`/`dump.name`, and return that path.

    The bag gets its name only when it is complete. Raises ActInferenceError or OSError if it cannot be written.
    """
    target = directory / dump.name
    partial = dumps.partial_directory(directory)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        made = partial / dump.name
        partial.mkdir(parents=True)
        about = {key: value for key, value in dump.about.items() if key != "parameters"}
        about["not_written"] = _write_bag(made, dump, topics, records)
        (made / dumps.PARAMETERS).write_text(str(dump.about.get("parameters", "")), encoding="utf-8")
        (made / dumps.ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        _to_disk(made)
        dumps.make_room(directory, dumps.size_of(made))
        made.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _write_bag(path: Path, dump: Dump, topics: Mapping[int, Topic], records: Sequence[Record]) -> list[str]:
    """Write the bag and return the topics with unknown types."""
    if not records:
        raise ActInferenceError("nothing has been recorded yet")
    writer, store = new_bag(path)
    connections: dict[int, Any] = {}
    unknown: list[str] = []
    for key, value in dump.about.items():
        writer.set_custom_data(key, value if isinstance(value, str) else json.dumps(value))
    with writer:
        for topic in topics.values():
            if _is_known(store, topic):
                connections[topic.number] = writer.add_connection(topic.name, topic.type, typestore=store)
            elif any(record.number == topic.number for record in records):
                unknown.append(f"{topic.name} ({topic.type})")
        for record in sorted(records, key=lambda record: record.time_ns):
            if record.number in connections:
                data = _exact(store, topics[record.number].type, record.data)
                writer.write(connections[record.number], record.time_ns, data)
    return unknown


def _is_known(store: Any, topic: Topic) -> bool:
    """Whether the topic's type is known; add its definitions if necessary, since rosbags lacks control_msgs."""
    from rosbags.typesys import get_types_from_msg

    if topic.type in store.fielddefs:
        return True
    try:
        learned: dict[str, Any] = {}
        for name, text in topic.definitions.items():
            learned.update(get_types_from_msg(text, name))
        store.register({name: what for name, what in learned.items() if name not in store.fielddefs})
        store.generate_msgdef(topic.type)
    except Exception:  # wrong definitions may raise anything; this topic is then not written
        return False
    return True


def _exact(store: Any, message_type: str, data: bytes) -> bytes:
    """Return serialized data without the bytes after the message.

    The result of rclpy's serialize_message has the length for the least favourable alignment. Some readers, such as
    rosbags, take the extra bytes for damage.
    """
    definition = store.get_msgdef(message_type)
    read = definition.deserialize_cdr_le if data[1] else definition.deserialize_cdr_be
    _, length = read(data[_HEADER:], 0, definition.cls, store)
    return data[: _HEADER + length]


def _to_disk(path: Path) -> None:
    """Flush the files to the disk, because the power may fail after a crash."""
    for each in path.iterdir():
        with each.open("rb") as file:
            os.fsync(file.fileno())
