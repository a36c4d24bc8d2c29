"""Compressed images: JPEG and PNG to uint8 RGB, and what their headers say without decoding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import ObservationError
from act_inference_ros.observation import optional
from act_inference_ros.observation.jpeg_header import JPEG_START, JpegError, read_jpeg_header
from act_inference_ros.observation.png_header import PNG_START, PngError, check_png_pixels, read_png_header

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
    Raises ObservationError for what is truncated, corrupt, of 16 bits, CMYK, larger than MAX_PIXELS or neither JPEG nor
    PNG, before any pixel is decoded where the header tells, and MissingDependencyError without OpenCV.
    """
    header = read_header(data)
    cv2 = optional.require_opencv(f"decoding a {header.format} image")
    try:
        if header.format == "png":
            check_png_pixels(data, read_png_header(data))
        bgr = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except PngError as error:
        raise ObservationError(f"image: {error}") from error
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

    OpenCV decodes a dozen other formats, and returns a truncated JPEG with its missing part grey and no error: both are
    refused here. Raises ObservationError for what `decode_bytes` refuses by its header.
    """
    try:
        if data.startswith(JPEG_START):
            jpeg = read_jpeg_header(data)
            return CompressedHeader("jpeg", jpeg.height, jpeg.width, jpeg.channels, bits=8)
        if data.startswith(PNG_START):
            png = read_png_header(data)
            return CompressedHeader("png", png.height, png.width, png.channels, png.bits)
    except (JpegError, PngError) as error:
        raise ObservationError(f"image: {error}") from error
    raise ObservationError(f"image: neither JPEG nor PNG: {len(data)} bytes that begin {data[:8].hex(' ')}")
