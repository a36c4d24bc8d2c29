"""Takes the definitions of message types that a bag brings along, as far as they are bounded.

rosbags writes Python code for a type: a line or more for each field, and for each element of an array of fixed length
if its elements are texts or messages. So the number of both is limited.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from act_inference_ros.errors import MissingDependencyError

MOST_TEXT_BYTES = 2**16
"""Longest definition of a type, with the types in it and its comments. Those of control_msgs have about 10 KB."""
MOST_LINES = 1000
"""Most lines of all definitions that are taken from one bag, without comments. Those of control_msgs have about 50."""
MOST_FIELDS = 500
MOST_ELEMENTS = 250
"""Most elements of arrays of fixed length in a definition, those of numbers not counted: these are read at once."""
DEEPEST = 32
"""Most messages in one another."""

_COMMENT = "#"
_BASE, _NAME, _ARRAY, _SEQUENCE = 1, 2, 3, 4
"""rosbags' numbers for a number or a text, a message, and arrays of fixed and of any length."""

Definitions = Mapping[str, tuple[Any, list[tuple[str, Any]]]]
"""Type -> its constants and its fields, each with a name and a description, as rosbags has them."""


class MessageTypes:
    """The types that rosbags knows, and those of one bag. Raises MissingDependencyError without rosbags."""

    def __init__(self) -> None:
        try:
            from rosbags import typesys
        except ModuleNotFoundError as error:
            raise MissingDependencyError("reading bags needs rosbags: pip install rosbags") from error
        self._parse = typesys.get_types_from_msg
        self._store = typesys.get_typestore(typesys.Stores.LATEST)
        self._lines_left = MOST_LINES
        self._tried: set[tuple[str, str]] = set()

    def __contains__(self, msgtype: str) -> bool:
        return msgtype in self._store.fielddefs

    def decode(self, data: bytes, msgtype: str) -> Any:
        """Return a message, shaped like its ROS type. May raise anything for data that are no such message."""
        return self._store.deserialize_cdr(data, msgtype)

    def learn(self, msgtype: str, text: str) -> None:
        """Take the definition of a type that is not known. One that is wrong or too large leaves it unknown."""
        if (
            msgtype in self
            or not isinstance(text, str)
            or len(text) > MOST_TEXT_BYTES
            or (msgtype, text) in self._tried
        ):
            return
        self._tried.add((msgtype, text))
        lines = [line for line in text.split("\n") if line.strip() and not line.lstrip().startswith(_COMMENT)]
        if len(lines) > self._lines_left:
            return
        self._lines_left -= max(1, len(lines))
        known: Definitions = self._store.fielddefs
        with contextlib.suppress(Exception):  # the parser may raise anything
            found = {name: what for name, what in self._parse("\n".join(lines), msgtype).items() if name not in known}
            check_definitions(msgtype, found, known)
            self._store.register(found)


def check_definitions(name: str, found: Definitions, known: Definitions) -> None:
    """Raise ValueError for definitions that rosbags would make too much code of, or that need no bytes in a message.

    `found` has the type `name` and those in it that are new; `known` has rosbags' own.
    """
    fields = [description for _, each in found.values() for _, description in each]
    if len(fields) > MOST_FIELDS:
        raise ValueError(f"expected at most {MOST_FIELDS} fields, got {len(fields)}")
    lengths = [what for kind, what in fields if kind == _ARRAY]
    if any(length < 1 for _, length in lengths):
        raise ValueError("expected arrays of at least one element")
    elements = sum(length for inner, length in lengths if not _is_number(inner))
    if elements > MOST_ELEMENTS:
        raise ValueError(f"expected at most {MOST_ELEMENTS} elements in arrays of fixed length, got {elements}")
    _check_depth(name, {**known, **found}, {}, ())


def _check_depth(name: str, types: Definitions, depths: dict[str, int], around: tuple[str, ...]) -> int:
    """Return how many messages are in one another below the type `name`; `around` are those that it is in."""
    if name in around or len(around) >= DEEPEST:
        raise ValueError(f"expected at most {DEEPEST} messages in one another, got more")
    if name not in depths:
        _, fields = types[name]
        if not fields and around:
            raise ValueError(f"expected fields in {name}, got none")
        inside = [below for _, description in fields if (below := _message_in(description)) is not None]
        depths[name] = 1 + max((_check_depth(each, types, depths, (*around, name)) for each in inside), default=0)
    if len(around) + depths[name] > DEEPEST:
        raise ValueError(f"expected at most {DEEPEST} messages in one another, got more")
    return depths[name]


def _message_in(description: Any) -> str | None:
    kind, what = description
    if kind in (_ARRAY, _SEQUENCE):
        kind, what = what[0]
    return str(what) if kind == _NAME else None


def _is_number(description: Any) -> bool:
    kind, what = description
    return bool(kind == _BASE and what[0] not in ("string", "wstring"))
