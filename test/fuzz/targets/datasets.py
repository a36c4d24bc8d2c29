"""Targets: the description of a data set and of its episodes, its tables and its videos."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from act_inference_ros.evaluation.datasets.description import read_info
from act_inference_ros.evaluation.datasets.frames import EpisodeFrames
from act_inference_ros.evaluation.datasets.index import read_episodes
from test.evaluation import datasets
from test.evaluation.datasets import CAMERA, STATE, V21, V30
from test.fuzz.files import file_target
from test.fuzz.mutation import bytes_mutation, json_mutation, one_of
from test.fuzz.target import LONGEST_INPUT, MIB, Mutate, Target

_MEMORY_BYTES = 256 * MIB
_FRAMES = 3
_LINES = "meta/episodes.jsonl"
_ROWS_V30 = "meta/episodes/chunk-000/file-000.parquet"
_TABLE = "data/chunk-000/episode_000000.parquet"
_VIDEO = f"videos/chunk-000/{CAMERA}/episode_000000.mp4"


def dataset_info(directory: Path) -> Target:
    """meta/info.json of both versions, and meta/episodes.jsonl."""
    images = datasets.write_dataset(directory / "images", V21, "image", lengths=(_FRAMES,))
    newer = datasets.write_dataset(directory / "newer", V30, "image", lengths=(_FRAMES,))
    json_file = one_of(json_mutation, json_mutation, json_mutation, bytes_mutation)
    files = [images / "meta/info.json", newer / "meta/info.json", images / _LINES]
    return _target("dataset_info", files, [images, newer, images], [json_file, json_file, _lines_mutation])


def dataset_table(directory: Path) -> Target:
    """The table of an episode, and v3.0's table of the episodes: something wrong in the table or in its bytes."""
    images = datasets.write_dataset(directory / "images", V21, "image", lengths=(_FRAMES,))
    newer = datasets.write_dataset(directory / "newer", V30, "image", lengths=(_FRAMES,))
    tables = one_of(_table_mutation, _table_mutation, bytes_mutation, _footer_mutation)
    return _target("dataset_table", [images / _TABLE, newer / _ROWS_V30], [images, newer], [tables, tables])


def dataset_video(directory: Path) -> Target:
    """The video of an episode, with something wrong in a box or in its bytes."""
    videos = datasets.write_dataset(directory / "videos", V21, "video", lengths=(_FRAMES,))
    return _target("dataset_video", [videos / _VIDEO], [videos], [one_of(_box_mutation, bytes_mutation)])


def _target(name: str, files: Sequence[Path], roots: Sequence[Path], mutate: Sequence[Mutate]) -> Target:
    seeds = [bytes([kind]) + path.read_bytes() for kind, path in enumerate(files)]
    return file_target(name, files, roots, _read, seeds, mutate, _MEMORY_BYTES)


def _read(root: Path) -> None:
    """Read what the evaluation reads: the description, and all frames of the first episodes."""
    info = read_info(root)
    for entry in read_episodes(info)[:3]:
        keys = [key for key, feature in info.features.items() if feature.is_image or feature.is_vector][:8]
        with EpisodeFrames(info, entry, keys) as episode:
            for frame in episode.frames():
                assert set(frame.vectors) | set(frame.images) == set(keys)
            for problem in episode.problems:
                assert "\n" not in problem
                assert len(problem) < 5000


def _lines_mutation(data: bytes, random: random.Random) -> bytes:
    lines = data.splitlines() or [b""]
    place = random.randrange(len(lines))
    lines[place] = json_mutation(lines[place], random)
    if random.random() < 0.2:
        lines.insert(place, random.choice(lines))
    return b"\n".join(lines)[:LONGEST_INPUT]


_COLUMNS: tuple[Callable[[int], Any], ...] = (
    lambda n: pa.array(["a"] * n),
    lambda n: pa.array([None] * n),
    lambda n: pa.array([2**63 - 1] * n),
    lambda n: pa.array([float("nan")] * n),
    lambda n: pa.array([[0.0, 1.0, 2.0]] * n),
    lambda n: pa.array([[0.0, None, 2.0]] * n),
    lambda n: pa.array([None, *[[0.0, 1.0, 2.0]] * (n - 1)], pa.list_(pa.float32())),
    lambda n: pa.array([[[0.0]]] * n),
    lambda n: pa.array([{"bytes": b"x" * 9, "path": "a"}] * n),
    lambda n: pa.array([{"bytes": None}] * n),
    lambda n: pa.array([b"\x89PNG\r\n\x1a\n"] * n),
    lambda n: pa.array([True] * n),
    lambda n: pa.array([1e308] * n),
    lambda n: pa.array([[0.0, 1.0, 2.0]] * n, pa.list_(pa.float64(), 3)),
    lambda n: pa.array([[0.0, 1.0, 2.0]] * n, pa.large_list(pa.float16())),
    lambda n: pa.array(range(n), pa.uint64()),
    lambda n: pa.array(range(n), pa.date64()),
    lambda n: pa.array([0] * n, pa.timestamp("ns")),
    lambda n: pa.array(["a"] * n).dictionary_encode(),
    lambda n: pa.nulls(n, pa.list_(pa.float32())),
)


def _table_mutation(data: bytes, random: random.Random) -> bytes:
    """Another type, order or number of columns or rows, written properly."""
    try:
        table = parquet.read_table(io.BytesIO(data))
        for _ in range(random.randint(1, 3)):
            table = _changed_table(table, random)
        packing = random.choice(("snappy", "zstd", "gzip", "none", "lz4"))
        made = io.BytesIO()
        parquet.write_table(
            table,
            made,
            compression=packing,
            row_group_size=random.choice((1, 2, 100)),
            use_dictionary=random.random() < 0.5,
        )
    except Exception:  # hostile itself, or cannot be written
        return bytes_mutation(data, random)
    return made.getvalue()[:LONGEST_INPUT]


def _changed_table(table: Any, random: random.Random) -> Any:
    names, place = table.column_names, random.randrange(table.num_columns)
    match random.randrange(6):
        case 0:
            return table.drop([names[place]])
        case 1:
            return table.append_column(names[place], table.column(place))
        case 2:
            return table.take([random.randrange(table.num_rows) for _ in range(random.choice((0, 1, 2, 5)))])
        case 3:
            return table.rename_columns(
                [random.choice((*names, STATE)) if i == place else name for i, name in enumerate(names)]
            )
        case _:
            return table.set_column(place, names[place], random.choice(_COLUMNS)(table.num_rows))


def _footer_mutation(data: bytes, random: random.Random) -> bytes:
    """Something wrong in the footer, which says what lies where and how large it is unpacked; its length is right."""
    length = int.from_bytes(data[-8:-4], "little")
    start = len(data) - 8 - length
    if not length or not 0 < start < len(data):
        return bytes_mutation(data, random)
    changed = bytearray(data)
    for _ in range(random.randint(1, 4)):
        changed[start + random.randrange(length)] = random.choice(
            (0, 1, 2, 0x15, 0x7F, 0x80, 0xFF, random.randrange(256))
        )
    return bytes(changed)


def _box_mutation(data: bytes, random: random.Random) -> bytes:
    """A number in a box that says how the video is made, or the box's name; or bytes of the frames."""
    changed = bytearray(data)
    boxes = (
        b"moov",
        b"trak",
        b"stsd",
        b"avc1",
        b"avcC",
        b"stsz",
        b"stco",
        b"stts",
        b"ctts",
        b"stsc",
        b"stss",
        b"mdhd",
        b"tkhd",
        b"elst",
        b"mdat",
    )
    for _ in range(random.randint(1, 3)):
        name = random.choice(boxes)
        at = changed.find(name)
        if at < 0:
            continue
        place = at + random.choice((-4, -3, -2, -1, 0, random.randrange(4, 40), random.randrange(4, 120)))
        value = random.choice((0, 1, 2, 0x7F, 0x80, 0xFF, random.randrange(256)))
        changed[max(place, 0) : max(place, 0) + 1] = bytes([value])
    return bytes(changed)
