"""What a bag has packed is unpacked up to a limit, in memory and on the disk; several pieces make one whole."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from lz4 import frame as lz4

from act_inference_ros.evaluation.bags import packing
from act_inference_ros.evaluation.bags.packing import MOST_BYTES, check_chunks, unpack_file, unpacked_lz4, unpacked_zstd
from act_inference_ros.evaluation.results import COMPLETE, PARTIAL
from test.evaluation import bags
from test.evaluation.test_bad_bags import evaluate

zstd = packing.zstd()
PACKINGS = {"zstd": (zstd.compress, unpacked_zstd), "lz4": (lz4.compress, unpacked_lz4)}


@pytest.mark.parametrize("kind", PACKINGS)
def test_what_is_packed_in_pieces_comes_out_whole(kind: str) -> None:
    pack, unpack = PACKINGS[kind]
    assert unpack(pack(b"a" * 10_000) + pack(b"") + pack(b"bc")) == b"a" * 10_000 + b"bc"


@pytest.mark.parametrize("kind", PACKINGS)
def test_a_message_or_chunk_beyond_the_limit_is_refused(kind: str) -> None:
    pack, unpack = PACKINGS[kind]
    assert len(unpack(pack(bytes(MOST_BYTES)))) == MOST_BYTES
    half = pack(bytes(MOST_BYTES // 2))
    for bomb in (pack(bytes(MOST_BYTES + 1)), half + half + pack(b"a")):
        with pytest.raises(ValueError, match=rf"^expected at most {MOST_BYTES} bytes unpacked, got more$"):
            unpack(bomb)


@pytest.mark.parametrize("kind", PACKINGS)
def test_what_is_cut_off_or_not_packed_is_refused(kind: str) -> None:
    pack, unpack = PACKINGS[kind]
    for data in (pack(b"abc" * 100)[:-3], b"no such thing", pack(b"a") + b"b"):
        with pytest.raises(ValueError, match=r"^cannot be unpacked: "):
            unpack(data)


def test_chunks_that_overlap_are_limited_together() -> None:
    def chunk(start: int, end: int) -> SimpleNamespace:
        return SimpleNamespace(message_start_time=start, message_end_time=end, uncompressed_size=MOST_BYTES)

    check_chunks([chunk(start, start + 3) for start in range(0, 100)])
    with pytest.raises(ValueError, match=r"^expected chunks of at most 268435456 bytes at one time, got 335544320$"):
        check_chunks([chunk(start, start + 4) for start in range(0, 100)])


def test_a_file_is_unpacked_up_to_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / "a.mcap.zstd", tmp_path / "a.mcap"
    source.write_bytes(zstd.compress(b"a" * 3_000_000) + zstd.compress(b"b" * 5))
    unpack_file(source, target)
    assert target.read_bytes() == b"a" * 3_000_000 + b"b" * 5
    monkeypatch.setattr(packing, "MOST_FILE_BYTES", 1_000_000)
    with pytest.raises(ValueError, match=r"^a\.mcap\.zstd: expected at most 1000000 bytes unpacked, got more$"):
        unpack_file(source, None)


def test_a_bag_that_is_packed_as_a_bomb_is_said_to_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bags.write_bag(tmp_path / "bag", bags.events(1.0), "mcap file")
    assert evaluate(path).status == COMPLETE
    monkeypatch.setattr(packing, "MOST_FILE_BYTES", 1000)
    monkeypatch.setattr(packing, "MOST_FILE_RATIO", 1)
    episode = evaluate(path)
    assert episode.status == PARTIAL  # of so small a bomb the first piece is all
    assert "bag.mcap.zstd: expected at most" in episode.reasons[0]
