"""Opens a bag with rosbags, within bounds, for all that read bags."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from act_inference_ros.errors import MissingDependencyError
from act_inference_ros.evaluation.bags import packing
from act_inference_ros.evaluation.bags.bounds import bounded_rosbags
from act_inference_ros.evaluation.bags.connections import storages_of
from act_inference_ros.evaluation.bags.finding import METADATA, storage_files
from act_inference_ros.evaluation.bags.metadata import BagTexts, check_number, short, whole_packed_files

_MOST = 2**63
"""Counts and times, ns, are less."""
_PACKED = ".zstd"
_LONGEST_TEXT = 500


class OpenBag(NamedTuple):
    """An open rosbags reader. `packed_messages`: whether each message has to be unpacked with `unpacked`."""

    reader: Any
    packed_messages: bool

    def unpacked(self, data: bytes) -> bytes:
        """Return a message as it was before the recorder packed it. Raises ValueError, also if it is too large."""
        return packing.unpacked_zstd(data) if self.packed_messages else data


def open_bag(path: Path) -> OpenBag:
    """Open a bag's directory, or a storage file.

    Raises MissingDependencyError without rosbags. What is damaged or would cost much may raise any other exception,
    because the parsers of rosbags do.
    """
    try:
        from rosbags import rosbag2
    except ModuleNotFoundError as error:
        raise MissingDependencyError("reading bags needs rosbags: pip install rosbags") from error
    texts = BagTexts()
    packed = [file for file in files_of(path) if file.suffix == _PACKED]
    if path.is_dir():
        packed += whole_packed_files(path, texts)
    for file in dict.fromkeys(packed):
        packing.unpack_file(file, None)
    with bounded_rosbags(texts):
        reader = rosbag2.Reader(path)
        reader.open()
    try:
        _check(reader)
    except BaseException:
        reader.close()
        raise
    storage: Any = getattr(reader, "storage", None)
    packed_messages = getattr(getattr(storage, "metadata", None), "compression_mode", None) == "message"
    if packed_messages:  # rosbags would unpack them without a limit
        storage.metadata = storage.metadata._replace(compression_mode=None)
    return OpenBag(reader, packed_messages)


def files_of(path: Path) -> list[Path]:
    """Return the storage files of a bag, which is one itself or a directory."""
    return [path] if path.is_file() else storage_files(path)


def printable(told: Exception | str) -> str:
    """Return an error's message, or a name out of the bag, as one printable line of bounded length."""
    line = " ".join(str(told)[:_LONGEST_TEXT].split()).rstrip(".") or type(told).__name__
    return "".join(each if each.isprintable() else "?" for each in line)


def _check(reader: Any) -> None:
    """Raise ValueError for what rosbags took as it was written, although it is nothing to count or to name."""
    for connection in reader.connections:
        if not isinstance(connection.topic, str) or not isinstance(connection.msgtype, str):
            raise ValueError(f"expected names of topics and types, got {short(connection.topic)}")
        check_number(f"{METADATA}: message count", connection.msgcount, _MOST)
    check_number(f"{METADATA}: message count", reader.message_count, _MOST)
    if reader.message_count:
        for time_ns in (reader.start_time, reader.end_time):
            check_number("time of recording, ns", time_ns, 2 * _MOST)
    for storage in storages_of(reader):
        packing.check_chunks(getattr(storage, "chunks", ()))
