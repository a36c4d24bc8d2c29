"""Recorded bags: opens and streams them in the order of recording; damage is reported and not raised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from act_inference_ros.errors import MissingDependencyError
from act_inference_ros.evaluation.bags import salvage
from act_inference_ros.evaluation.bags.connections import connections_on
from act_inference_ros.evaluation.bags.definitions import MessageTypes
from act_inference_ros.evaluation.bags.finding import METADATA, STORAGE_SUFFIXES, find_bags, storage_files
from act_inference_ros.evaluation.bags.opening import OpenBag, files_of, open_bag, printable
from act_inference_ros.evaluation.bags.salvage import RawMessage

__all__ = ["METADATA", "STORAGE_SUFFIXES", "Bag", "BagMessage", "find_bags", "storage_files"]

_OTHER_FORMAT = "Serialization format"
"""Start of rosbags' message about a serialization format that it cannot read."""


class BagMessage(NamedTuple):
    """A decoded message, shaped like its ROS type, or None if it is damaged.

    `received` is the time of recording, s on the bag's clock.
    """

    topic: str
    received: float
    message: Any


class Bag:
    """One bag, open for reading; a context manager. Memory is bounded by its largest chunk and message.

    `problems` says which parts cannot be read; it may grow until `messages` has ended. `types` maps each topic to the
    types recorded on it, `counts` to its number of messages. Raises MissingDependencyError without rosbags.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        self.problems: list[str] = []
        self.types: dict[str, set[str]] = {}
        self.counts: Counter[str] = Counter()
        self.start_s = self.end_s = 0.0
        self._types = MessageTypes()
        self._open_bag: OpenBag | None = None
        self._salvaged: salvage.Salvage | None = None
        self.undecodable: Counter[str] = Counter()
        self._open()

    def __enter__(self) -> Bag:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the files."""
        opened, self._open_bag = self._open_bag, None
        if opened is not None:
            opened.reader.close()
        if self._salvaged is not None:
            self._salvaged.close()

    def messages(self, topics: Iterable[str]) -> Iterator[BagMessage]:
        """Yield the messages on `topics` in the order of recording. A damaged rest is added to `problems`."""
        wanted = set(topics)
        for raw in self._raw_messages(wanted):
            if raw.topic not in wanted:
                continue
            try:
                message = self._types.decode(raw.data, raw.msgtype)
            except Exception as error:  # reading past the end of a damaged message may raise anything
                message = None
                self.undecodable[raw.topic] += 1
                if self.undecodable[raw.topic] == 1:
                    known = raw.msgtype in self._types
                    why = f"a message is not a {printable(raw.msgtype)}: {printable(error)}"
                    unknown = f"nobody here knows {printable(raw.msgtype)}"
                    self.problems.append(f"{printable(raw.topic)}: {why if known else unknown}")
            yield BagMessage(raw.topic, raw.time_ns * 1e-9, message)

    def learn(self, msgtype: str) -> None:
        """Take a type's definition from the bag itself, if rosbags does not know the type and the bag's is bounded."""
        for connection in self._open_bag.reader.connections if self._open_bag is not None else ():
            if connection.msgtype == msgtype:
                self._types.learn(msgtype, connection.msgdef.data)

    def _open(self) -> None:
        try:
            opened = open_bag(self.path)
        except MissingDependencyError:
            raise
        except Exception as error:  # the parser of a damaged file may raise anything
            if _OTHER_FORMAT in str(error):
                self.problems.append(f"not a bag of ROS 2's own format, cdr: {printable(error)}")
                return
            self._salvage(f"damaged: {printable(error)}")
            return
        reader = opened.reader
        for connection in reader.connections:
            self.types.setdefault(connection.topic, set()).add(connection.msgtype)
            self.counts[connection.topic] += connection.msgcount
        if reader.message_count:
            self.start_s, self.end_s = reader.start_time * 1e-9, (reader.end_time - 1) * 1e-9
        self._open_bag = opened

    def _salvage(self, problem: str) -> None:
        self._salvaged = salvage.Salvage(files_of(self.path))
        self.types, self.counts = self._salvaged.types, self._salvaged.counts
        self.start_s, self.end_s = self._salvaged.start_ns * 1e-9, self._salvaged.end_ns * 1e-9
        rescued = sum(self.counts.values())
        self.problems.append(
            f"{problem}; read up to the damage: {rescued} messages, {self.end_s - self.start_s:.1f} s"
            if rescued
            else f"{problem}; no message can be read"
        )

    def _raw_messages(self, topics: set[str]) -> Iterator[RawMessage]:
        if self._salvaged is not None:
            yield from self._salvaged.messages()
            return
        opened = self._open_bag
        connections = [] if opened is None else connections_on(opened.reader, topics)
        if opened is None or not connections:
            return
        messages = opened.reader.messages(connections)
        missing = Counter({topic: count for topic, count in self.counts.items() if topic in topics})
        last_ns = None
        while True:
            try:
                connection, time_ns, data = next(messages)
                data = opened.unpacked(data)
            except StopIteration:
                self.problems += [
                    f"damaged: {count} of {self.counts[topic]} messages on {printable(topic)} cannot be read"
                    for topic, count in missing.items()
                    if count > 0
                ]
                return
            except Exception as error:  # damage in the middle, found only now
                where = "at its beginning" if last_ns is None else f"after {last_ns * 1e-9 - self.start_s:.1f} s"
                self.problems.append(f"damaged {where}: {printable(error)}; the rest is not read")
                return
            last_ns = time_ns
            missing[connection.topic] -= 1
            yield RawMessage(connection.topic, connection.msgtype, time_ns, data)
