"""Reads the intact part of a damaged bag: truncated, or never closed because the recorder or its battery died.

MCAP: records in sequence (mcap.dev/spec), up to the first that is cut off or has a wrong checksum. SQLite: rows in the
order of writing, up to the first missing page.
"""

from __future__ import annotations

import contextlib
import sqlite3
import struct
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from act_inference_ros.evaluation.bags.packing import unpack_file, unpacked_lz4, unpacked_zstd, zstd
from act_inference_ros.evaluation.bags.sqlite_bounds import LEAST_ROW_BYTES, MOST_TOPICS, open_plain

MCAP_MAGIC = b"\x89MCAP0\r\n"
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _DATA_END = 0x03, 0x04, 0x05, 0x06, 0x0F
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


class RawMessage(NamedTuple):
    """A serialized message and when it was recorded."""

    topic: str
    msgtype: str
    time_ns: int
    data: bytes


class Salvage:
    """The readable messages of damaged storage files, one file after another; they are read twice, once to count."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._unpacked = tempfile.TemporaryDirectory()
        self._files = [self._plain(file) for file in files]
        self.types: dict[str, set[str]] = {}
        self.counts: Counter[str] = Counter()
        self.start_ns = self.end_ns = 0
        for raw in self.messages():
            self.start_ns = min(self.start_ns, raw.time_ns) if self.counts else raw.time_ns
            self.end_ns = max(self.end_ns, raw.time_ns)
            self.types.setdefault(raw.topic, set()).add(raw.msgtype)
            self.counts[raw.topic] += 1

    def close(self) -> None:
        """Delete the unpacked files."""
        self._unpacked.cleanup()

    def messages(self) -> Iterator[RawMessage]:
        """Yield them; ends at the damage."""
        for file in self._files:
            for raw in _sqlite_messages(file) if ".db3" in file.suffixes else _mcap_messages(file):
                yield raw._replace(data=_unpacked(raw.data)) if raw.data.startswith(_ZSTD_MAGIC) else raw

    def _plain(self, file: Path) -> Path:
        """Unpack a file-compressed storage file as far as possible."""
        if file.suffix != ".zstd":
            return file
        plain = Path(self._unpacked.name, file.stem)
        plain.touch()
        with contextlib.suppress(OSError, ValueError, zstd().ZstdError):
            unpack_file(file, plain)  # zstd.open would withhold the last whole blocks
        return plain


def _unpacked(data: bytes) -> bytes:
    """Return a message unpacked; as it is, if that is not possible, for it may only look like a packed one."""
    try:
        return unpacked_zstd(data)
    except ValueError:
        return data


def _mcap_messages(file: Path) -> Iterator[RawMessage]:
    with file.open("rb") as stream:
        if stream.read(len(MCAP_MAGIC)) != MCAP_MAGIC:
            return
        reader = _McapRecords()
        # The parser of a damaged record may raise anything.
        with contextlib.suppress(EOFError, ValueError, KeyError, OSError, struct.error, RuntimeError):
            yield from reader.messages(stream, len(MCAP_MAGIC))


class _McapRecords:
    """The schemas and channels read so far, and the messages that refer to them."""

    def __init__(self) -> None:
        self._schemas: dict[int, str] = {}
        self._channels: dict[int, tuple[str, str]] = {}

    def messages(self, stream: BinaryIO, start: int = 0, in_chunk: bool = False) -> Iterator[RawMessage]:
        """Yield the messages of `stream`, those of a chunk sorted by time. Raises EOFError or ValueError at the damage.

        `in_chunk`: whether the stream is what a chunk unpacked to; a chunk in a chunk is damage.
        """
        end = stream.seek(0, SEEK_END)
        stream.seek(start)
        while head := stream.read(9):
            if len(head) < 9:
                raise EOFError
            kind, size = head[0], int.from_bytes(head[1:], "little")
            if kind == _DATA_END:
                return
            if size > end - stream.tell():
                raise EOFError
            body = stream.read(size)
            if kind == _SCHEMA:
                self._schemas[int.from_bytes(body[:2], "little")] = _string(body, 2)[0]
            elif kind == _CHANNEL:
                number, schema = struct.unpack_from("<HH", body)
                self._channels[number] = (_string(body, 4)[0], self._schemas.get(schema, ""))
            elif kind == _MESSAGE:
                number, _, time_ns = struct.unpack_from("<HIQ", body)
                yield RawMessage(*self._channels[number], time_ns, body[22:])
            elif kind == _CHUNK:
                if in_chunk:
                    raise ValueError("a chunk in a chunk")
                inside = self.messages(BytesIO(_chunk(body)), in_chunk=True)
                yield from sorted(inside, key=lambda raw: raw.time_ns)


def _chunk(body: bytes) -> bytes:
    """Return the records of a chunk, unpacked; raises ValueError for a wrong checksum."""
    size, checksum = struct.unpack_from("<QI", body, 16)
    packing, place = _string(body, 28)
    packed = body[place + 8 :]
    if packing == "zstd":
        packed = unpacked_zstd(packed)
    elif packing == "lz4":
        packed = unpacked_lz4(packed)
    if len(packed) != size or (checksum and zlib.crc32(packed) != checksum):
        raise ValueError("chunk does not check")
    return packed


def _string(body: bytes, place: int) -> tuple[str, int]:
    """Return the string at `place`, and the place after it."""
    end = place + 4 + int.from_bytes(body[place : place + 4], "little")
    return body[place + 4 : end].decode(), end


def _sqlite_messages(file: Path) -> Iterator[RawMessage]:
    # A database that is not plain is not read at all; rows that hold anything else than messages are left out.
    with (
        contextlib.suppress(sqlite3.Error, ValueError),
        contextlib.closing(open_plain(file, damaged=True)) as connection,
    ):
        left = file.stat().st_size
        topics: dict[Any, tuple[str, str]] = {}
        for number, name, kind in connection.execute("SELECT id, name, type FROM topics NOT INDEXED"):
            if isinstance(name, str) and isinstance(kind, str) and len(topics) < MOST_TOPICS:
                topics[number] = (name, kind)
        for topic, time_ns, data in connection.execute("SELECT topic_id, timestamp, data FROM messages NOT INDEXED"):
            if topic in topics and isinstance(time_ns, int) and isinstance(data, bytes):
                left -= len(data) + LEAST_ROW_BYTES
                if left < 0:
                    return  # pages are used several times
                yield RawMessage(*topics[topic], time_ns, data)
