"""Reads the size of a PNG without decoding it, so strictly that the decoder cannot find another size.

All chunks are read; libpng verifies their checksums. Source: PNG specification (ISO/IEC 15948), clause 5.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from act_inference_ros.observation.jpeg_header import MAX_PIXELS

PNG_START = b"\x89PNG\r\n\x1a\n"
MAX_CHUNKS = 2**16

_DEFLATE_RATIO = 1032  # zlib cannot compress more than this
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_NEEDED = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
_REFUSED = {
    b"acTL": "an animation",
    b"fcTL": "an animation",
    b"fdAT": "an animation",
    b"zTXt": "packed text, which may unpack to anything",
    b"iTXt": "packed text, which may unpack to anything",
}


class PngError(ValueError):
    """The data are not a PNG of a supported kind; the message is a part of a sentence."""


class PngHeader(NamedTuple):
    """Height and width in pixels, channels (a palette is one), bits per channel (at most 8), interlaced or not."""

    height: int
    width: int
    channels: int
    bits: int
    interlaced: bool

    @property
    def unpacked_bytes(self) -> int:
        """The size of the pixels before compression: each row of each pass begins with a filter byte."""
        passes = _ADAM7 if self.interlaced else ((0, 0, 1, 1),)
        total = 0
        for x, y, step_x, step_y in passes:
            width, height = -((x - self.width) // step_x), -((y - self.height) // step_y)
            if width > 0 and height > 0:
                total += height * (1 + (width * self.channels * self.bits + 7) // 8)
        return total


def read_png_header(data: bytes) -> PngHeader:
    """Read all chunks of a PNG and return the values of its header; bytes after the last chunk are ignored.

    Raises PngError for data that are truncated, malformed, animated, of 16 bits, or larger than the number of bytes or
    a camera allows.
    """
    header: PngHeader | None = None
    place, packed = len(PNG_START), 0
    for _ in range(MAX_CHUNKS):
        if place + 12 > len(data):
            raise PngError(f"truncated PNG, {len(data)} bytes without an end chunk")
        length, kind = struct.unpack_from(">I4s", data, place)
        if place + 12 + length > len(data):
            raise PngError(f"truncated PNG, {len(data)} bytes that end within a chunk")
        if header is None:
            if kind != b"IHDR":
                raise PngError("malformed PNG, it has no header at its beginning")
            header = _header(data[place + 8 : place + 8 + length])
        elif kind == b"IHDR":
            raise PngError("malformed PNG, it has two headers")
        elif kind in _REFUSED:
            raise PngError(f"expected a PNG of a camera, got one with {_REFUSED[kind]}")
        elif kind not in _NEEDED and not kind[:1].islower():
            raise PngError(f"malformed PNG, a chunk {kind!r} at byte {place}")
        elif kind == b"IDAT":
            packed += length
        elif kind == b"IEND":
            _check_content(header, packed)
            return header
        place += 12 + length
    raise PngError(f"malformed PNG, more than {MAX_CHUNKS} chunks")


def _header(content: bytes) -> PngHeader:
    if len(content) != 13:
        raise PngError(f"malformed PNG, a header of {len(content)} bytes")
    width, height, bits, colour, packing, filtering, interlace = struct.unpack(">IIBBBBB", content)
    if bits not in (1, 2, 4, 8) or colour not in _CHANNELS or packing or filtering or interlace > 1:
        raise PngError(f"expected a PNG of 8-bit grey or colour, got colour type {colour} with bits={bits}")
    if not height or not width or height * width > MAX_PIXELS:
        raise PngError(f"expected the PNG of a camera, got {height} x {width} pixels")
    return PngHeader(height, width, _CHANNELS[colour], bits, bool(interlace))


def _check_content(header: PngHeader, packed: int) -> None:
    if header.unpacked_bytes > packed * _DEFLATE_RATIO:
        raise PngError(f"truncated PNG, {header.height} x {header.width} pixels in {packed} bytes")


def check_png_pixels(data: bytes, header: PngHeader) -> None:
    """Decompress the pixels of a file that `read_png_header` has read, but not beyond their expected size.

    libpng decompresses to the end of the data, which may be a thousand times the file's length. Raises PngError if
    there is more or less data than the image needs, or if the data cannot be decompressed.
    """
    unpacker, left = zlib.decompressobj(), header.unpacked_bytes
    place = len(PNG_START)
    while not unpacker.eof:
        length, kind = struct.unpack_from(">I4s", data, place)
        if kind == b"IEND":
            break
        if kind == b"IDAT":
            try:
                left -= len(unpacker.decompress(data[place + 8 : place + 8 + length], left + 1))
            except zlib.error as error:
                raise PngError(f"corrupt png, its pixels cannot be unpacked: {error}") from error
            if left < 0:
                raise PngError(f"corrupt png, more pixels than {header.height} x {header.width}")
        place += 12 + length
    if left > 0 or not unpacker.eof:
        raise PngError(f"corrupt png, fewer pixels than {header.height} x {header.width}")
