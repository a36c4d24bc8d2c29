"""JointBinding: names, order and units between ROS and the policy, both ways. Imports numpy only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import BadOutputError, ConfigurationError, ObservationError

UNITS = {"rad": 1.0, "deg": 180.0 / math.pi, "m": 1.0, "cm": 100.0, "mm": 1000.0}
"""`unit:` shorthand -> `Joint.scale` of a policy that counts in that unit, where ROS counts in rad or m (REP 103)."""

DEFAULT_MAX_VELOCITY = 2.0
"""ROS units/s; slow enough to watch and to reach for the emergency stop."""
DEFAULT_MAX_ACCELERATION = 20.0
"""ROS units/s2; small arms follow it without shaking, and it stops a joint from the default velocity within 0.1 s."""
DEFAULT_MAX_DEVIATION = 0.3
"""rad; an arm that is further than this from where it was told to be does not follow."""
DEFAULT_MAX_DEVIATION_PRISMATIC = 0.05
"""m; the same for a joint that a robot description calls prismatic."""


@dataclass(frozen=True)
class Joint:
    """One joint: `policy = scale * ros + offset`; `minimum`, `maximum` and `max_velocity` are in ROS units (and per s).

    A limit of None is no limit. `max_acceleration` (ROS units/s2) bounds how fast the velocity may change, also
    when the joint brakes. `smooth` is False for grippers: they go where the newest chunk says as fast as
    `max_velocity` allows, and keep what they were told through every hold. `max_deviation` is how far the measured
    position may be from the told one (ROS units), infinite for no limit. `continuous` joints turn without end: +3.1
    and -3.1 rad are 0.08 rad apart. Raises ConfigurationError that names the joint when the numbers make no sense.
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
    """The joints of a state or action vector in the policy's order, bound to ROS by name.

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

    def to_policy(self, names: Sequence[str], positions: Sequence[float]) -> npt.NDArray[np.float32]:
        """Pick this binding's joints from a JointState's `name` and `position`, in the policy's order and units.

        The message may carry its joints in any order and others besides. Returns float32 (n,), policy units. Raises
        ObservationError when a joint is missing, named twice or not finite, or when the lengths differ
        (sensor_msgs/JointState allows an empty `position`).
        """
        if len(names) != len(positions):
            raise ObservationError(f"joint state: {len(names)} names but {len(positions)} positions")
        index = {name: i for i, name in enumerate(names)}
        missing = [name for name in self.names if name not in index]
        if missing:
            raise ObservationError(f"joint state: missing {missing}; the message has {list(names)}")
        if len(index) != len(names):
            counted = list(names)
            repeated = [name for name in self.names if counted.count(name) > 1]
            if repeated:
                raise ObservationError(f"joint state: {repeated} more than once in {counted}")
        ros = np.array([positions[index[name]] for name in self.names], dtype=np.float64)
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused below, by name
            policy = (self._scale * ros + self._offset).astype(np.float32)
        if not np.isfinite(policy).all():
            bad = {self.names[i]: float(ros[i]) for i in np.flatnonzero(~np.isfinite(policy))}
            raise ObservationError(f"joint state: expected finite positions, got {bad}")
        return policy

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
        """Return actions (m, n), policy units, whose continuous joints go on from `here` (joint -> ROS position).

        From row to row such a joint turns by less than half a turn, and row `row` lies within half a turn of `here`.
        The other joints, and those that are not `here`, stay as they are.
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
        """Return the places of a controller's joints in this binding. Raises ConfigurationError for an unknown name."""
        unknown = [name for name in names if name not in self.names]
        if unknown:
            raise ConfigurationError(f"joints {unknown} are unknown; the known joints are {list(self.names)}")
        return [self.names.index(name) for name in names]


def nearest_turn(angle: npt.NDArray[np.float64], reference: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return `angle` (..., n), rad, moved by whole turns to within half a turn of `reference` (..., n)."""
    result: npt.NDArray[np.float64] = angle - 2.0 * math.pi * np.round((angle - reference) / (2.0 * math.pi))
    return result
