"""Bags that were made to cost unlimited time or memory: one clear reason, what is intact is read, and soon."""

import json
import os
from pathlib import Path

import pytest

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.bags.bag import METADATA, find_bags
from act_inference_ros.evaluation.bags.bag_evaluation import evaluate_bags
from act_inference_ros.evaluation.bags.metadata import MOST_METADATA_BYTES, BagTexts
from act_inference_ros.evaluation.bags.packing import zstd
from act_inference_ros.evaluation.bags.serialized import MOST_TIME_NS
from act_inference_ros.evaluation.results import COMPLETE
from act_inference_ros.evaluation.run_settings import RunSettings
from test.evaluation import bags
from test.evaluation.hostile_bags import (
    MESSAGES,
    ROW,
    SEPARATOR,
    STRING,
    TOPICS,
    channel,
    chunk,
    deadline,
    message,
    read,
    replay,
    schema,
    string,
    write_mcap,
    write_sqlite,
)

KIND = "x_msgs/msg/K"
MERGES = "- history: &a {k: 1}\n" + "".join(
    f"  a{i}: &a{i} {{<<: [{','.join([f'*a{i - 1 if i else str()}'] * 9)}]}}\n" for i in range(8)
)


@pytest.mark.parametrize(
    "topic", ["/joint_states", "/top/image_raw", "/arm/joint_trajectory", "/gripper/commands", "/policy_node/status"]
)
def test_a_topic_of_two_types_is_a_reason_and_the_other_bags_are_evaluated(tmp_path: Path, topic: str) -> None:
    other = bags.message(STRING, data="x")
    status = [(bags.START_S, topic, "diagnostic_msgs/msg/DiagnosticStatus", None)] if topic.endswith("status") else []
    events = [*bags.events(1.0), *status, *((bags.START_S + at, topic, STRING, other) for at in (0.1, 0.2))]
    bags.write_bag(tmp_path / "a", events)
    bags.write_bag(tmp_path / "b", bags.events(1.0))
    with bags.client() as client:
        result = evaluate_bags([tmp_path], bags.configuration(), client, RunSettings("test", ""))
    first, second = result.episodes
    assert second.status == COMPLETE
    assert (first.status == COMPLETE) == (topic == "/policy_node/status")  # nothing is read from it
    refused = [each for each in first.reasons if f"({topic}): expected " in each and f" and {STRING}; " in each]
    assert status or "a topic of several types is not read" in refused[0]


@pytest.mark.parametrize(
    "definition",
    {
        "array of texts": "string[1000000] x\n",
        "arrays in one another": f"x_msgs/A[1000] a\n{SEPARATOR}MSG: x_msgs/A\nx_msgs/B[1000] a\n"
        f"{SEPARATOR}MSG: x_msgs/B\nuint8[0] a\n",
        "messages of no bytes": f"x_msgs/A[] a\n{SEPARATOR}MSG: x_msgs/A\nuint8[0] a\n",
        "messages of no fields": f"x_msgs/A[] a\n{SEPARATOR}MSG: x_msgs/A\n",
        "in itself": "x_msgs/K[] a\n",
        "types that double": "x_msgs/A0 a\nx_msgs/A0 b\n"
        + "".join(f"{SEPARATOR}MSG: x_msgs/A{i}\nx_msgs/A{i + 1} a\nx_msgs/A{i + 1} b\n" for i in range(30))
        + f"{SEPARATOR}MSG: x_msgs/A30\nuint8[0] a\n",
        "fields": "".join(f"uint8 a{i}\n" for i in range(30_000)),
        "few fields too many": "".join(f"uint8 a{i}\n" for i in range(501)),
        "a long text": "#" * 70_000 + "\nuint8 a\n",
        "unknown inside": "x_msgs/A a\n",
    }.items(),
    ids=lambda each: each[0],
)
def test_a_definition_that_costs_much_leaves_its_type_unknown(tmp_path: Path, definition: tuple[str, str]) -> None:
    parts = (schema(KIND, definition[1]), channel("/a"), message(b"\0\1\0\0" + bytes(64)))
    assert read(write_mcap(tmp_path / "bag.mcap", *parts)) == (1, [f"/a: nobody here knows {KIND}"])


def test_definitions_as_packages_have_them_are_learned(tmp_path: Path) -> None:
    definition = (
        "# A comment.\n\nstd_msgs/Header header\nfloat64[36] covariance\nuint8[65536] raw\nstring<=9 name\n"
        f"x_msgs/A[4] corners\nuint8 MODE=1\nx_msgs/A[] points\n{SEPARATOR}MSG: x_msgs/A\nfloat64 x\n"
    )
    data = b"\0\1\0\0" + bytes(8) + b"\1\0\0\0\0" + bytes(3) + bytes(36 * 8 + 65536)
    data += b"\1\0\0\0\0" + bytes(3 + 4 * 8 + 4)
    path = write_mcap(tmp_path / "bag.mcap", schema(KIND, definition), channel("/a"), message(data))
    assert read(path) == (1, [])


def test_the_definitions_of_one_bag_are_limited_together(tmp_path: Path) -> None:
    from act_inference_ros.evaluation.bags.definitions import MessageTypes

    types = MessageTypes()
    for number in range(10):
        types.learn(f"x_msgs/msg/K{number}", "".join(f"uint8 a{i}\n" for i in range(300)))
    assert [f"x_msgs/msg/K{number}" in types for number in range(5)] == [True, True, True, False, False]


QOS = {
    "merge keys": MERGES,
    "short names of tags": f"%TAG !e! tag:{'a' * 30_000}\n---\n[{','.join(['!e!x a'] * 3000)}]",
    "deep": "[" * 60_000,
    "long": "[" + "a," * 500_000 + "]",
    "aliases": "- &a [1, 1]\n" + "".join(f"- &b{i} [{','.join(['*a'] * 9)}]\n" for i in range(9)),
}


@pytest.mark.parametrize("qos", QOS)
def test_a_qos_that_costs_much_is_damage(tmp_path: Path, qos: str) -> None:
    lone = write_mcap(
        tmp_path / "bag.mcap", schema(STRING, "string data\n"), channel("/a", qos=QOS[qos]), message(string("hi"))
    )
    insert = ("INSERT INTO topics VALUES(1, '/a', ?, 'cdr', ?)", (STRING, QOS[qos]))
    for path in (lone, write_sqlite(tmp_path / "bag.db3", TOPICS, MESSAGES, insert, ROW)):
        count, (problem,) = read(path)
        assert count == 1
        assert problem.startswith("damaged: ")


@pytest.mark.parametrize("qos", QOS)
def test_metadata_with_a_qos_that_costs_much_is_refused(tmp_path: Path, qos: str) -> None:
    path = bags.write_bag(tmp_path / "bag", bags.events(0.1))
    _replace(path, "offered_qos_profiles: []", f"offered_qos_profiles: {json.dumps(QOS[qos])}")
    count, (problem,) = read(path)
    assert count == 12
    assert "read up to the damage: 12 messages" in problem
    with pytest.raises(ConfigurationError, match=rf"^{path}: cannot be read: "):
        replay(path)


def test_a_qos_that_many_topics_share_is_parsed_once(tmp_path: Path) -> None:
    path = bags.write_bag(tmp_path / "bag", bags.events(0.1))
    never = "{sec: 0, nsec: 0}"
    profile = (
        "{history: 1, depth: 1, reliability: 1, durability: 1, liveliness: 1, avoid_ros_namespace_conventions: false, "
        f"deadline: {never}, lifespan: {never}, liveliness_lease_duration: {never}}}"
    )
    topics = "".join(
        f"  - message_count: 0\n    topic_metadata: {{name: /{number}, type: std_msgs/msg/String, "
        "serialization_format: cdr, offered_qos_profiles: *q}\n"
        for number in range(1000)
    )
    many = f"shared: &q [{', '.join([profile] * 400)}]\n  topics_with_message_count:\n{topics.rstrip()}"
    _replace(path, "topics_with_message_count:", many)
    assert read(path) == (12, [])
    assert replay(path) == 12


@pytest.mark.parametrize("depth", ["-1", "x", "[1]", "1.5", "0x" + "f" * 5000])
def test_a_qos_with_wrong_numbers_is_refused(tmp_path: Path, depth: str) -> None:
    path = bags.write_bag(tmp_path / "bag", bags.events(0.1))
    never = "{sec: 0, nsec: 0}"
    profile = (
        f"[{{history: keep_last, depth: {depth}, reliability: reliable, durability: volatile, liveliness: automatic, "
        f"deadline: {never}, lifespan: {never}, liveliness_lease_duration: {never}, "
        "avoid_ros_namespace_conventions: false}]"
    )
    _replace(path, "offered_qos_profiles: []", f"offered_qos_profiles: {profile}")
    with pytest.raises(ConfigurationError, match=rf"^{path}: cannot be read: "):
        replay(path)
    assert read(path)[0] == 12


@pytest.mark.parametrize("count", ["-1", ".inf", "x", "0x" + "f" * 5000, str(2**63)])
def test_a_count_that_is_none_is_refused(tmp_path: Path, count: str) -> None:
    path = bags.write_bag(tmp_path / "bag", bags.events(0.1))
    _replace(path, "message_count: 6", f"message_count: {count}")
    count_read, (problem,) = read(path)
    assert (count_read, "read up to the damage: 12 messages" in problem) == (12, True)
    with pytest.raises(ConfigurationError, match=rf"^{path}: cannot be read: "):
        replay(path)


def test_metadata_beyond_its_length_is_not_loaded(tmp_path: Path) -> None:
    path = bags.write_bag(tmp_path / "bag", bags.events(0.1))
    (path / METADATA).write_text((path / METADATA).read_text() + "#" * MOST_METADATA_BYTES)
    assert f"{METADATA}: expected at most {MOST_METADATA_BYTES} bytes, got more" in read(path)[1][0]


def test_a_text_that_is_repeated_is_loaded_once() -> None:
    texts = BagTexts()
    text = json.dumps(["a"] * 10_000)
    assert all(texts.load(text) == ["a"] * 10_000 for _ in range(100))
    with pytest.raises(ValueError, match=r"^expected at most \d+ bytes of YAML in one bag, got more$"):
        [texts.load(f"{text} # {number}") for number in range(100)]


def test_a_chunk_in_a_chunk_is_damage(tmp_path: Path) -> None:
    head = schema(STRING, "string data\n") + channel("/a")
    inside = chunk(message(string("b")))
    path = write_mcap(tmp_path / "bag.mcap", head, chunk(message(string("a"))), chunk(inside * 3), whole=False)
    assert read(path)[0] == 1


def test_more_connections_than_can_be_compared_are_damage(tmp_path: Path) -> None:
    channels = b"".join(channel("/a", number) for number in range(1, 3000))
    path = write_mcap(tmp_path / "bag.mcap", schema(STRING, "string data\n"), channels, message(string("a")))
    count, (problem,) = read(path)
    assert (count, problem.split(";")[0]) == (1, "damaged: expected at most 2048 connections, got 2999")


@pytest.mark.parametrize("name", ["bag.mcap.zst", "bag.x"])
def test_a_packed_file_is_limited_whatever_its_name_is(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bags.write_bag(tmp_path / "bag", bags.events(1.0), "mcap file")
    (path / "bag.mcap.zstd").rename(path / name)
    _replace(path, "bag.mcap.zstd", name, times=-1)
    monkeypatch.setattr("act_inference_ros.evaluation.bags.packing.MOST_FILE_BYTES", 1000)
    monkeypatch.setattr("act_inference_ros.evaluation.bags.packing.MOST_FILE_RATIO", 1)
    assert read(path)[1][0].startswith(f"damaged: {name}: expected at most ")
    with pytest.raises(ConfigurationError, match=rf"{name}: expected at most \d+ bytes unpacked, got more"):
        replay(path)


@pytest.mark.parametrize("name", ["bag.mcap", METADATA])
@pytest.mark.parametrize("device", [False, True])
def test_what_is_no_regular_file_is_not_opened(tmp_path: Path, name: str, device: bool) -> None:
    path = bags.write_bag(tmp_path / "bag", bags.events(0.1))
    (path / name).unlink()
    if device:
        (path / name).symlink_to("/dev/zero")
    else:
        os.mkfifo(path / name)
    assert read(path)[1][0].startswith(f"damaged: {name}: expected a regular file; ")
    with pytest.raises(ConfigurationError, match=r"expected (a regular file|the directory of a rosbag2 recording)"):
        replay(path)


def test_a_storage_file_counts_once(tmp_path: Path) -> None:
    path = bags.write_bag(tmp_path / "bag", bags.events(0.1))
    (path / "again.mcap").symlink_to("bag.mcap")
    for name in ("bag.mcap", "again.mcap"):
        with (path / METADATA).open() as file:
            text = file.read()
        (path / METADATA).write_text(text.replace("- bag.mcap", f"- bag.mcap\n  - {name}", 1))
        assert f"expected each storage file once, got {name} again" in read(path)[1][0]
        (path / METADATA).write_text(text)


def test_directories_that_link_to_themselves_end(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).symlink_to(".")
    bag = bags.write_bag(tmp_path / "c" / "bag", bags.events(0.1))
    (tmp_path / "d").symlink_to("c")
    with deadline():
        assert find_bags([tmp_path]) == [bag]


def test_directories_that_are_nested_too_deeply_are_refused(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a"] * 40)
    deep.mkdir(parents=True)
    with pytest.raises(
        ConfigurationError, match=rf"^bag {tmp_path}: expected at most 32 directories in one another, got more$"
    ):
        find_bags([tmp_path])


def test_a_replay_refuses_what_it_cannot_publish(tmp_path: Path) -> None:
    path = bags.write_bag(tmp_path / "two", [*bags.events(0.1), (bags.START_S, "/joint_states", STRING, None)])
    with deadline(), pytest.raises(ConfigurationError, match=r"^topics /joint_states: expected one type"):
        _chosen(path)
    path = bags.write_bag(tmp_path / "name", [(bags.START_S, "/a\x1b[2J", STRING, bags.message(STRING, data=""))])
    with pytest.raises(ConfigurationError, match=r"name: expected names of topics and types, got /a\?\[2J$"):
        replay(path)
    path = bags.write_bag(tmp_path / "late", [(MOST_TIME_NS * 1e-9, "/a", STRING, bags.message(STRING, data=""))])
    with pytest.raises(ConfigurationError, match=r"late: damaged: expected times of recording from 0 to "):
        replay(path)


@pytest.mark.parametrize("storage", ["mcap message", "sqlite3 message"])
def test_a_replay_unpacks_messages_up_to_their_limit(
    tmp_path: Path, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bags.write_bag(tmp_path / "bag", bags.events(0.1), storage)
    assert replay(path) == 12
    monkeypatch.setattr("act_inference_ros.evaluation.bags.packing.MOST_BYTES", 10)
    with pytest.raises(ConfigurationError, match=r"damaged: expected at most 10 bytes unpacked, got more$"):
        replay(path)


def test_a_replay_says_that_a_file_is_damaged(tmp_path: Path) -> None:
    path = bags.write_bag(tmp_path / "bag", bags.events(0.1), "mcap file")
    (path / "bag.mcap.zstd").write_bytes(zstd().compress(b"no bag")[:-2])
    with pytest.raises(ConfigurationError, match=rf"^{path}: cannot be read: "):
        replay(path)


def _chosen(path: Path) -> None:
    from act_inference_ros.evaluation.bags.serialized import BagSource

    with BagSource(path) as source:
        source.chosen(["/joint_states"])


def _replace(bag: Path, old: str, new: str, times: int = 1) -> None:
    """Write something else into a bag's metadata."""
    text = (bag / METADATA).read_text()
    assert old in text
    (bag / METADATA).write_text(text.replace(old, new, times))
