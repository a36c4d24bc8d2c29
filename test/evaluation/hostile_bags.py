"""Makes bags that were made to do harm, record by record."""

import contextlib
import itertools
import sqlite3
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from act_inference_ros.evaluation.bags.bag import Bag, find_bags
from act_inference_ros.evaluation.bags.serialized import BagSource
from test.bounds import DEADLINE_S
from test.fuzz.watch import interrupted_after

STRING = "std_msgs/msg/String"
SEPARATOR = "=" * 80 + "\n"
_MAGIC = b"\x89MCAP0\r\n"
_HEADER, _FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _DATA_END = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0F


def deadline() -> contextlib.AbstractContextManager[None]:
    """Interrupt the block when it takes too long, also while it waits for a file."""
    return interrupted_after(DEADLINE_S, wall=True)


def read(path: Path) -> tuple[int, list[str]]:
    """Learn a bag's types and read its messages in time; return their number and the problems."""
    with deadline():
        (found,) = find_bags([path])
        with Bag(found) as bag:
            for kind in {kind for kinds in bag.types.values() for kind in kinds}:
                bag.learn(kind)
            count = sum(1 for _ in bag.messages(list(bag.types)))
            return count, bag.problems


def replay(path: Path) -> int:
    """Read every message of a bag as replay_bag does, in time; return their number."""
    with deadline(), BagSource(path) as source:
        return sum(1 for _ in source.messages(source.topics))


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<I", len(data)) + data


def string(text: str) -> bytes:
    """A serialized std_msgs/String."""
    return b"\0\1\0\0" + _text(text + "\0")


def record(kind: int, body: bytes) -> bytes:
    return struct.pack("<BQ", kind, len(body)) + body


def schema(name: str, definition: str) -> bytes:
    return record(_SCHEMA, struct.pack("<H", 1) + _text(name) + _text("ros2msg") + _text(definition))


def channel(topic: str, number: int = 1, qos: str = "") -> bytes:
    metadata = _text("offered_qos_profiles") + _text(qos)
    head = struct.pack("<HH", number, 1) + _text(topic) + _text("cdr")
    return record(_CHANNEL, head + struct.pack("<I", len(metadata)) + metadata)


def message(data: bytes, time_ns: int = 5, number: int = 1) -> bytes:
    return record(_MESSAGE, struct.pack("<HIQQ", number, 0, time_ns, time_ns) + data)


def chunk(records: bytes) -> bytes:
    head = struct.pack("<QQQI", 0, 10**18, len(records), 0) + _text("")
    return record(_CHUNK, head + struct.pack("<Q", len(records)) + records)


def write_mcap(path: Path, *parts: bytes, whole: bool = True) -> Path:
    """Write a lone .mcap file without an index; `whole` False: as a recorder that died leaves it."""
    end = record(_DATA_END, bytes(4)) + record(_FOOTER, bytes(20)) + _MAGIC
    path.write_bytes(_MAGIC + record(_HEADER, _text("ros2") + _text("")) + b"".join(parts) + (end if whole else b""))
    return path


TOPICS = (
    "CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT, serialization_format TEXT, "
    "offered_qos_profiles TEXT)"
)
MESSAGES = "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, data BLOB)"
TOPIC = ("INSERT INTO topics VALUES(1, '/a', ?, 'cdr', '')", (STRING,))
ROW = ("INSERT INTO messages(topic_id, timestamp, data) VALUES(1, 5, ?)", (string("hi"),))


def write_sqlite(path: Path, *statements: str | tuple[str, Sequence[Any]]) -> Path:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for each in statements:
            connection.execute(*((each,) if isinstance(each, str) else each))
        connection.commit()
    return path


def multiply_rows(path: Path, tree: str) -> None:
    """Let each inner page of a table's or an index's tree name the next inner page again and again."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (tree,)).fetchone()
    data = bytearray(path.read_bytes())
    kind = data[(root - 1) * size]
    inner = [at for at in range(size, len(data), size) if data[at] == kind and at != (root - 1) * size]
    pages = [(root - 1) * size, *inner[:8]]
    assert len(pages) > 4
    for at, below in itertools.pairwise(pages):
        cells = int.from_bytes(data[at + 3 : at + 5], "big")
        starts = [int.from_bytes(data[at + 12 + 2 * cell : at + 14 + 2 * cell], "big") for cell in range(cells)]
        for place in (at + 8, *(at + start for start in starts)):
            data[place : place + 4] = (below // size + 1).to_bytes(4, "big")
    path.write_bytes(data)
