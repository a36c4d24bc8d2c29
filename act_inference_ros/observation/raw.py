"""Raw images: sensor_msgs/Image to uint8 RGB.

rgb8, bgr8, rgba8, bgra8 and mono8 are decoded here even if cv_bridge is installed: the pixels are the same, it takes a
twentieth of the time, and a padded `step` is handled, which not every cv_bridge does. All other encodings are left to
cv_bridge.
"""

from __future__ import annotations

import re
import reprlib
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import ObservationError
from act_inference_ros.observation import optional

CHANNELS = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1}
"""Bytes per pixel of the encodings decoded without cv_bridge (names: sensor_msgs/image_encodings)."""

_BYTES_PER_PIXEL = (
    (re.compile(r"bayer_(rggb|bggr|gbrg|grbg)8"), 1),
    (re.compile(r"bayer_(rggb|bggr|gbrg|grbg)16|mono16"), 2),
    (re.compile(r"yuv422|yuv422_yuy2|uyvy|yuyv"), 2),
    (re.compile(r"(rgb|bgr)16"), 6),
    (re.compile(r"(rgba|bgra)16"), 8),
)

Pixels = npt.NDArray[np.uint8]


def decode_image(msg: Any) -> Pixels:
    """Decode a message shaped like sensor_msgs/Image to uint8 (height, width, 3) RGB, C-contiguous and writable.

    mono8 becomes three equal channels, alpha is dropped. The result may share memory with the message (rgb8). Raises
    ObservationError if the encoding, the size or the data are invalid.
    """
    check_image(msg)
    channels = CHANNELS.get(msg.encoding)
    if channels is None:
        return _decode_by_cv_bridge(msg)
    pixels = _rows(msg, msg.width * channels).reshape(msg.height, msg.width, channels)
    cv2 = optional.opencv()
    if msg.encoding == "rgb8":
        return np.require(pixels, requirements=["C", "W"])
    if cv2 is None:
        return _to_rgb_by_numpy(pixels, msg.encoding)
    codes = {
        "bgr8": cv2.COLOR_BGR2RGB,
        "rgba8": cv2.COLOR_RGBA2RGB,
        "bgra8": cv2.COLOR_BGRA2RGB,
        "mono8": cv2.COLOR_GRAY2RGB,
    }
    converted: Pixels = cv2.cvtColor(pixels, codes[msg.encoding])
    return converted


def check_image(msg: Any) -> None:
    """Raise ObservationError when `decode_image` would refuse the message; reads no pixel."""
    height, width, step = int(msg.height), int(msg.width), int(msg.step)  # numpy integers would overflow
    if height < 1 or width < 1:
        raise ObservationError(f"image: expected a height and width above 0, got {height} x {width}")
    if msg.encoding not in CHANNELS:
        _require_cv_bridge(msg.encoding)
    if step < width * max(1, bytes_per_pixel(msg.encoding)):  # each pixel of a row has at least one byte
        raise ObservationError(f"image: step {step} is shorter than a row of {width} {_said(msg.encoding)} pixels")
    if len(msg.data) < step * height:
        raise ObservationError(f"image: expected {height} rows of {step} bytes = {height * step}, got {len(msg.data)}")


def bytes_per_pixel(encoding: str) -> int:
    """Return the number of bytes per pixel in a row; 0 if it is unknown."""
    if encoding in CHANNELS:
        return CHANNELS[encoding]
    return next((size for pattern, size in _BYTES_PER_PIXEL if pattern.fullmatch(encoding)), 0)


def _said(encoding: Any) -> str:
    """An encoding as it is shown in a message, because a publisher may send any text."""
    return reprlib.repr(encoding)


def _rows(msg: Any, length: int) -> Pixels:
    """Return the first `length` bytes of each row, (height, length), a view of the message's data."""
    data = np.frombuffer(msg.data, dtype=np.uint8)
    return data[: msg.height * msg.step].reshape(msg.height, msg.step)[:, :length]


def _to_rgb_by_numpy(pixels: Pixels, encoding: str) -> Pixels:
    if encoding == "mono8":
        return np.repeat(pixels, 3, axis=2)
    order = (2, 1, 0) if encoding.startswith("bgr") else (0, 1, 2)
    rgb = np.empty((*pixels.shape[:2], 3), dtype=np.uint8)
    for channel, source in enumerate(order):  # several times faster than one copy of a reversed view
        rgb[..., channel] = pixels[..., source]
    return rgb


def _require_cv_bridge(encoding: str) -> Any:
    bridge, why_not = optional.cv_bridge()
    if bridge is None:
        raise ObservationError(
            f"image: encoding {_said(encoding)} is not supported, only {list(CHANNELS)}; installing cv_bridge "
            f"(ros-$ROS_DISTRO-cv-bridge) adds more ({why_not})"
        )
    return bridge


def _decode_by_cv_bridge(msg: Any) -> Pixels:
    bridge = _require_cv_bridge(msg.encoding)
    row = msg.width * bytes_per_pixel(msg.encoding)
    tight = msg
    if 0 < row < msg.step:  # Debian's cv_bridge reads padding as pixels
        data = np.ascontiguousarray(_rows(msg, row))
        tight = SimpleNamespace(
            height=msg.height,
            width=msg.width,
            encoding=msg.encoding,
            is_bigendian=msg.is_bigendian,
            step=row,
            data=data,
        )
    try:
        rgb = bridge.imgmsg_to_cv2(tight, "rgb8")
    except Exception as error:  # CvBridgeError, but also any other error from the C++ half
        raise ObservationError(f"image: cv_bridge cannot decode {_said(msg.encoding)}: {str(error)[:300]}") from error
    if not isinstance(rgb, np.ndarray) or rgb.dtype != np.uint8 or rgb.shape != (msg.height, msg.width, 3):
        raise ObservationError(
            f"image: cv_bridge made no {msg.height} x {msg.width} RGB image of {_said(msg.encoding)}"
        )
    return np.require(rgb, requirements=["C", "W"])
