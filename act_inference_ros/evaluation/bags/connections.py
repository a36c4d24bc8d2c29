"""Chooses the connections of a bag to read: those of its metadata and those of its storage files."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any


def connections_on(reader: Any, topics: Collection[str]) -> list[Any]:
    """Return the connections of an open rosbags reader that are on `topics`, for its `messages`.

    A reader of a directory takes its connections from metadata.yaml, and looks in the storage files for equal ones,
    including the QoS. If the files differ (converted or older bags), it would find no message at all. So the
    connections of the files are included, too.
    """
    known = [*reader.connections, *(each for storage in storages_of(reader) for each in storage.connections)]
    return [connection for connection in known if connection.topic in topics]


def storages_of(reader: Any) -> list[Any]:
    """Return what reads the storage files of an open rosbags reader."""
    storage = getattr(reader, "storage", None)
    return list(getattr(storage, "storages", [storage]))
