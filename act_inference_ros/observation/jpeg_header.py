"""Reads the size of a JPEG without decoding it, so strictly that the decoder cannot find another size.

Decoders skip malformed parts of a header, each in its own way: a file can show one size to a careless reader and
another, a thousand times larger, to libjpeg. So only plain baseline, extended and progressive JPEGs are accepted here,
and all others are refused before any memory for pixels is allocated. Sources: ITU-T T.81, annex B, and the reader in
libjpeg-turbo's jdmarker.c.

Imports only the standard library, because export_policy copies this file beside model.py.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

JPEG_START = b"\xff\xd8"
MAX_PIXELS = 2**25
"""Images larger than 8K video are refused, whatever the policy reads: no camera sends them."""

MAX_SEGMENTS = 1000
MAX_SCANS = 64
"""A progressive file has about ten scans; for each scan the decoder passes over the whole image."""
MAX_SCANNED_PIXELS = 16 * MAX_PIXELS
"""Most pixels of all scans together, so that the largest images have no more than sixteen."""

_PIXELS_PER_BYTE = 512  # a block of 8 x 8 pixels takes at least one bit
_FILL = re.compile(rb"\xff*")
_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # all markers except stuffed bytes, restarts and fill bytes
_FRAMES = {0xC0: "baseline", 0xC1: "extended", 0xC2: "progressive"}
_SCAN, _END = 0xDA, 0xD9
_TABLES = frozenset({0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)})  # DHT, DQT, DRI, COM, APP0 to APP15


class JpegError(ValueError):
    """The data are not a JPEG of a supported kind; the message is a part of a sentence."""


class JpegHeader(NamedTuple):
    """Height and width in pixels, and how many channels of 8 bits: 1 or 3."""

    height: int
    width: int
    channels: int


def read_jpeg_header(data: bytes) -> JpegHeader:
    """Check all segments and scans of a JPEG up to its end marker, and return the values of its frame header.

    Bytes after the end are ignored, because USB cameras send zeros there. Raises JpegError for data that are truncated,
    malformed, neither 8-bit grey nor 8-bit colour, or larger than the number of bytes or a camera allows.
    """
    if not data.startswith(JPEG_START):
        raise JpegError(f"expected a JPEG, got {len(data)} bytes that begin {data[:8].hex(' ') or 'nowhere'}")
    header: JpegHeader | None = None
    place, scans = len(JPEG_START), 0
    for _ in range(MAX_SEGMENTS):
        marker, place = _next_marker(data, place)
        if marker == _END:
            if header is None or scans == 0:
                raise JpegError(f"truncated JPEG, {len(data)} bytes that end before its pixels")
            return header
        content = _segment(data, place, marker)
        place += 2 + len(content)
        if marker in _FRAMES:
            if header is not None:
                raise JpegError("malformed JPEG, it has two frame headers")
            header = _frame(content, len(data))
        elif marker == _SCAN:
            scans += 1
            _check_scan(content, header, scans)
            place = _end_of_scan(data, place)
        elif marker not in _TABLES:
            raise JpegError(
                f"expected a {', '.join(_FRAMES.values())} JPEG, got one with the marker ff {marker:02x} at {place}"
            )
    raise JpegError(f"malformed JPEG, more than {MAX_SEGMENTS} segments")


def _next_marker(data: bytes, place: int) -> tuple[int, int]:
    """Return the marker at `place`, where a marker must be, and the place where its content begins."""
    fill = _FILL.match(data, place)
    after = fill.end() if fill else place
    if after >= len(data):
        raise JpegError(f"truncated JPEG, {len(data)} bytes without an end-of-image marker")
    if after == place:
        raise JpegError(f"malformed JPEG, expected a marker at byte {place}, got {data[place]:02x}")
    return data[after], after + 1


def _segment(data: bytes, place: int, marker: int) -> bytes:
    """Return the content of the segment whose length field is at `place`."""
    if place + 2 > len(data):
        raise JpegError(f"truncated JPEG, {len(data)} bytes that end within a segment")
    (length,) = struct.unpack_from(">H", data, place)
    if marker == 0x00 or marker == 0x01 or 0xD0 <= marker <= 0xD8:
        raise JpegError(f"malformed JPEG, a marker ff {marker:02x} outside its pixels, at byte {place - 2}")
    if length < 2:
        raise JpegError(f"malformed JPEG, a segment of length {length} at byte {place}")
    if place + length > len(data):
        raise JpegError(f"truncated JPEG, {len(data)} bytes that end within a segment")
    return data[place + 2 : place + length]


def _frame(content: bytes, size: int) -> JpegHeader:
    if len(content) < 6 or len(content) != 6 + 3 * content[5]:
        raise JpegError(f"malformed JPEG, a frame header of {len(content)} bytes")
    bits, height, width, channels = struct.unpack_from(">BHHB", content)
    if bits != 8 or channels not in (1, 3) or height < 1 or width < 1:
        raise JpegError(
            f"expected a JPEG of 8-bit grey or colour, got {height} x {width}, channels={channels}, bits={bits}"
        )
    if height * width > min(MAX_PIXELS, size * _PIXELS_PER_BYTE):
        raise JpegError(f"expected the JPEG of a camera, got {height} x {width} pixels in {size} bytes")
    return JpegHeader(height, width, channels)


def _check_scan(content: bytes, header: JpegHeader | None, scans: int) -> None:
    if header is None:
        raise JpegError("malformed JPEG without a frame header before its pixels")
    if not content or len(content) != 4 + 2 * content[0] or not 1 <= content[0] <= header.channels:
        raise JpegError(f"malformed JPEG, a scan header of {len(content)} bytes")
    if scans > MAX_SCANS or scans * header.height * header.width > MAX_SCANNED_PIXELS:
        raise JpegError(f"malformed JPEG, {scans} scans or more of {header.height} x {header.width} pixels")


def _end_of_scan(data: bytes, place: int) -> int:
    """The place of the marker that ends the scan data beginning at `place`."""
    marker = _MARKER_IN_SCAN.search(data, place)
    if marker is None:
        raise JpegError(f"truncated JPEG, {len(data)} bytes without an end-of-image marker")
    return marker.start()
