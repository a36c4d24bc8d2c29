"""Joints by name, order and units: JointBinding from the policy's actions to ROS, StateBinding from ROS to its state.

Imports numpy only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import BadOutputError, ConfigurationError, ObservationError, shown_names

UNITS = {"rad": 1.0, "deg": 180.0 / math.pi, "m": 1.0, "cm": 100.0, "mm": 1000.0}
"""`unit:` shorthand -> `Joint.scale` of a policy that counts in that unit, where ROS counts in rad or m (REP 103)."""

DEFAULT_MAX_VELOCITY = 2.0
"""ROS units/s; slow enough to watch and to reach for the emergency stop."""
DEFAULT_MAX_ACCELERATION = 20.0
"""ROS units/s2; small arms follow it without shaking, and it stops a joint from the default velocity within 0.1 s."""
DEFAULT_MAX_DEVIATION = 0.3
"""rad; an arm that is further than this from its commanded position does not follow."""
DEFAULT_MAX_DEVIATION_PRISMATIC = 0.05
"""m; the same for a joint that is prismatic in the robot description."""

POSITION, VELOCITY, EFFORT = "position", "velocity", "effort"
"""The fields of sensor_msgs/JointState that a state's entry may come from."""

Places: TypeAlias = tuple[int, ...]
"""Indices of some entries of a state, increasing."""
PARTS_KEPT = 64
"""Largest number of cached bindings of parts of a state."""


@dataclass(frozen=True)
class Joint:
    """One joint: `policy = scale * ros + offset`; `minimum`, `maximum` and `max_velocity` are in ROS units (and per s).

    A limit of None is no limit. `max_acceleration` (ROS units/s2) bounds how fast the velocity may change, also
    when the joint brakes. `smooth` is False for grippers: they go to the newest chunk's target as fast as
    `max_velocity` allows, and keep their last target in every hold. `max_deviation` is the largest allowed distance
    between measured and commanded position (ROS units), infinite for no limit. `continuous` joints turn without end:
    +3.1 and -3.1 rad are 0.08 rad apart. Raises ConfigurationError that names the joint when the numbers make no sense.
    """

    name: str
    scale: float = 1.0
    offset: float = 0.0
    minimum: float | None = None
    maximum: float | None = None
    max_velocity: float = DEFAULT_MAX_VELOCITY
    max_acceleration: float = DEFAULT_MAX_ACCELERATION
    smooth: bool = True
    max_deviation: float = DEFAULT_MAX_DEVIATION
    continuous: bool = False

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigurationError("joint: expected a name, got an empty one")
        for field in ("scale", "offset", "minimum", "maximum", "max_velocity", "max_acceleration"):
            value = getattr(self, field)
            if value is not None and not math.isfinite(value):
                raise ConfigurationError(f"joint {self.name}: {field} must be a finite number, got {value}")
        if self.scale == 0.0:
            raise ConfigurationError(f"joint {self.name}: scale must not be 0 (policy = scale * ros + offset)")
        if not self.max_deviation > 0.0:
            raise ConfigurationError(f"joint {self.name}: max_deviation must be above 0, got {self.max_deviation}")
        for field in ("max_velocity", "max_acceleration"):
            if getattr(self, field) <= 0.0:
                raise ConfigurationError(f"joint {self.name}: {field} must be above 0, got {getattr(self, field)}")
        if self.minimum is not None and self.maximum is not None and self.minimum >= self.maximum:
            raise ConfigurationError(
                f"joint {self.name}: minimum must be below maximum, got {self.minimum} and {self.maximum}"
            )


class JointBinding:
    """The joints of an action in the policy's order, bound to ROS by name.

    Raises ConfigurationError when there are no joints or two of one name.
    """

    def __init__(self, joints: Sequence[Joint]) -> None:
        self.joints = tuple(joints)
        self.names = tuple(joint.name for joint in self.joints)
        repeated = sorted({name for name in self.names if self.names.count(name) > 1})
        if not self.names or repeated:
            raise ConfigurationError(
                f"joints: expected names, each once; got {list(self.names)}"
                + (f", where {repeated} come more than once" if repeated else "")
            )
        self._scale = np.array([joint.scale for joint in self.joints], dtype=np.float64)
        self._offset = np.array([joint.offset for joint in self.joints], dtype=np.float64)

    def __len__(self) -> int:
        return len(self.joints)

    def to_ros(self, actions: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Convert actions (..., n) in policy units to positions (..., n) in ROS units, float64.

        Raises BadOutputError when the last axis is not n long.
        """
        values = np.asarray(actions, dtype=np.float64)
        if values.ndim == 0 or values.shape[-1] != len(self):
            raise BadOutputError(f"actions: expected (..., {len(self)}) for {list(self.names)}, got {values.shape}")
        result: npt.NDArray[np.float64] = (values - self._offset) / self._scale
        return result

    def to_actions(self, positions: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
        """Convert positions (..., n) in ROS units to actions (..., n) in policy units, float32; undoes `to_ros`."""
        result: npt.NDArray[np.float32] = (np.asarray(positions) * self._scale + self._offset).astype(np.float32)
        return result

    def on_nearest_turn(
        self, actions: npt.NDArray[np.float32], row: int, here: Mapping[str, float]
    ) -> npt.NDArray[np.float32]:
        """Return actions (m, n), policy units, whose continuous joints continue from `here` (joint -> ROS position).

        From row to row such a joint turns by less than half a turn, and row `row` lies within half a turn of `here`.
        Other joints, and joints that `here` does not contain, stay unchanged.
        """
        columns = [i for i, joint in enumerate(self.joints) if joint.continuous and joint.name in here]
        if not columns:
            return actions
        ros = np.unwrap(self.to_ros(actions)[:, columns], axis=0)
        reference = np.array([here[self.names[i]] for i in columns])
        ros += nearest_turn(ros[row], reference) - ros[row]
        turned = actions.copy()
        turned[:, columns] = (ros * self._scale[columns] + self._offset[columns]).astype(np.float32)
        return turned

    def indices(self, names: Sequence[str]) -> list[int]:
        """Return the indices of a controller's joints in this binding, or raise ConfigurationError."""
        unknown = [name for name in names if name not in self.names]
        if unknown:
            raise ConfigurationError(f"joints {unknown} are unknown; the known joints are {list(self.names)}")
        return [self.names.index(name) for name in names]


@dataclass(frozen=True)
class StateEntry:
    """One number of a state: a joint's position, velocity or effort, as `field` says.

    A velocity is in policy units/s: `scale` applies to it, `offset` does not. An effort is the driver's number:
    neither applies.
    """

    joint: Joint
    field: str = POSITION

    @property
    def name(self) -> str:
        """The entry in a parameter file's spelling: `lift`, `lift/velocity` or `lift/effort`."""
        return self.joint.name if self.field == POSITION else f"{self.joint.name}/{self.field}"


def joint_and_field(entry: str) -> tuple[str, str]:
    """Split a state's entry in a parameter file's spelling: `lift/velocity` is the joint lift and its velocity."""
    joint, _, field = entry.rpartition("/")
    return (joint, field) if joint and field in (VELOCITY, EFFORT) else (entry, POSITION)


class StateBinding:
    """The entries of a state in the policy's order, bound to the fields of sensor_msgs/JointState by name.

    Raises ConfigurationError when there are no entries or two of one name.
    """

    def __init__(self, entries: Sequence[StateEntry]) -> None:
        self.entries = tuple(entries)
        self.names = tuple(entry.name for entry in self.entries)
        if not self.names or len(set(self.names)) < len(self.names):
            raise ConfigurationError(f"state: expected entries, each once; got {list(self.names)}")
        self._joints = tuple(entry.joint.name for entry in self.entries)
        self._fields = tuple(entry.field for entry in self.entries)
        self.fields = tuple(dict.fromkeys(self._fields))
        """The fields of a JointState that are read."""
        self._parts: dict[Places, StateBinding] = {}
        scales = [1.0 if each.field == EFFORT else each.joint.scale for each in self.entries]
        offsets = [each.joint.offset if each.field == POSITION else 0.0 for each in self.entries]
        self._scale, self._offset = np.array(scales, dtype=np.float64), np.array(offsets, dtype=np.float64)

    @classmethod
    def of_positions(cls, joints: Sequence[Joint]) -> StateBinding:
        """Bind the positions of these joints."""
        return cls([StateEntry(joint) for joint in joints])

    def __len__(self) -> int:
        return len(self.entries)

    def to_policy(self, message: Any) -> npt.NDArray[np.float32]:
        """Pick the entries from anything shaped like a JointState, in the policy's order and units, float32 (n,).

        The message may carry its joints in any order and others besides. Raises ObservationError when a joint is
        missing, named twice or not finite, or when the lengths differ: each field may be empty in a JointState.
        """
        names = message.name
        fields = {field: getattr(message, field) for field in self.fields}
        for field, values in fields.items():
            if len(values) != len(names):
                raise self._wrong_length(message, field)
        index = {name: i for i, name in enumerate(names)}
        missing = [name for name in self._joints if name not in index]
        if missing:
            raise ObservationError(
                f"joint state: missing {list(dict.fromkeys(missing))}; the message has {shown_names(names)}"
            )
        if len(index) != len(names):
            counted = list(names)
            repeated = [name for name in dict.fromkeys(self._joints) if counted.count(name) > 1]
            if repeated:
                raise ObservationError(f"joint state: {repeated} more than once in {shown_names(counted)}")
        if len(fields) == 1:
            picked = [values[index[name]] for name in self._joints]
        else:
            picked = [fields[field][index[name]] for field, name in zip(self._fields, self._joints, strict=True)]
        ros = np.array(picked, dtype=np.float64)
        with np.errstate(over="ignore", invalid="ignore"):  # overflows are refused below, by name
            policy = (self._scale * ros + self._offset).astype(np.float32)
        if not np.isfinite(policy).all():
            bad = {self.names[i]: float(ros[i]) for i in np.flatnonzero(~np.isfinite(policy))}
            raise ObservationError(f"joint state: expected finite numbers, got {bad}")
        return policy

    def places_in(self, message: Any) -> Places:
        """Return the indices of the entries in a message that may have only some joints and empty fields.

        Raises ObservationError for a field that is neither empty nor as long as the list of names.
        """
        names, filled = frozenset(message.name), []
        for field in self.fields:
            count = len(getattr(message, field))
            if count == len(message.name):
                filled.append(field)
            elif count:
                raise self._wrong_length(message, field)
        entries = zip(self._joints, self._fields, strict=True)
        return tuple(i for i, (joint, field) in enumerate(entries) if joint in names and field in filled)

    def part(self, places: Places) -> StateBinding:
        """Return the binding of the entries at these indices, at least one."""
        if places not in self._parts:
            if len(self._parts) >= PARTS_KEPT:  # a driver's messages are alike; other senders must not fill the memory
                self._parts.clear()
            self._parts[places] = StateBinding([self.entries[i] for i in places])
        return self._parts[places]

    def to_ros(self, state: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Convert a state (n,) in the policy's order and units to a driver's numbers, ROS units; undoes `to_policy`."""
        result: npt.NDArray[np.float64] = (np.asarray(state, dtype=np.float64) - self._offset) / self._scale
        return result

    def _wrong_length(self, message: Any, field: str) -> ObservationError:
        count, plural = len(getattr(message, field)), {VELOCITY: "velocities"}.get(field, f"{field}s")
        told = f"joint state: {len(message.name)} names but {count} {plural}"
        wanted = [name for name, each in zip(self.names, self._fields, strict=True) if each == field]
        return ObservationError(told if field == POSITION else f"{told}, so nothing is known of {', '.join(wanted)}")


def nearest_turn(angle: npt.NDArray[np.float64], reference: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return `angle` (..., n), rad, moved by whole turns to within half a turn of `reference` (..., n)."""
    result: npt.NDArray[np.float64] = angle - 2.0 * math.pi * np.round((angle - reference) / (2.0 * math.pi))
    return result
