"""The package's vocabulary: every word that a user may write is listed here once; each command interface has one row.

A row of `COMMAND_INTERFACES` holds all that the package knows of a way to command a controller: its name, whether it
streams, its message type, how a command is written into a message and read back, and whether its messages are published
or are goals on an action server. The caller supplies the function that makes messages (`MessageMaker`), so that this
module does not import ROS. A word that is not in its table is an error. Imports numpy only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import ConfigurationError, ObservationError, shown_names

MODES = ("local", "triton")
"""Where a policy is computed: on this machine, or on NVIDIA Triton."""
DEFAULT_MODE = "local"
FALLBACKS = ("", "local")
"""What computes the policy while the mode's own way fails; empty: nothing."""
TORCH, ONNXRUNTIME, AUTO = "torch", "onnxruntime", "auto"
ENGINES = (TORCH, ONNXRUNTIME, AUTO)
"""What computes the network in local mode; auto: onnxruntime with an existing export or without torch, else torch."""
PROVIDERS = (AUTO, "tensorrt", "cuda", "openvino", "cpu")
"""Execution providers of the engine onnxruntime; auto: the best one that works on this machine."""
PROCESS, THREAD = "process", "thread"
ISOLATIONS = (PROCESS, THREAD)
"""Where local mode computes: in a separate process, or in the calling process."""
PRECISIONS = ("float32", "bfloat16", "float16")
"""The arithmetic of the network in local mode."""
SHARED_MEMORY = ("auto", "on", "off")
"""Whether images are handed to a server on this machine in shared memory."""

RAW, COMPRESSED = "raw", "compressed"
TRANSPORTS: Mapping[str, str] = {RAW: "sensor_msgs/msg/Image", COMPRESSED: "sensor_msgs/msg/CompressedImage"}
"""Transport of a camera's images -> the type of their messages."""

BY_HEADER, BY_RECEIPT = "header", "receive"
STAMPS = (BY_HEADER, BY_RECEIPT)
"""Source of an input's time: the stamp in its header, or its arrival."""

STUCK_WARN, STUCK_HOLD = "warn", "hold"
STUCK = (STUCK_WARN, STUCK_HOLD)
"""Reaction to a camera that shows the same pixels for too long."""

OVERLAP_AUTO, OVERLAP_ON, OVERLAP_OFF = "auto", "on", "off"
OVERLAPS = (OVERLAP_AUTO, OVERLAP_ON, OVERLAP_OFF)
"""Whether a controller's messages begin with a part of the plan sent before; see `execution.overlap`."""

BLEND, TEMPORAL_ENSEMBLE, LATEST = "blend", "temporal_ensemble", "latest"
MERGES = (BLEND, TEMPORAL_ENSEMBLE, LATEST)
"""How overlapping chunks become one plan; see `control.timeline.ActionTimeline`."""

Positions = npt.NDArray[np.float64]
NANOSECONDS = 1_000_000_000


class Command(NamedTuple):
    """Positions (n, joints) for the instants `times` (n,), s after `stamp`; ROS units.

    `velocities` (n, joints), per s: nan for a point without velocity, None if no point has one. A trajectory has one or
    more points and ends at rest; a stream's command is one position for its stamp. Read back from a message, `stamp`
    is 0.0 where the message carries none. `max_effort`, N or Nm, is for grippers; None leaves it to the driver.
    `publish_by`: published after this time, s, it would move the joints in a way that it was not made for.
    """

    stamp: float
    times: Positions
    positions: Positions
    velocities: Positions | None = None
    max_effort: float | None = None
    publish_by: float = math.inf


class GoalResult(NamedTuple):
    """How a goal ended: the gripper's position, ROS units, and effort, N or Nm; nan if the driver gives no value."""

    position: float
    effort: float
    reached_goal: bool
    stalled: bool


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


class ReadResult(Protocol):
    """Reads the result of a goal."""

    def __call__(self, result: Any) -> GoalResult:
        """Return how the goal ended."""


@dataclass(frozen=True)
class GoalAction:
    """An action whose goals are commands: the goal's field `command` is the message that the interface writes.

    `type` is a name such as `control_msgs/action/GripperCommand`.
    """

    type: str
    read_result: ReadResult


@dataclass(frozen=True)
class CommandInterface:
    """One way to command a controller.

    `streams`: the controller gets one target at every tick and keeps the last; otherwise it gets the rest of the plan
    with every chunk and follows the plan by itself. `action`: its messages are goals on an action server, for a gripper
    with one joint, and a target is sent only if it differs from the last; None: messages are published on a topic.
    """

    name: str
    streams: bool
    message_type: str
    write: WriteCommand
    read: ReadCommand
    action: GoalAction | None = None


def write_trajectory(make: MessageMaker, joints: Sequence[str], command: Command) -> Any:
    """Make a trajectory_msgs/JointTrajectory of points with positions and velocities.

    A controller interpolates with a cubic only between two points that both have velocities.
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
    """Read a trajectory_msgs/JointTrajectory. Without points it has no rows and stops the running trajectory."""
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


def write_parallel_gripper(make: MessageMaker, joints: Sequence[str], command: Command) -> Any:
    """Make the sensor_msgs/JointState of a ParallelGripperCommand goal; without `max_effort` its effort is empty."""
    return make(
        "sensor_msgs/msg/JointState",
        header=stamped_header(make, command.stamp),
        name=list(joints),
        position=command.positions[0].tolist(),
        effort=[] if command.max_effort is None else [command.max_effort] * len(joints),
    )


def read_parallel_gripper_result(result: Any) -> GoalResult:
    """Read the result of a ParallelGripperCommand, whose state is a JointState of the gripper."""
    state = result.state
    position, effort = (float(said[0]) if len(said) else math.nan for said in (state.position, state.effort))
    return GoalResult(position, effort, bool(result.reached_goal), bool(result.stalled))


def write_gripper(make: MessageMaker, joints: Sequence[str], command: Command) -> Any:
    """Make the control_msgs/GripperCommand of a goal; without `max_effort` its field, never empty, is 0.0."""
    effort = 0.0 if command.max_effort is None else command.max_effort
    return make("control_msgs/msg/GripperCommand", position=float(command.positions[0, 0]), max_effort=effort)


def read_gripper(joints: Sequence[str], message: Any) -> Command:
    """Read a control_msgs/GripperCommand, which has one position and no name."""
    if len(joints) != 1:
        raise ObservationError(f"expected one joint for one position, got {list(joints)}")
    return _one_target(0.0, _finite(joints, np.array([message.position], dtype=np.float64)))


def read_gripper_result(result: Any) -> GoalResult:
    """Read the result of a GripperCommand."""
    return GoalResult(float(result.position), float(result.effort), bool(result.reached_goal), bool(result.stalled))


COMMAND_INTERFACES: Mapping[str, CommandInterface] = {
    row.name: row
    for row in (
        CommandInterface(
            "joint_trajectory", False, "trajectory_msgs/msg/JointTrajectory", write_trajectory, read_trajectory
        ),
        CommandInterface("position_stream", True, "std_msgs/msg/Float64MultiArray", write_array, read_array),
        CommandInterface("joint_state", True, "sensor_msgs/msg/JointState", write_joint_state, read_joint_state),
        CommandInterface(
            "parallel_gripper_action",
            True,
            "sensor_msgs/msg/JointState",
            write_parallel_gripper,
            read_joint_state,
            GoalAction("control_msgs/action/ParallelGripperCommand", read_parallel_gripper_result),
        ),
        CommandInterface(
            "gripper_action",
            True,
            "control_msgs/msg/GripperCommand",
            write_gripper,
            read_gripper,
            GoalAction("control_msgs/action/GripperCommand", read_gripper_result),
        ),
    )
}
"""Name -> row. The default is the first."""
ACTIONS = tuple(name for name, row in COMMAND_INTERFACES.items() if row.action is not None)
"""The interfaces whose commands are goals on an action server."""


def command_interface(name: str) -> CommandInterface:
    """Return the row with that name. Raises ConfigurationError, which lists the known names, if there is none."""
    if name not in COMMAND_INTERFACES:
        raise ConfigurationError(f"command interface {name!r}: expected one of {', '.join(COMMAND_INTERFACES)}")
    return COMMAND_INTERFACES[name]


def seconds(message: Any) -> float:
    """Return a builtin_interfaces Time or Duration in s."""
    return float(message.sec + message.nanosec * 1e-9)


def stamp(make: MessageMaker, time: float) -> Any:
    """Make a builtin_interfaces/Time of s since the clock's epoch."""
    # Whole seconds first: a float64 that holds today's date in nanoseconds would lose the last two digits.
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
    """Pick the values of `joints` from a message's names and numbers (positions or velocities)."""
    if len(names) != len(positions):
        raise ObservationError(f"{len(names)} joint names but {len(positions)} numbers")
    places = {name: place for place, name in enumerate(names)}
    missing = [joint for joint in joints if joint not in places]
    if missing:
        raise ObservationError(f"missing joints {missing}; the message has {shown_names(names)}")
    return _finite(joints, np.array([positions[places[joint]] for joint in joints], dtype=np.float64))


def _finite(joints: Sequence[str], row: Positions) -> Positions:
    if not np.isfinite(row).all():
        bad = {joint: float(value) for joint, value in zip(joints, row, strict=True) if not np.isfinite(value)}
        raise ObservationError(f"expected finite positions, got {bad}")
    return row
