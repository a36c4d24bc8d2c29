"""Recorded bags: finds, opens and streams them in the order of recording; damage is reported and not raised."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from act_inference_ros.errors import ConfigurationError, MissingDependencyError
from act_inference_ros.evaluation.bags import packing, salvage
from act_inference_ros.evaluation.bags.connections import connections_on, storages_of
from act_inference_ros.evaluation.bags.salvage import RawMessage
from act_inference_ros.robot.plain_yaml import check_plain

METADATA = "metadata.yaml"
MOST_METADATA_BYTES = 2**20
"""Largest metadata.yaml. A topic takes about a kilobyte."""
STORAGE_SUFFIXES = (".mcap", ".db3", ".mcap.zstd", ".db3.zstd")
_OTHER_FORMAT = "Serialization format"
"""Start of rosbags' message about a serialization format that it cannot read."""
_LONGEST_TEXT = 500
_PART = re.compile(r"(?P<stem>.*)_(?P<number>\d+)")


class BagMessage(NamedTuple):
    """A decoded message, shaped like its ROS type, or None if it is damaged.

    `received` is the time of recording, s on the bag's clock.
    """

    topic: str
    received: float
    message: Any


def find_bags(paths: Sequence[str | PathLike[str]]) -> list[Path]:
    """Return every bag in the given bags, storage files and directories of bags, each once, in order.

    Raises ConfigurationError for a path that does not exist or holds no bag.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise ConfigurationError(f"bag {path}: no such file or directory")
        bags = list(_bags_below(path))
        if not bags:
            raise ConfigurationError(
                f"bag {path}: no rosbag2 bag here; expected a directory with {METADATA}, or .mcap or .db3 files"
            )
        found += bags
    return list(dict.fromkeys(found))


def _bags_below(path: Path) -> Iterator[Path]:
    if path.is_file():
        if path.name.endswith(STORAGE_SUFFIXES):
            yield path
        return
    files = storage_files(path)
    if (path / METADATA).exists() or (files and len({_stem(file) for file in files}) == 1):
        yield path
        return
    yield from files
    for below in sorted(path.iterdir()):
        if below.is_dir():
            yield from _bags_below(below)


def storage_files(directory: Path) -> list[Path]:
    """Return the storage files of a bag's directory; the parts of a split bag are in the order of writing."""
    files = [file for file in directory.iterdir() if file.name.endswith(STORAGE_SUFFIXES) and file.is_file()]
    return sorted(files, key=lambda file: (_stem(file), _part(file), file.name))


def _stem(file: Path) -> str:
    part = _PART.fullmatch(file.name.split(".")[0])
    return part["stem"] if part else file.name


def _part(file: Path) -> int:
    part = _PART.fullmatch(file.name.split(".")[0])
    return int(part["number"]) if part else 0


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
        self._rosbag2, typesys = _rosbags()
        packing.bound_rosbags()
        self._types_from_msg = typesys.get_types_from_msg
        self._typestore = typesys.get_typestore(typesys.Stores.LATEST)
        self._reader: Any = None
        self._packed_messages = False
        self._salvaged: salvage.Salvage | None = None
        self.undecodable: Counter[str] = Counter()
        self._open()

    def __enter__(self) -> Bag:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the files."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()
        if self._salvaged is not None:
            self._salvaged.close()

    def messages(self, topics: Iterable[str]) -> Iterator[BagMessage]:
        """Yield the messages on `topics` in the order of recording. A damaged rest is added to `problems`."""
        wanted = set(topics)
        for raw in self._raw_messages(wanted):
            if raw.topic not in wanted:
                continue
            try:
                message = self._typestore.deserialize_cdr(raw.data, raw.msgtype)
            except Exception as error:  # reading past the end of a damaged message may raise anything
                message = None
                self.undecodable[raw.topic] += 1
                if self.undecodable[raw.topic] == 1:
                    known = raw.msgtype in self._typestore.fielddefs
                    why = f"a message is not a {_text(raw.msgtype)}: {_text(error)}"
                    unknown = f"nobody here knows {_text(raw.msgtype)}"
                    self.problems.append(f"{_text(raw.topic)}: {why if known else unknown}")
            yield BagMessage(raw.topic, raw.time_ns * 1e-9, message)

    def learn(self, msgtype: str) -> None:
        """Take a type's definition from the bag itself, if rosbags does not know the type."""
        for connection in self._reader.connections if self._reader is not None else ():
            known = self._typestore.fielddefs
            if connection.msgtype == msgtype and msgtype not in known:
                # The parser may raise anything; the type's messages are then reported as unknown.
                with contextlib.suppress(Exception):
                    found = self._types_from_msg(connection.msgdef.data, msgtype)
                    self._typestore.register({name: what for name, what in found.items() if name not in known})

    def _open(self) -> None:
        try:
            _check_metadata(self.path)
            for file in self._files():
                if file.suffix == ".zstd":
                    packing.unpack_file(file, None)
            reader = self._rosbag2.Reader(self.path)
            reader.open()
        except MissingDependencyError:
            raise
        except Exception as error:  # the parser of a damaged file may raise anything
            if _OTHER_FORMAT in str(error):
                self.problems.append(f"not a bag of ROS 2's own format, cdr: {_text(error)}")
                return
            self._salvage(f"damaged: {_text(error)}")
            return
        try:
            self._take_metadata(reader)
        except (TypeError, ValueError, OverflowError) as error:  # metadata.yaml can say anything
            reader.close()
            self._salvage(f"damaged: {_text(error)}")

    def _take_metadata(self, reader: Any) -> None:
        for connection in reader.connections:
            if not isinstance(connection.topic, str) or not isinstance(connection.msgtype, str):
                raise ValueError(f"expected names of topics and types, got {connection.topic!r}")
            self.types.setdefault(connection.topic, set()).add(connection.msgtype)
            self.counts[connection.topic] += connection.msgcount
        for storage in storages_of(reader):
            packing.check_chunks(getattr(storage, "chunks", ()))
        metadata = getattr(reader.storage, "metadata", None)
        if metadata is not None and getattr(metadata, "compression_mode", None) == "message":
            self._packed_messages = True  # rosbags would unpack them without a limit
            reader.storage.metadata = metadata._replace(compression_mode=None)
        if reader.message_count:
            self.start_s, self.end_s = reader.start_time * 1e-9, (reader.end_time - 1) * 1e-9
        self._reader = reader

    def _files(self) -> list[Path]:
        return [self.path] if self.path.is_file() else storage_files(self.path)

    def _salvage(self, problem: str) -> None:
        self._salvaged = salvage.Salvage(self._files())
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
        connections = [] if self._reader is None else connections_on(self._reader, topics)
        if not connections:
            return
        messages = self._reader.messages(connections)
        missing = Counter({topic: count for topic, count in self.counts.items() if topic in topics})
        last_ns = None
        while True:
            try:
                connection, time_ns, data = next(messages)
                data = packing.unpacked_zstd(data) if self._packed_messages else data
            except StopIteration:
                self.problems += [
                    f"damaged: {count} of {self.counts[topic]} messages on {_text(topic)} cannot be read"
                    for topic, count in missing.items()
                    if count > 0
                ]
                return
            except Exception as error:  # damage in the middle, found only now
                where = "at its beginning" if last_ns is None else f"after {last_ns * 1e-9 - self.start_s:.1f} s"
                self.problems.append(f"damaged {where}: {_text(error)}; the rest is not read")
                return
            last_ns = time_ns
            missing[connection.topic] -= 1
            yield RawMessage(connection.topic, connection.msgtype, time_ns, data)


def _check_metadata(path: Path) -> None:
    """Raise ValueError or YAMLError for metadata that rosbags would spend long on."""
    if (path / METADATA).is_file():
        with (path / METADATA).open("rb") as file:
            content = file.read(MOST_METADATA_BYTES + 1)
        if len(content) > MOST_METADATA_BYTES:
            raise ValueError(f"{METADATA}: expected at most {MOST_METADATA_BYTES} bytes, got more")
        check_plain(content.decode("utf-8"), aliases=True)


def _rosbags() -> tuple[Any, Any]:
    try:
        from rosbags import rosbag2, typesys
    except ModuleNotFoundError as error:
        raise MissingDependencyError("reading bags needs rosbags: pip install rosbags") from error
    return rosbag2, typesys


def _text(told: Exception | str) -> str:
    """Return an error's message, or a name out of the bag, as one printable line of bounded length."""
    line = " ".join(str(told)[:_LONGEST_TEXT].split()).rstrip(".") or type(told).__name__
    return "".join(each if each.isprintable() else "?" for each in line)
