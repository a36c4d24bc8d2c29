"""Image messages to pixels: what a camera's topic carries, raw or compressed, to uint8 (height, width, 3) RGB."""

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


def check_image_message(msg: Any, spec: ImageSpec, resize: bool = False) -> None:
    """Raise ObservationError when the message cannot become the image the policy reads; decodes nothing.

    Its size must be the policy's unless `resize`. Cheap enough for every message on arrival.
    """
    if is_compressed(msg):
        header = compressed.read_header(compressed.data_of(msg))
        size = (header.height, header.width)
    else:
        raw.check_image(msg)
        size = (msg.height, msg.width)
    if size != (spec.height, spec.width) and not resize:
        raise ObservationError(
            f"image: expected {spec.height} x {spec.width} (height x width), got {size[0]} x {size[1]}; "
            "set the camera to that size, or allow `resize: true`"
        )


def is_jpeg_of_size(data: bytes, height: int, width: int) -> bool:
    """Whether `data` is a whole colour JPEG of that size, which a model that takes JPEG may be handed as it is."""
    try:
        header = compressed.read_header(data)
    except ObservationError:
        return False
    return header == compressed.CompressedHeader("jpeg", height, width, channels=3, bits=8)


def resize(image: Pixels, height: int, width: int) -> Pixels:
    """Resize (h, w, 3) to (height, width, 3), bilinear without anti-aliasing, not keeping the aspect.

    That is what LeRobot's policy server does to a camera of another size (`torch.nn.functional.interpolate`, bilinear,
    align_corners=False); ACT was trained on unresized images. Raises MissingDependencyError without OpenCV.
    """
    if image.shape[:2] == (height, width):
        return image
    cv2 = optional.require_opencv("resize: true")
    resized: Pixels = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return resized
