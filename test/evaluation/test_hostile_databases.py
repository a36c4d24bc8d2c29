"""SQLite storages that compute what they hold, or use their pages many times: what is real is read, and soon."""

from pathlib import Path

import pytest

from test.evaluation.hostile_bags import MESSAGES, ROW, TOPIC, TOPICS, multiply_rows, read, write_sqlite

ENDLESS = "AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT "

COMPUTED = {
    "endless messages": (
        TOPICS,
        "CREATE VIEW messages " + ENDLESS + "x id, 1 topic_id, x timestamp, x'' data FROM c",
    ),
    "a huge message": (
        TOPICS,
        "CREATE VIEW messages AS SELECT 1 id, 1 topic_id, 5 timestamp, zeroblob(900000000) data",
    ),
    "endless topics": (
        MESSAGES,
        "CREATE VIEW topics " + ENDLESS + "x id, 'a' name, 'b' type, 'cdr' serialization_format FROM c",
    ),
    "endless schema": (TOPICS, MESSAGES, "CREATE VIEW schema " + ENDLESS + "max(x) schema_version FROM c"),
    "endless definitions": (TOPICS, MESSAGES, "CREATE VIEW message_definitions " + ENDLESS + "x id FROM c"),
    "generated": (
        TOPICS,
        "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id, timestamp, data AS (zeroblob(900000000)))",
        "INSERT INTO messages(topic_id, timestamp) VALUES(1, 5)",
    ),
    "virtual": (TOPICS, MESSAGES, "CREATE VIRTUAL TABLE x USING rtree(id, a, b)"),
}


@pytest.mark.parametrize("kind", COMPUTED)
def test_a_database_that_computes_what_it_holds_is_not_read(tmp_path: Path, kind: str) -> None:
    topic = [TOPIC] if TOPICS in COMPUTED[kind] else []
    count, (problem,) = read(write_sqlite(tmp_path / "bag.db3", *COMPUTED[kind], *topic))
    assert count == 0
    assert problem.startswith("damaged: expected a database of plain tables, got a ") or kind == "generated"
    assert kind != "generated" or "expected plain columns, got a computed one in messages: data" in problem


@pytest.mark.parametrize("values", ["1, 'abc', x'00'", "1, NULL, x'00'", "1, 5, 'abc'", "'x', 5, x'00'", "1, 5, NULL"])
def test_rows_of_other_types_are_left_out(tmp_path: Path, values: str) -> None:
    loose = "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id, timestamp, data)"
    insert = f"INSERT INTO messages(topic_id, timestamp, data) VALUES({values})"
    count, problems = read(write_sqlite(tmp_path / "bag.db3", TOPICS, loose, TOPIC, ROW, insert))
    assert count == 1
    assert "expected a topic, a time and data in each row, got 1 other ones; read up to the damage" in problems[0]


@pytest.mark.parametrize("values", ["1, 5, 6, 'cdr', ''", "1, NULL, NULL, 'cdr', ''", "1, '/a', 'b', 'cdr', 7"])
def test_topics_of_other_types_are_left_out(tmp_path: Path, values: str) -> None:
    loose = "CREATE TABLE topics(id INTEGER PRIMARY KEY, name, type, serialization_format, offered_qos_profiles)"
    count, problems = read(
        write_sqlite(tmp_path / "bag.db3", loose, MESSAGES, f"INSERT INTO topics VALUES({values})", ROW)
    )
    assert count == (1 if "/a" in values else 0)
    assert problems[0].startswith("damaged: ")


def test_topics_with_one_number_do_not_multiply_the_messages(tmp_path: Path) -> None:
    loose = TOPICS.replace("INTEGER PRIMARY KEY", "INTEGER")
    path = write_sqlite(tmp_path / "bag.db3", loose, MESSAGES, *([TOPIC] * 3), *([ROW] * 3))
    count, (problem,) = read(path)
    assert count == 3
    assert problem.startswith("damaged: expected another number for each topic; read up to the damage: 3 messages")


@pytest.mark.parametrize("tree", ["messages", "times"])
def test_pages_that_are_used_again_and_again_make_no_endless_rows(tmp_path: Path, tree: str) -> None:
    row = ("INSERT INTO messages(topic_id, timestamp, data) VALUES(1, 1700000000000000000, ?)", (bytes(100),))
    index = "CREATE INDEX times ON messages(timestamp)"
    path = write_sqlite(tmp_path / "bag.db3", "PRAGMA page_size=512", TOPICS, MESSAGES, index, TOPIC, *[row] * 20_000)
    multiply_rows(path, tree)
    count, problems = read(path)
    assert count <= 50_000
    assert any(problem.startswith("damaged") for problem in problems)


@pytest.mark.parametrize("name", ["a?mode=memory.db3", "a#b.db3", "%2e.db3", "100%_of_it.db3"])
def test_a_name_that_an_address_would_change_is_not_followed(tmp_path: Path, name: str) -> None:
    (tmp_path / "a").write_bytes(b"another file")
    count, problems = read(write_sqlite(tmp_path / name, TOPICS, MESSAGES, TOPIC, ROW))
    assert count == 1
    assert (problems == []) == (name == "100%_of_it.db3")
