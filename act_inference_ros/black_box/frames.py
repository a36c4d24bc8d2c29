"""The stream from the node to the process that keeps the records: frames of a length, a kind and a payload."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeAlias

from act_inference_ros.errors import ActInferenceError

TOPIC, RECORD, DUMP, END = 1, 2, 3, 4
_HEAD = struct.Struct("<IB")
"""Length of the payload in bytes, and the kind of the frame."""
_TOPIC = struct.Struct("<H")
_RECORD = struct.Struct("<Hq")
MAX_FRAME = 64 * 2**20
"""Most bytes of a payload; a longer one means that the stream is damaged."""


class FrameError(ActInferenceError):
    """The stream does not consist of valid frames."""


@dataclass(frozen=True)
class Topic:
    """Describes the records with `number`: their topic, and their type such as `sensor_msgs/msg/JointState`.

    `definitions` has that type and the types in it, by name, as texts like those of .msg files, because the writer of
    the bag may not know them.
    """

    number: int
    name: str
    type: str
    definitions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """A message of topic `number`, serialized (CDR), at `time_ns` of the node's clock."""

    number: int
    time_ns: int
    data: bytes


@dataclass(frozen=True)
class Dump:
    """A request to write the kept records into a bag `name`; `about` is its description (JSON values)."""

    name: str
    about: Mapping[str, Any]


@dataclass(frozen=True)
class End:
    """The node ends regularly; without this frame it has died."""


Frame: TypeAlias = Topic | Record | Dump | End


def write_frame(frame: Frame) -> bytes:
    """Return the frame's bytes. Raises FrameError for one that is too long."""
    if isinstance(frame, Record):
        kind, payload = RECORD, _RECORD.pack(frame.number, frame.time_ns) + frame.data
    elif isinstance(frame, Topic):
        kind, payload = TOPIC, _TOPIC.pack(frame.number) + _json([frame.name, frame.type, dict(frame.definitions)])
    elif isinstance(frame, Dump):
        kind, payload = DUMP, _json([frame.name, dict(frame.about)])
    else:
        kind, payload = END, b""
    if len(payload) > MAX_FRAME:
        raise FrameError(f"a frame of the black box has {len(payload)} bytes; expected at most {MAX_FRAME}")
    return _HEAD.pack(len(payload), kind) + payload


def _json(content: list[Any]) -> bytes:
    return json.dumps(content).encode()


def read_frames(stream: BinaryIO) -> Iterator[Frame]:
    """Yield the frames of a blocking stream until it ends, even inside a frame. Raises FrameError for invalid data."""
    while True:
        head = stream.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return
        length, kind = _HEAD.unpack(head)
        if length > MAX_FRAME:
            raise FrameError(f"a frame of the black box says it has {length} bytes; expected at most {MAX_FRAME}")
        payload = stream.read(length)
        if len(payload) < length:
            return
        yield _frame(kind, payload)


def _frame(kind: int, payload: bytes) -> Frame:
    try:
        if kind == RECORD:
            number, time_ns = _RECORD.unpack_from(payload)
            return Record(number, time_ns, payload[_RECORD.size :])
        if kind == TOPIC:
            name, type_, definitions = json.loads(payload[_TOPIC.size :])
            return Topic(_TOPIC.unpack_from(payload)[0], str(name), str(type_), dict(definitions))
        if kind == DUMP:
            name, about = json.loads(payload)
            return Dump(str(name), dict(about))
    except (struct.error, ValueError, TypeError) as error:
        raise FrameError(f"a frame of the black box cannot be read: {error}") from error
    if kind == END:
        return End()
    raise FrameError(f"a frame of the black box is of the unknown kind {kind}")
