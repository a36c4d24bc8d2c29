"""Unpacks what a bag has packed (zstd, lz4), but no more than fits in memory: a kilobyte can unpack to a gigabyte."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

MOST_BYTES = 2**26
"""Largest message or chunk, unpacked: two raw images of a 4K camera. rosbag2's chunks have about a megabyte."""
MOST_TOGETHER_BYTES = 2**28
"""Most bytes of chunks that overlap in time: they are in memory at once."""
MOST_FILE_BYTES, MOST_FILE_RATIO = 2**28, 1000
"""A packed storage file is unpacked on the disk: it may have that many bytes, or that many times its own, unpacked."""
_COPY_BYTES = 1 << 20


def zstd() -> Any:
    """The zstd of the standard library, or the backport that rosbags brings."""
    try:
        from compression import zstd
    except ModuleNotFoundError:
        from backports import zstd
    return zstd


def unpacked_zstd(data: bytes) -> bytes:
    """Unpack a message or a chunk. Raises ValueError, also where it is too large."""
    return _unpacked(zstd().ZstdDecompressor, zstd().ZstdError, data)


def unpacked_lz4(data: bytes) -> bytes:
    """The same for lz4."""
    from lz4.frame import LZ4FrameDecompressor

    return _unpacked(LZ4FrameDecompressor, RuntimeError, data)


def _unpacked(make_decompressor: Any, error: type[Exception], data: bytes) -> bytes:
    parts: list[bytes] = []
    left = MOST_BYTES
    while data:  # several packed pieces may follow one another
        decompressor = make_decompressor()
        try:
            part = decompressor.decompress(data, left + 1)
        except error as problem:
            raise ValueError(f"cannot be unpacked: {problem}") from problem
        left -= len(part)
        if left < 0:
            raise ValueError(f"expected at most {MOST_BYTES} bytes unpacked, got more")
        if not decompressor.eof:
            raise ValueError("cannot be unpacked: its end is missing")
        parts.append(part)
        data = decompressor.unused_data
    return b"".join(parts)


def check_chunks(chunks: Iterable[Any]) -> None:
    """Raise ValueError for chunks, as rosbags describes them, that would take too much memory at once."""
    changes = []
    for chunk in chunks:
        changes.append((chunk.message_start_time, 0, chunk.uncompressed_size))
        changes.append((chunk.message_end_time, 1, -chunk.uncompressed_size))
    size = 0
    for _, _, change in sorted(changes):
        size += change
        if size > MOST_TOGETHER_BYTES:
            raise ValueError(f"expected chunks of at most {MOST_TOGETHER_BYTES} bytes at one time, got {size}")


def unpack_file(source: Path, target: Path | None) -> None:
    """Unpack a storage file into `target`, as far as it can be read; only try it, if that is None.

    Raises ValueError for a file that is too large unpacked, ZstdError for one that is damaged.
    """
    most = max(MOST_FILE_BYTES, MOST_FILE_RATIO * source.stat().st_size)
    with source.open("rb") as packed, (target or Path("/dev/null")).open("wb") as file:
        decompressor, written = zstd().ZstdDecompressor(), 0
        while data := packed.read(_COPY_BYTES):
            while data or not decompressor.needs_input:
                if decompressor.eof:  # another piece follows
                    data, decompressor = decompressor.unused_data + data, zstd().ZstdDecompressor()
                    if not data:
                        break
                written += file.write(decompressor.decompress(data, _COPY_BYTES))
                data = b""
                if written > most:
                    raise ValueError(f"{source.name}: expected at most {most} bytes unpacked, got more")
