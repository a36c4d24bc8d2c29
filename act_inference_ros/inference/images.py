"""Converts the images of an observation to the model's format: arrays for pixels, or JPEG bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import ObservationError
from act_inference_ros.observation import compressed, optional
from act_inference_ros.spec import ImageSpec

JPEG_QUALITY = 90
"""JPEG quality for arrays. Most policies were trained on video frames, whose quality is not better."""


def as_pixels(image: ImageSpec, value: npt.NDArray[Any] | bytes) -> npt.NDArray[np.uint8]:
    """Return uint8 (height, width, 3) RGB; JPEG bytes are decoded. Raises ObservationError for another size."""
    if not isinstance(value, bytes):
        return value
    _check_header(image, value)
    return compressed.decode_jpeg(value)


def as_jpeg(image: ImageSpec, value: npt.NDArray[Any] | bytes) -> bytes:
    """Return JPEG bytes: bytes pass through after a size check of their header; an array is encoded."""
    if not isinstance(value, bytes):
        return encode_jpeg(value)
    _check_header(image, value)
    return value


def encode_jpeg(pixels: npt.NDArray[np.uint8], quality: int = JPEG_QUALITY) -> bytes:
    """Encode uint8 (height, width, 3) RGB. Raises MissingDependencyError without OpenCV."""
    cv2 = optional.require_opencv("encoding a JPEG image")
    _, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    encoded: bytes = data.tobytes()
    return encoded


def _check_header(image: ImageSpec, data: bytes) -> None:
    """Refuse another size or format by the header, because decoding a huge image takes long."""
    header = compressed.read_header(data)
    if header.format != "jpeg" or (header.height, header.width) != (image.height, image.width):
        raise ObservationError(
            f"{image.key}: expected a JPEG of {image.shape}, got a {header.format} of {(header.height, header.width)}"
        )
