"""Lets rosbags read with bounds: its own unpacking, YAML and SQL have none.

A rosbags without one of the places that are changed here, older or newer, goes on without that bound.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from act_inference_ros.evaluation.bags.metadata import BagTexts
from act_inference_ros.evaluation.bags.packing import unpacked_lz4, unpacked_zstd
from act_inference_ros.evaluation.bags.sqlite_bounds import MOST_TOPICS, StepLimit, open_plain

_OTHER_IN_ADDRESS = re.compile(r"[?#]|%[0-9A-Fa-f]{2}")
"""rosbags puts a path into a URI as it is; with one of these the URI means another file."""


class _Current:
    """The texts of the bag that is being opened."""

    texts = BagTexts()


@contextlib.contextmanager
def bounded_rosbags(texts: BagTexts) -> Iterator[None]:
    """While a bag is opened, let rosbags load its YAML from `texts`. What else is bounded stays so."""
    before, _Current.texts = _Current.texts, texts
    try:
        _bound_rosbags()
        yield
    finally:
        _Current.texts = before


@functools.cache
def _bound_rosbags() -> None:
    from rosbags.rosbag2 import metadata, reader, storage_mcap, storage_sqlite3

    table: dict[str, Any] = getattr(storage_mcap, "DECOMPRESSORS", {})
    table.update(zstd=lambda data, _: unpacked_zstd(data), lz4=lambda data, _: unpacked_lz4(data))
    modules: tuple[Any, ...] = (metadata, reader, storage_mcap, storage_sqlite3)
    for module in modules:
        if hasattr(module, "YAML"):
            module.YAML = _bounded_yaml(module.YAML)
        if hasattr(module, "parse_qos") and module is not metadata:
            module.parse_qos = _bounded_parse_qos(module.parse_qos)
    bounded: dict[Any, Any] = {
        storage_sqlite3.Sqlite3Reader: _bounded_sqlite(storage_sqlite3.Sqlite3Reader),
        storage_mcap.McapReader: _bounded_mcap(storage_mcap.McapReader),
    }
    for name in ("DirectoryReader", "Reader"):
        plugins = getattr(getattr(reader, name, None), "STORAGE_PLUGINS", {})
        plugins.update({kind: bounded[each] for kind, each in plugins.items() if each in bounded})


def _bounded_yaml(base: Any) -> Any:
    class BoundedYaml(base):  # type: ignore[misc]
        """Loads from the texts of the bag; writes as ever."""

        def load(self, stream: Any) -> Any:
            return _Current.texts.load(stream if isinstance(stream, str) else stream.read())

    return BoundedYaml


def _bounded_parse_qos(parse: Any) -> Any:
    return lambda told: _Current.texts.qos(told, parse)


def _bounded_mcap(base: Any) -> Any:
    class BoundedMcapReader(base):  # type: ignore[misc]
        def open(self) -> None:
            super().open()
            _check_connections(self)

    return BoundedMcapReader


def _bounded_sqlite(base: Any) -> Any:
    class BoundedSqlite3Reader(base):  # type: ignore[misc]
        def open(self) -> None:
            if found := _OTHER_IN_ADDRESS.search(str(self.path)):
                raise ValueError(f"expected a path without {found[0]}, got {self.path}")
            open_plain(Path(self.path)).close()
            self._limit = StepLimit(Path(self.path).stat().st_size)
            with _each_connection_gets(self._limit):
                super().open()
            _check_connections(self)

        def messages(self, *args: Any, **options: Any) -> Any:
            self._limit.reset()
            return super().messages(*args, **options)

    return BoundedSqlite3Reader


@contextlib.contextmanager
def _each_connection_gets(limit: StepLimit) -> Iterator[None]:
    """Let every connection that rosbags opens stop its queries at `limit`. An older rosbags does not use apsw."""
    try:
        import apsw
    except ModuleNotFoundError:
        yield
        return

    def bound(connection: Any) -> None:
        connection.set_progress_handler(limit, limit.EVERY)

    apsw.connection_hooks.append(bound)
    try:
        yield
    finally:
        apsw.connection_hooks.remove(bound)


def _check_connections(storage: Any) -> None:
    """Raise ValueError for more connections than can be compared with each other, as rosbags does."""
    count = len(storage.connections)
    if count > MOST_TOPICS:
        storage.close()
        raise ValueError(f"expected at most {MOST_TOPICS} connections, got {count}")
