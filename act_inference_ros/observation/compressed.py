"""Compressed images: JPEG and PNG to uint8 RGB, and what their headers say without decoding."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import ObservationError
from act_inference_ros.observation import optional

JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
_START_OF_SCAN = 0xDA
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0..15 without DHT, JPG and DAC
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class CompressedHeader:
    """What the head of a compressed image says: `format` is jpeg or png, `bits` those of one channel."""

    format: str
    height: int
    width: int
    channels: int
    bits: int


def decode_compressed(msg: Any) -> Pixels:
    """Decode anything shaped like sensor_msgs/CompressedImage to uint8 (height, width, 3) RGB.

    What the data is, JPEG or PNG, is told from the data itself: `format` is spelled differently by every publisher.
    Raises as `decode_bytes`.
    """
    return decode_bytes(data_of(msg))


def decode_jpeg(data: bytes) -> Pixels:
    """Decode a JPEG to uint8 (height, width, 3) RGB. Raises as `decode_bytes`, also for anything but a JPEG."""
    if not data.startswith(JPEG_START):
        raise ObservationError(f"image: expected a JPEG, got {len(data)} bytes that begin {data[:8].hex(' ')}")
    return decode_bytes(data)


def decode_bytes(data: bytes) -> Pixels:
    """Decode a JPEG or PNG to uint8 (height, width, 3) RGB.

    Grey becomes three equal channels, alpha is dropped, EXIF orientation is ignored (a camera's frame is the frame).
    Raises ObservationError for what is truncated, corrupt, of 16 bits, CMYK or neither JPEG nor PNG, and
    MissingDependencyError without OpenCV.
    """
    header = read_header(data)
    cv2 = optional.require_opencv(f"decoding a {header.format} image")
    try:
        bgr = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise ObservationError(f"image: corrupt {header.format}: {error}") from error
    if bgr is None or bgr.shape != (header.height, header.width, 3):
        raise ObservationError(f"image: corrupt {header.format} of {len(data)} bytes")
    rgb: Pixels = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    return rgb


def data_of(msg: Any) -> bytes:
    """Return the message's data (array.array, bytes or ndarray) as bytes."""
    return msg.data if isinstance(msg.data, bytes) else memoryview(msg.data).tobytes()


def read_header(data: bytes) -> CompressedHeader:
    """Read size and kind of a JPEG or PNG without decoding it, and see that its end is there.

    Decoders return a truncated JPEG with its missing part grey and no error, so the end marker is looked for here.
    Raises ObservationError for what `decode_bytes` refuses by its header.
    """
    if data.startswith(JPEG_START):
        header = _read_jpeg_header(data)
        supported = header.bits == 8 and header.channels in (1, 3)
    elif data.startswith(PNG_START):
        header = _read_png_header(data)
        supported = header.bits <= 8
    else:
        raise ObservationError(f"image: neither JPEG nor PNG: {len(data)} bytes that begin {data[:8].hex(' ')}")
    if not supported or header.height < 1 or header.width < 1:
        raise ObservationError(f"image: expected 8-bit grey or colour, got {header}")
    return header


def _read_jpeg_header(data: bytes) -> CompressedHeader:
    """Walk the segments (ITU-T T.81, annex B) up to the first scan."""
    header = None
    place = len(JPEG_START)
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF or marker in _WITHOUT_LENGTH:  # fill byte; marker without a segment
            place += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, place + 2)
        if marker in _FRAME_HEADERS and place + 10 <= len(data):
            bits, height, width, channels = struct.unpack_from(">BHHB", data, place + 4)
            header = CompressedHeader("jpeg", height, width, channels, bits)
        place += 2 + length
        if marker == _START_OF_SCAN:
            break
    if header is None:
        raise ObservationError(f"image: JPEG of {len(data)} bytes without a frame header")
    if data.find(JPEG_END, place) < 0:  # not in a thumbnail before the scan; bytes after the end are let be
        raise ObservationError(f"image: truncated JPEG, {len(data)} bytes without an end-of-image marker")
    return header


def _read_png_header(data: bytes) -> CompressedHeader:
    if len(data) < 26 or data[12:16] != b"IHDR":
        raise ObservationError(f"image: PNG of {len(data)} bytes without a header")
    if data.find(PNG_END) < 0:
        raise ObservationError(f"image: truncated PNG, {len(data)} bytes without an end chunk")
    width, height, bits, colour = struct.unpack_from(">IIBB", data, 16)
    return CompressedHeader("png", height, width, _PNG_CHANNELS.get(colour, 0), bits)
