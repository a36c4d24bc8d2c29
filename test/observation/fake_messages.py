"""Messages shaped like those of sensor_msgs, for tests that need neither ROS nor a bag."""

from array import array
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt


def header(stamp: float) -> SimpleNamespace:
    """A std_msgs/Header at `stamp` s."""
    sec, nanosec = divmod(round(stamp * 1e9), 10**9)
    return SimpleNamespace(stamp=SimpleNamespace(sec=sec, nanosec=nanosec))


def picture(height: int = 4, width: int = 6, channels: int = 3, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Smooth enough for JPEG to keep, different in every channel."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return cv2.blur(pixels, (15, 15)).reshape(height, width, channels)


def image(
    pixels: npt.NDArray[Any], encoding: str = "rgb8", padding: int = 0, stamp: float = 1.0, container: str = "array"
) -> SimpleNamespace:
    """A sensor_msgs/Image whose rows are `padding` bytes longer than their pixels."""
    height, width = pixels.shape[:2]
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(height, -1)
    rows = np.concatenate([rows, np.full((height, padding), 0xAB, dtype=np.uint8)], axis=1)
    containers: dict[str, Callable[[bytes], Any]] = {
        "bytes": bytes,
        "array": lambda data: array("B", data),
        "ndarray": lambda data: np.frombuffer(data, np.uint8),
    }
    return SimpleNamespace(
        header=header(stamp),
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=rows.shape[1],
        data=containers[container](rows.tobytes()),
    )


def encoded(pixels: npt.NDArray[Any], kind: str = ".jpg", *options: int) -> bytes:
    """JPEG or PNG bytes of an RGB (or grey, or RGBA) picture."""
    codes = {1: None, 3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    code = codes[pixels.shape[2]]
    return cv2.imencode(kind, pixels if code is None else cv2.cvtColor(pixels, code), options)[1].tobytes()


def compressed(data: Any, stamp: float = 1.0, format: str = "rgb8; jpeg compressed bgr8") -> SimpleNamespace:
    """A sensor_msgs/CompressedImage."""
    return SimpleNamespace(header=header(stamp), format=format, data=data)


def joint_state(positions: Mapping[str, float], stamp: float = 1.0) -> SimpleNamespace:
    """A sensor_msgs/JointState of a name -> position mapping."""
    empty = array("d")
    return SimpleNamespace(
        header=header(stamp),
        name=list(positions),
        position=array("d", positions.values()),
        velocity=empty,
        effort=empty,
    )
