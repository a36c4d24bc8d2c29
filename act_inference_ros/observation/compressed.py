"""Compressed images: decodes JPEG and PNG to uint8 RGB, and reads their headers without decoding."""

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
    """The header of a compressed image: `format` is jpeg or png, `bits` is the number of bits per channel."""

    format: str
    height: int
    width: int
    channels: int
    bits: int


def decode_compressed(msg: Any) -> Pixels:
    """Decode a message shaped like sensor_msgs/CompressedImage to uint8 (height, width, 3) RGB.

    JPEG or PNG is detected from the data itself, because publishers spell `format` differently. Raises the same errors
    as `decode_bytes`.
    """
    return decode_bytes(data_of(msg))


def decode_jpeg(data: bytes) -> Pixels:
    """Decode a JPEG to uint8 (height, width, 3) RGB. Raises as `decode_bytes`, and also for other formats than JPEG."""
    if not data.startswith(JPEG_START):
        raise ObservationError(f"image: expected a JPEG, got {len(data)} bytes that begin {data[:8].hex(' ')}")
    return decode_bytes(data)


def decode_bytes(data: bytes) -> Pixels:
    """Decode a JPEG or PNG to uint8 (height, width, 3) RGB.

    Grey becomes three equal channels, alpha is dropped, and EXIF orientation is ignored. Raises ObservationError for an
    image that is truncated, corrupt, of 16 bits, CMYK, larger than MAX_PIXELS, or neither JPEG nor PNG; if the header
    shows this, it is raised before any pixel is decoded. Raises MissingDependencyError without OpenCV.
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
    """Read size and kind of a JPEG or PNG without decoding it, and check that its end is present.

    OpenCV decodes a dozen other formats, and decodes a truncated JPEG without an error, with the missing part grey:
    both are refused here. Raises ObservationError for everything that `decode_bytes` refuses by its header.
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
