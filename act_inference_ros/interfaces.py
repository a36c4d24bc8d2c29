"""The package's vocabulary: every word that a user may write stands here once, and each command interface has one row.

A row of `COMMAND_INTERFACES` says all that the package knows of a way to command a controller: its name, whether it
streams, its message type, and how a command is written into a message and read back. Messages are made by whoever has
their types (`MessageMaker`), so that nothing here imports ROS. A word that is not in its table is an error. Imports
numpy only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import ConfigurationError, ObservationError

MODES = ("local", "triton")
"""Where a policy is computed: on this machine, or on NVIDIA Triton."""
DEFAULT_MODE = "local"
FALLBACKS = ("", "local")
"""What computes while the mode's own way cannot; empty: nothing does."""
PRECISIONS = ("float32", "bfloat16", "float16")
"""The arithmetic of the network in local mode."""
SHARED_MEMORY = ("auto", "on", "off")
"""Whether images are handed to a server on this machine in shared memory."""

RAW, COMPRESSED = "raw", "compressed"
TRANSPORTS: Mapping[str, str] = {RAW: "sensor_msgs/msg/Image", COMPRESSED: "sensor_msgs/msg/CompressedImage"}
"""How a camera's images travel -> the type of their messages."""

BY_HEADER, BY_RECEIPT = "header", "receive"
STAMPS = (BY_HEADER, BY_RECEIPT)
"""What says when an input was taken: its header's stamp, or its arrival."""

STUCK_WARN, STUCK_HOLD = "warn", "hold"
STUCK = (STUCK_WARN, STUCK_HOLD)
"""What a camera causes that shows the same pixels for too long."""

OVERLAP_AUTO, OVERLAP_ON, OVERLAP_OFF = "auto", "on", "off"
OVERLAPS = (OVERLAP_AUTO, OVERLAP_ON, OVERLAP_OFF)
"""Whether a controller's messages begin with what it was told before; see `execution.overlap`."""

BLEND, TEMPORAL_ENSEMBLE, LATEST = "blend", "temporal_ensemble", "latest"
MERGES = (BLEND, TEMPORAL_ENSEMBLE, LATEST)
"""How overlapping chunks become one plan; see `control.timeline.ActionTimeline`."""

Positions = npt.NDArray[np.float64]
NANOSECONDS = 1_000_000_000


class Command(NamedTuple):
    """Positions (n, joints) for the instants `times` (n,), s after `stamp`; ROS units.

    `velocities` (n, joints), per s: nan where a point has none, None where no point has any. A trajectory has one or
    more points and ends at rest; a stream's command is one position for its stamp. Read back from a message, `stamp`
    is 0.0 where the message carries none.
    """

    stamp: float
    times: Positions
    positions: Positions
    velocities: Positions | None = None


class MessageMaker(Protocol):
    """Makes a message of a type such as `std_msgs/msg/Header` from its fields; numbers come as lists."""

    def __call__(self, message_type: str, **fields: Any) -> Any:
        """Return the message. Fields that are not given keep the type's defaults."""


class WriteCommand(Protocol):
    """Turns a command for `joints` (in the controller's order) into the interface's message."""

    def __call__(self, make: MessageMaker, joints: Sequence[str], command: Command) -> Any:
        """Return the message."""


class ReadCommand(Protocol):
    """Reads a message back as a command for `joints`, in their order."""

    def __call__(self, joints: Sequence[str], message: Any) -> Command:
        """Return the command. Raises ObservationError for a message that does not command these joints."""


@dataclass(frozen=True)
class CommandInterface:
    """One way to command a controller.

    `streams`: the controller wants one target at every tick and keeps the last; else it wants the rest of the plan
    with every chunk and follows it by itself.
    """

    name: str
    streams: bool
    message_type: str
    write: WriteCommand
    read: ReadCommand


def write_trajectory(make: MessageMaker, joints: Sequence[str], command: Command) -> Any:
    """Make a trajectory_msgs/JointTrajectory of points with positions and velocities.

    A controller plays a cubic only between two points that both have velocities.
    """
    velocities = np.zeros_like(command.positions) if command.velocities is None else command.velocities
    points = [
        make(
            "trajectory_msgs/msg/JointTrajectoryPoint",
            positions=row,
            velocities=speed,
            time_from_start=duration(make, since),
        )
        for since, row, speed in zip(
            command.times.tolist(), command.positions.tolist(), velocities.tolist(), strict=True
        )
    ]
    header = stamped_header(make, command.stamp)
    return make("trajectory_msgs/msg/JointTrajectory", header=header, joint_names=list(joints), points=points)


def read_trajectory(joints: Sequence[str], message: Any) -> Command:
    """Read a trajectory_msgs/JointTrajectory. One without points has no rows: it stops the trajectory under way."""
    offsets = np.array([seconds(point.time_from_start) for point in message.points])
    if not (np.diff(offsets) > 0.0).all():
        raise ObservationError(f"time_from_start must increase from point to point, got {offsets}")
    rows = [_by_name(joints, message.joint_names, point.positions) for point in message.points]
    unknown = np.full(len(joints), np.nan)
    speeds = [
        _by_name(joints, message.joint_names, point.velocities) if len(point.velocities) else unknown
        for point in message.points
    ]
    shape = (len(rows), len(joints))
    velocities = np.array(speeds).reshape(shape) if any(len(point.velocities) for point in message.points) else None
    return Command(seconds(message.header.stamp), offsets, np.array(rows).reshape(shape), velocities)


def write_array(make: MessageMaker, joints: Sequence[str], command: Command) -> Any:
    """Make a std_msgs/Float64MultiArray: the targets in the controller's order, without names or a stamp."""
    return make("std_msgs/msg/Float64MultiArray", data=command.positions[0].tolist())


def read_array(joints: Sequence[str], message: Any) -> Command:
    """Read a std_msgs/Float64MultiArray, whose numbers are in the controller's order."""
    if len(message.data) != len(joints):
        raise ObservationError(f"expected {len(joints)} numbers for {list(joints)}, got {len(message.data)}")
    return _one_target(0.0, _finite(joints, np.asarray(message.data, dtype=np.float64)))


def write_joint_state(make: MessageMaker, joints: Sequence[str], command: Command) -> Any:
    """Make a sensor_msgs/JointState with the commanded positions by name."""
    header = stamped_header(make, command.stamp)
    position = command.positions[0].tolist()
    return make("sensor_msgs/msg/JointState", header=header, name=list(joints), position=position)


def read_joint_state(joints: Sequence[str], message: Any) -> Command:
    """Read a sensor_msgs/JointState that commands or measures positions; it may name other joints besides."""
    return _one_target(seconds(message.header.stamp), _by_name(joints, message.name, message.position))


COMMAND_INTERFACES: Mapping[str, CommandInterface] = {
    row.name: row
    for row in (
        CommandInterface(
            "joint_trajectory", False, "trajectory_msgs/msg/JointTrajectory", write_trajectory, read_trajectory
        ),
        CommandInterface("position_stream", True, "std_msgs/msg/Float64MultiArray", write_array, read_array),
        CommandInterface("joint_state", True, "sensor_msgs/msg/JointState", write_joint_state, read_joint_state),
    )
}
"""Name -> row. The default is the first."""


def command_interface(name: str) -> CommandInterface:
    """Return the row of that name. Raises ConfigurationError, listing the known ones, where there is none."""
    if name not in COMMAND_INTERFACES:
        raise ConfigurationError(f"command interface {name!r}: expected one of {', '.join(COMMAND_INTERFACES)}")
    return COMMAND_INTERFACES[name]


def seconds(message: Any) -> float:
    """A builtin_interfaces Time or Duration in s."""
    return float(message.sec + message.nanosec * 1e-9)


def stamp(make: MessageMaker, time: float) -> Any:
    """Make a builtin_interfaces/Time of s since the clock's epoch."""
    # Whole seconds first: a float64 of today's date in nanoseconds would lose the last two digits.
    sec = math.floor(time)
    carried, nanosec = divmod(round((time - sec) * NANOSECONDS), NANOSECONDS)
    sec += carried
    return make("builtin_interfaces/msg/Time", sec=sec, nanosec=nanosec)


def duration(make: MessageMaker, span: float) -> Any:
    """Make a builtin_interfaces/Duration of a span in s."""
    sec, nanosec = divmod(round(span * NANOSECONDS), NANOSECONDS)
    return make("builtin_interfaces/msg/Duration", sec=sec, nanosec=nanosec)


def stamped_header(make: MessageMaker, time: float) -> Any:
    """Make a std_msgs/Header stamped `time`, s."""
    return make("std_msgs/msg/Header", stamp=stamp(make, time))


def _one_target(stamp: float, row: Positions) -> Command:
    return Command(stamp, np.zeros(1), row[None])


def _by_name(joints: Sequence[str], names: Sequence[str], positions: Sequence[float]) -> Positions:
    """Pick `joints` from a message's names and numbers (positions or velocities), both in its order."""
    if len(names) != len(positions):
        raise ObservationError(f"{len(names)} joint names but {len(positions)} numbers")
    places = {name: place for place, name in enumerate(names)}
    missing = [joint for joint in joints if joint not in places]
    if missing:
        raise ObservationError(f"missing joints {missing}; the message has {list(names)}")
    return _finite(joints, np.array([positions[places[joint]] for joint in joints], dtype=np.float64))


def _finite(joints: Sequence[str], row: Positions) -> Positions:
    if not np.isfinite(row).all():
        bad = {joint: float(value) for joint, value in zip(joints, row, strict=True) if not np.isfinite(value)}
        raise ObservationError(f"expected finite positions, got {bad}")
    return row
