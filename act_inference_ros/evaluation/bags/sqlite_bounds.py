"""Opens SQLite storage files so that a few bytes cannot cost unlimited time or memory.

A database can compute its rows (views, virtual tables, generated columns), and its pages can be used several times.
"""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from typing import Any

MOST_TOPICS = 2048
MOST_TEXT_BYTES = 2**24
"""Most bytes of the topics' texts, and of the definitions of their types."""
_PLAIN = ("CREATE TABLE", "CREATE INDEX", "CREATE UNIQUE INDEX")
_TABLES = ("schema", "topics", "message_definitions", "messages")
_LONGEST_DEFAULT = 64
_MOST_LENGTH = 10**9
"""SQLite's own limit."""
_STEPS, _STEPS_PER_BYTE, _STEPS_AT_ONCE = 10_000_000, 20, 10_000
LEAST_ROW_BYTES = 9
"""What a row of messages takes in the file at least, besides its data."""


class StepLimit:
    """SQLite's progress handler: stops a query after a number of steps in proportion to the file's `size`, bytes.

    A query takes more of them only if it reads parts of the file again and again.
    """

    EVERY = _STEPS_AT_ONCE
    """Steps of SQLite's machine from one call to the next."""

    def __init__(self, size: int) -> None:
        self._most = (_STEPS + _STEPS_PER_BYTE * size) // _STEPS_AT_ONCE
        self._calls = 0

    def reset(self) -> None:
        """Begin to count for another query."""
        self._calls = 0

    def __call__(self) -> bool:
        """Whether the query has to end."""
        self._calls += 1
        return self.exceeded

    @property
    def exceeded(self) -> bool:
        """Whether a query was stopped."""
        return self._calls > self._most


def open_plain(file: Path, damaged: bool = False) -> sqlite3.Connection:
    """Open a storage file for reading; of one that is damaged the schema alone is checked.

    Raises sqlite3.Error for what is no database, ValueError for one that is not plain.
    """
    size = file.stat().st_size
    limit = StepLimit(size)
    connection = sqlite3.connect(f"{file.resolve().as_uri()}?immutable=1", uri=True)
    try:
        connection.set_progress_handler(limit, limit.EVERY)
        if sys.version_info >= (3, 11):
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, min(size, _MOST_LENGTH))
        connection.execute("PRAGMA trusted_schema=OFF")
        if damaged:  # This opens a file that is shorter than its header says.
            connection.execute("PRAGMA writable_schema=ON")
        _check_schema(connection)
        if not damaged:
            _check_topics(connection)
            _check_definitions(connection)
            _check_messages(connection, size)
    except sqlite3.Error as error:
        connection.close()
        if limit.exceeded:
            raise ValueError("expected rows in proportion to the file, got endless ones") from error
        raise
    except BaseException:
        connection.close()
        raise
    return connection


def _check_schema(connection: sqlite3.Connection) -> None:
    for kind, sql in connection.execute("SELECT type, sql FROM sqlite_master"):
        if sql is not None and not str(sql).upper().startswith(_PLAIN):
            raise ValueError(f"expected a database of plain tables, got a {kind}")
    for table in _TABLES:
        for _, name, _, _, default, _, hidden in connection.execute(f"PRAGMA table_xinfo({table})"):
            if hidden or (default is not None and len(str(default)) > _LONGEST_DEFAULT):
                raise ValueError(f"expected plain columns, got a computed one in {table}: {name}")


def _check_topics(connection: sqlite3.Connection) -> None:
    ids = set()
    left = MOST_TEXT_BYTES
    cursor = connection.execute("SELECT * FROM topics")
    places = [[name for name, *_ in cursor.description].index(column) for column in ("id", "name", "type")]
    for row in cursor:
        number, name, kind = (row[place] for place in places)
        if not isinstance(number, int) or not isinstance(name, str) or not isinstance(kind, str):
            raise ValueError("expected a number, a name and a type of each topic")
        ids.add(number)
        left -= _bytes_of(row)
        if len(ids) > MOST_TOPICS or left < 0:
            raise ValueError(f"expected at most {MOST_TOPICS} topics with {MOST_TEXT_BYTES} bytes, got more")
    (rows,) = connection.execute("SELECT count(*) FROM topics").fetchone()
    if rows != len(ids):
        raise ValueError("expected another number for each topic")


def _check_definitions(connection: sqlite3.Connection) -> None:
    if not connection.execute("PRAGMA table_info(message_definitions)").fetchall():
        return
    left = MOST_TEXT_BYTES
    for row in connection.execute("SELECT * FROM message_definitions"):
        left -= _bytes_of(row)
        if left < 0:
            raise ValueError(f"expected at most {MOST_TEXT_BYTES} bytes of message definitions, got more")


def _bytes_of(row: tuple[Any, ...]) -> int:
    return sum(len(value) if isinstance(value, str | bytes) else 8 for value in row)


def _check_messages(connection: sqlite3.Connection, size: int) -> None:
    count, data_bytes, wrong = connection.execute(
        "SELECT count(*), total(CASE typeof(data) WHEN 'blob' THEN length(data) END), "
        "total(typeof(topic_id) <> 'integer' OR typeof(timestamp) <> 'integer' OR typeof(data) <> 'blob') "
        "FROM messages NOT INDEXED"
    ).fetchone()
    if wrong:
        raise ValueError(f"expected a topic, a time and data in each row, got {wrong:.0f} other ones")
    if data_bytes + LEAST_ROW_BYTES * count > size:
        raise ValueError(f"expected messages within the {size} bytes of the file, got {data_bytes:.0f} of {count}")
