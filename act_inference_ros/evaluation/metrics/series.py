"""Bounded samples of unbounded series, for plots; and small copies of images."""

from __future__ import annotations

import heapq
import itertools
import struct
import zlib
from collections.abc import Iterable
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from act_inference_ros.evaluation.results import THUMBNAILS_KEPT, Thumbnail

T = TypeVar("T")
Pixels = npt.NDArray[np.uint8]

THUMBNAIL_WIDTH = 200


class Thinned(Generic[T]):
    """Keeps every 2^k-th item; k grows so that at most `capacity` items are kept."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._stride = 1
        self._seen = 0
        self.items: list[T] = []

    def add(self, item: T) -> None:
        """Add an item, which may be dropped."""
        if self._seen % self._stride == 0:
            if len(self.items) == self._capacity:
                self.items = self.items[::2]
                self._stride *= 2
            if self._seen % self._stride == 0:
                self.items.append(item)
        self._seen += 1


class WorstOf:
    """Stretches of equally many rows (m,), each represented by the largest value of every column.

    The first column is the time, and keeps the first value of the stretch.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._length = 1
        self._filled = 0
        self.rows: list[tuple[float, ...]] = []

    def add(self, row: tuple[float, ...]) -> None:
        """Take the next row."""
        if self._filled == 0 or self._filled == self._length:
            if len(self.rows) == self._capacity:
                self.rows = [_worst(self.rows[i : i + 2]) for i in range(0, len(self.rows), 2)]
                self._length *= 2
            self.rows.append(row)
            self._filled = 1
        else:
            self.rows[-1] = _worst([self.rows[-1], row])
            self._filled += 1


def _worst(rows: list[tuple[float, ...]]) -> tuple[float, ...]:
    columns = list(zip(*rows, strict=True))
    return (columns[0][0], *map(max, columns[1:]))


class ErrorPeaks:
    """The images of the observations whose chunks had the largest errors, separated in time."""

    APART_S = 1.0

    def __init__(self) -> None:
        self._number = itertools.count()
        self._worst: list[tuple[float, int, float, list[tuple[Any, ...]]]] = []

    def add(self, error: float, t_s: float, joint: str, ahead_s: float, images: dict[str, Pixels]) -> None:
        """Consider an observation at `t_s` whose chunk's largest error is `error`; `images` must be thumbnails."""
        near = [entry for entry in self._worst if abs(entry[2] - t_s) < self.APART_S]
        if any(entry[0] >= error for entry in near):
            return
        for entry in near:
            self._worst.remove(entry)
        heapq.heapify(self._worst)
        pictures = [(camera, joint, ahead_s, image) for camera, image in images.items()]
        heapq.heappush(self._worst, (error, next(self._number), t_s, pictures))
        while len(self._worst) > THUMBNAILS_KEPT:
            heapq.heappop(self._worst)

    def thumbnails(self) -> tuple[Thumbnail, ...]:
        """Return the thumbnails, the worst first."""
        return tuple(
            Thumbnail(t_s, camera, joint, error, ahead_s, encode_png(image))
            for error, _, t_s, pictures in sorted(self._worst, reverse=True, key=lambda entry: entry[:2])
            for camera, joint, ahead_s, image in pictures
        )


def thumbnail(image: Pixels) -> Pixels:
    """Return a copy of every n-th pixel of an image (h, w, 3), at most THUMBNAIL_WIDTH wide."""
    every = max(1, -(-image.shape[1] // THUMBNAIL_WIDTH))
    return np.ascontiguousarray(image[::every, ::every])


def encode_png(image: Pixels) -> bytes:
    """Encode uint8 (h, w, 3) RGB as PNG (ISO/IEC 15948), without an imaging library."""
    height, width, _ = image.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), image.reshape(height, width * 3)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks: Iterable[tuple[bytes, bytes]] = (
        (b"IHDR", header),
        (b"IDAT", zlib.compress(rows.tobytes(), 6)),
        (b"IEND", b""),
    )
    packed = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)
