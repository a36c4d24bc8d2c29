"""The messages of a simulated episode: shaped like ROS's, without ROS, as `observation/` takes them.

`TYPE` is the name of the ROS message whose fields they have, so that the recorder can write them as that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from act_inference_ros.interfaces import NANOSECONDS

_Floats = npt.NDArray[np.float64]


def _no_numbers() -> _Floats:
    return np.empty(0)


@dataclass(frozen=True)
class Time:
    """A stamp."""

    TYPE: ClassVar[str] = "builtin_interfaces/msg/Time"
    sec: int = 0
    nanosec: int = 0


@dataclass(frozen=True)
class Duration:
    """A span of time."""

    TYPE: ClassVar[str] = "builtin_interfaces/msg/Duration"
    sec: int = 0
    nanosec: int = 0


@dataclass(frozen=True)
class Header:
    """When, and in which frame."""

    TYPE: ClassVar[str] = "std_msgs/msg/Header"
    stamp: Time
    frame_id: str = ""


@dataclass(frozen=True)
class Image:
    """An uncompressed image."""

    TYPE: ClassVar[str] = "sensor_msgs/msg/Image"
    header: Header
    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class CompressedImage:
    """A JPEG image; `format` is `jpeg`."""

    TYPE: ClassVar[str] = "sensor_msgs/msg/CompressedImage"
    header: Header
    format: str
    data: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class JointState:
    """Measured joint positions (n,) and velocities (n,), ROS units; or commanded positions."""

    TYPE: ClassVar[str] = "sensor_msgs/msg/JointState"
    header: Header
    name: list[str]
    position: _Floats
    velocity: _Floats = field(default_factory=_no_numbers)
    effort: _Floats = field(default_factory=_no_numbers)


@dataclass(frozen=True)
class JointTrajectoryPoint:
    """One point of a trajectory."""

    TYPE: ClassVar[str] = "trajectory_msgs/msg/JointTrajectoryPoint"
    positions: _Floats
    time_from_start: Duration
    velocities: _Floats = field(default_factory=_no_numbers)
    accelerations: _Floats = field(default_factory=_no_numbers)
    effort: _Floats = field(default_factory=_no_numbers)


@dataclass(frozen=True)
class JointTrajectory:
    """A command to a trajectory controller, or a raw action chunk."""

    TYPE: ClassVar[str] = "trajectory_msgs/msg/JointTrajectory"
    header: Header
    joint_names: list[str]
    points: list[JointTrajectoryPoint]


@dataclass(frozen=True)
class MultiArrayLayout:
    """The empty layout."""

    TYPE: ClassVar[str] = "std_msgs/msg/MultiArrayLayout"
    dim: list[str] = field(default_factory=list)
    data_offset: int = 0


@dataclass(frozen=True)
class Float64MultiArray:
    """A command to a forward_command_controller."""

    TYPE: ClassVar[str] = "std_msgs/msg/Float64MultiArray"
    data: _Floats
    layout: MultiArrayLayout = field(default_factory=MultiArrayLayout)


@dataclass(frozen=True)
class KeyValue:
    """One value of a status."""

    TYPE: ClassVar[str] = "diagnostic_msgs/msg/KeyValue"
    key: str
    value: str


@dataclass(frozen=True)
class DiagnosticStatus:
    """The node's status: `message` is the state's word."""

    TYPE: ClassVar[str] = "diagnostic_msgs/msg/DiagnosticStatus"
    name: str
    message: str
    values: list[KeyValue]
    level: int = 0
    hardware_id: str = ""


CommandMessage = JointTrajectory | Float64MultiArray | JointState
"""A message that commands a controller."""
Message = Image | CompressedImage | CommandMessage | DiagnosticStatus
"""A message that is published in an episode."""

_KINDS: dict[str, Any] = {
    kind.TYPE: kind
    for kind in (Time, Duration, Header, JointState, JointTrajectoryPoint, JointTrajectory, Float64MultiArray)
}


def make_plain_message(message_type: str, **fields: Any) -> Any:
    """Make the message of that type; an `interfaces.MessageMaker`. Lists of numbers become arrays."""
    return _KINDS[message_type](**{name: _array_of_numbers(value) for name, value in fields.items()})


def _array_of_numbers(value: Any) -> Any:
    return np.array(value) if isinstance(value, list) and value and isinstance(value[0], float) else value


def header(time_ns: int, frame_id: str = "") -> Header:
    """A header stamped `time_ns`."""
    return Header(Time(*divmod(time_ns, NANOSECONDS)), frame_id)


def image_message(pixels: npt.NDArray[np.uint8], time_ns: int, camera: str) -> Image:
    """The message for uint8 (height, width, 3) RGB."""
    height, width, channels = pixels.shape
    return Image(header(time_ns, camera), height, width, "rgb8", 0, width * channels, pixels.reshape(-1))


def trajectory_message(
    names: Sequence[str], times_from_stamp: _Floats, positions: _Floats, stamp_ns: int, at_rest: bool = True
) -> JointTrajectory:
    """Positions (n, joints) at `times_from_stamp` (n,), s after the stamp; the last one with zero velocity, or none."""
    points = [
        JointTrajectoryPoint(row, Duration(*divmod(round(time * NANOSECONDS), NANOSECONDS)))
        for time, row in zip(times_from_stamp, positions, strict=True)
    ]
    if at_rest and points:
        last = points[-1]
        points[-1] = JointTrajectoryPoint(last.positions, last.time_from_start, np.zeros(len(names)))
    return JointTrajectory(header(stamp_ns), list(names), points)
