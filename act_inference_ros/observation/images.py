"""Converts image messages, raw or compressed, to pixels: uint8 (height, width, 3) RGB."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import ObservationError
from act_inference_ros.observation import compressed, optional, raw
from act_inference_ros.observation.compressed import decode_compressed, decode_jpeg
from act_inference_ros.observation.raw import decode_image
from act_inference_ros.spec import ImageSpec

__all__ = [
    "check_image_message",
    "decode_compressed",
    "decode_image",
    "decode_image_message",
    "decode_jpeg",
    "image_size",
    "is_compressed",
    "is_jpeg_of_size",
    "resize",
]

Pixels = npt.NDArray[np.uint8]


def is_compressed(msg: Any) -> bool:
    """Whether the message is shaped like sensor_msgs/CompressedImage rather than sensor_msgs/Image."""
    return not hasattr(msg, "encoding")


def decode_image_message(msg: Any) -> Pixels:
    """Decode a raw or a compressed image message to uint8 (height, width, 3) RGB; see the two decoders."""
    return decode_compressed(msg) if is_compressed(msg) else decode_image(msg)


def image_size(msg: Any) -> tuple[int, int]:
    """Return (height, width) of the image in a raw or compressed message; decodes nothing.

    Raises ObservationError when the message is not a readable image.
    """
    if is_compressed(msg):
        header = compressed.read_header(compressed.data_of(msg))
        return header.height, header.width
    raw.check_image(msg)
    return msg.height, msg.width


def check_image_message(msg: Any, spec: ImageSpec, resize: bool = False) -> None:
    """Raise ObservationError when the message cannot become the image that the policy reads; decodes nothing.

    The image must have the policy's size, unless `resize`. The check is fast enough for every message on arrival.
    """
    size = image_size(msg)
    if size != (spec.height, spec.width) and not resize:
        raise ObservationError(
            f"image: expected {spec.height} x {spec.width} (height x width), got {size[0]} x {size[1]}; "
            "set the camera to that size, or allow `resize: true`"
        )


def is_jpeg_of_size(data: bytes, height: int, width: int) -> bool:
    """Whether `data` is a complete colour JPEG of this size, which a model that takes JPEG can get unchanged."""
    try:
        header = compressed.read_header(data)
    except ObservationError:
        return False
    return header == compressed.CompressedHeader("jpeg", height, width, channels=3, bits=8)


def resize(image: Pixels, height: int, width: int) -> Pixels:
    """Resize (h, w, 3) to (height, width, 3), bilinear without anti-aliasing; the aspect ratio is not kept.

    LeRobot's policy server does the same to a camera image of another size (`torch.nn.functional.interpolate`,
    bilinear, align_corners=False); ACT was trained on unresized images. Raises MissingDependencyError without OpenCV.
    """
    if image.shape[:2] == (height, width):
        return image
    cv2 = optional.require_opencv("resize: true")
    resized: Pixels = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return resized
