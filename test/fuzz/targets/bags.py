"""Targets: the files of a bag: MCAP (plain, and with packed chunks or messages), SQLite, and metadata.yaml."""

from __future__ import annotations

import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

from act_inference_ros.evaluation.bags.bag import METADATA, Bag, find_bags
from test.evaluation import bags
from test.fuzz.files import file_target
from test.fuzz.mutation import LONG_NUMBERS, bytes_mutation, one_of
from test.fuzz.target import LONGEST_INPUT, MIB, Target

_MEMORY_BYTES = 256 * MIB
_SECONDS = 0.1
_MAGIC = b"\x89MCAP0\r\n"
_HEADER, _FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
_KINDS = (
    _HEADER,
    _FOOTER,
    _SCHEMA,
    _CHANNEL,
    _MESSAGE,
    _CHUNK,
    0x07,
    0x08,
    0x09,
    0x0A,
    0x0B,
    0x0C,
    0x0D,
    0x0E,
    0x0F,
    0x7F,
)
_PACKINGS = (b"", b"lz4", b"zstd", b"bz2", b"\xff")
_Records = list[tuple[int, bytes]]

_METADATA_TOKENS = [
    token.encode()
    for token in (
        "&a ", "*a", "<<: *a\n", "!!python/object:os.system ", "!!int ", "!!timestamp ", "!!binary ", "0x", "1:99:99",
        "~", "null",
        "../x", "/etc/hostname", "zstd", "lz4", "file", "message", "FILE", "sqlite3", "mcap", "cdr", "version: 10",
        "version: x", "-1",
        "1e400", "9" * 30, "[[[[", "{{{{", "- ", "? ", "\t", "\\0", "nanoseconds: .inf", "bag.db3", "metadata.yaml",
        ".", "''",
    )
]  # fmt: skip


def bag_mcap(directory: Path) -> Target:
    """A lone .mcap file, and one in a directory with packed messages."""
    plain = bags.write_bag(directory / "plain", bags.events(_SECONDS), "mcap")
    packed = bags.write_bag(directory / "packed", bags.events(_SECONDS), "mcap message")
    chunks = bags.write_bag(directory / "chunks", bags.events(_SECONDS), "mcap chunk")
    lone = directory / "lone.mcap"
    whole = packed / "packed.mcap"
    seeds = [
        b"\0" + (plain / "plain.mcap").read_bytes(),
        b"\0" + (chunks / "chunks.mcap").read_bytes(),
        b"\1" + whole.read_bytes(),
    ]
    seeds.append(b"\0" + _without_summary((plain / "plain.mcap").read_bytes()))
    mutate = one_of(mcap_mutation, mcap_mutation, mcap_mutation, bytes_mutation)
    return file_target("bag_mcap", (lone, whole), (lone, packed), _read, seeds, (mutate, mutate), _MEMORY_BYTES)


def bag_sqlite(directory: Path) -> Target:
    """A lone .db3 file, and one in a directory with packed messages."""
    plain = bags.write_bag(directory / "plain", bags.events(_SECONDS), "sqlite3")
    packed = bags.write_bag(directory / "packed", bags.events(_SECONDS), "sqlite3 message")
    lone, whole = directory / "lone.db3", packed / "packed.db3"
    seeds = [b"\0" + (plain / "plain.db3").read_bytes(), b"\1" + whole.read_bytes()]
    mutate = one_of(_sqlite_mutation, _sqlite_mutation, bytes_mutation)
    return file_target("bag_sqlite", (lone, whole), (lone, packed), _read, seeds, (mutate, mutate), _MEMORY_BYTES)


def bag_metadata(directory: Path) -> Target:
    """metadata.yaml, and a storage file that is packed as a whole."""
    plain = bags.write_bag(directory / "plain", bags.events(_SECONDS), "mcap")
    packed = bags.write_bag(directory / "packed", bags.events(_SECONDS), "mcap file")
    shutil.copy(plain / "plain.mcap", plain / "bag.db3")
    files = (plain / METADATA, packed / METADATA, packed / "packed.mcap.zstd")
    seeds = [bytes([kind]) + path.read_bytes() for kind, path in enumerate(files)]
    mutate = (_metadata_mutation, _metadata_mutation, bytes_mutation)
    return file_target("bag_metadata", files, (plain, packed, packed), _read, seeds, mutate, _MEMORY_BYTES)


def _read(path: Path) -> None:
    """Whatever a bag is: what can be read of it comes, and what cannot is said in a line."""
    (found,) = find_bags([path])
    with Bag(found) as bag:
        for kinds in bag.types.values():
            for kind in kinds:
                bag.learn(kind)
        for topic, received, _ in bag.messages(list(bag.types)):
            assert topic in bag.types
            assert isinstance(received, float)
        for problem in bag.problems:
            assert "\n" not in problem
            assert len(problem) < 5000


def _records(data: bytes) -> _Records:
    """The records of an MCAP file, or of a chunk; a rest that is none is left out."""
    place = len(_MAGIC) if data.startswith(_MAGIC) else 0
    found = []
    while place + 9 <= len(data):
        kind, size = struct.unpack_from("<BQ", data, place)
        if place + 9 + size > len(data):
            break
        found.append((kind, data[place + 9 : place + 9 + size]))
        place += 9 + size
    return found


def _packed(records: _Records) -> bytes:
    return b"".join(struct.pack("<BQ", kind, len(body)) + body for kind, body in records)


def _without_summary(data: bytes) -> bytes:
    """The same without its index, as a recorder that ran out of disk leaves it; the footer says so."""
    records = _records(data)
    end = next(i for i, (kind, _) in enumerate(records) if kind == 0x0F)
    return _MAGIC + _packed([*records[: end + 1], (_FOOTER, bytes(20))]) + _MAGIC


def mcap_mutation(data: bytes, random: random.Random) -> bytes:
    """Something wrong in a record, also of a chunk; mostly without the summary, whose offsets are wrong then."""
    if not data.startswith(_MAGIC):
        return bytes_mutation(data, random)
    records = _records(data)
    for _ in range(random.randint(1, 3)):
        _change_record(records, random)
    whole = _MAGIC + _packed(records) + _MAGIC
    try:
        return (_without_summary(whole) if random.random() < 0.6 else whole)[:LONGEST_INPUT]
    except StopIteration:
        return whole[:LONGEST_INPUT]


def _change_record(records: _Records, random: random.Random, depth: int = 0) -> None:
    if not records:
        return
    at = random.randrange(len(records))
    kind, body = records[at]
    if kind == _CHUNK and depth == 0 and random.random() < 0.7:
        records[at] = (kind, _changed_chunk(body, random))
        return
    match random.randrange(6):
        case 0:
            records[at] = (random.choice(_KINDS), body)
        case 1:
            del records[at]
        case 2:
            records.insert(at, random.choice(records))
        case 3:
            place = random.randrange(len(body) + 1)
            number = struct.pack(random.choice(("<H", "<I", "<Q")), random.choice(LONG_NUMBERS) % 2**16)
            records[at] = (kind, body[:place] + number + body[place + len(number) :])
        case _:
            records[at] = (kind, bytes_mutation(body, random))


def _changed_chunk(body: bytes, random: random.Random) -> bytes:
    """A chunk with something wrong inside; its size is told as it is, mostly, and it has no checksum."""
    head, size = body[:16], len(body)
    length = int.from_bytes(body[28:32], "little")
    packing, content = body[32 : 32 + length], body[32 + length + 8 :]
    if packing == b"":
        inside = _records(content)
        _change_record(inside, random, 1)
        content = _packed(inside)
    else:
        content = bytes_mutation(content, random)
    size = int.from_bytes(body[16:24], "little") if packing else len(content)
    if random.random() < 0.1:
        size = random.choice(LONG_NUMBERS)
    if random.random() < 0.1:
        packing = random.choice(_PACKINGS)
    told = len(content) if random.random() < 0.95 else random.choice(LONG_NUMBERS)
    return head + struct.pack("<QII", size, 0, len(packing)) + packing + struct.pack("<Q", told) + content


def _sqlite_mutation(data: bytes, random: random.Random) -> bytes:
    """Something wrong in the header of a page, in its list of cells, or in a text of the schema."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 3)):
        page = 4096 * random.randrange(max(1, len(changed) // 4096))
        start = page + (100 if page == 0 else 0)
        place = start + random.choice((random.randrange(12), random.randrange(40), random.randrange(4096)))
        if random.random() < 0.3:
            found = changed.find(
                random.choice((b"topics", b"messages", b"CREATE", b"sensor_msgs", b"id INTEGER", b"BLOB"))
            )
            place = found + random.randrange(20) if found >= 0 else place
        changed[place : place + 1] = bytes([random.choice((0, 1, 2, 5, 10, 13, 127, 128, 255, random.randrange(256)))])
    return bytes(changed[:LONGEST_INPUT])


def _metadata_mutation(data: bytes, random: random.Random) -> bytes:
    """A value or the indentation of a line exchanged; a line left out or repeated; YAML's signs put in."""
    lines = data.split(b"\n")
    changes: list[Callable[[int], bytes]] = [
        lambda place: lines[place].partition(b":")[0] + b": " + random.choice(_METADATA_TOKENS),
        lambda place: b" " * random.randrange(8) + lines[place].lstrip(),
        lambda place: lines[place] + b"\n" + random.choice(lines),
        lambda place: b"",
        lambda place: bytes_mutation(lines[place], random, _METADATA_TOKENS),
    ]
    for _ in range(random.randint(1, 3)):
        place = random.randrange(len(lines))
        lines[place] = random.choice(changes)(place)
    return b"\n".join(lines)[:LONGEST_INPUT]
