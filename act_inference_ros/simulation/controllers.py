"""The controllers of a ros2_control robot that go to the newest positions, in numpy, and what all controllers share.

`PositionController` follows ros2_controllers' forward_command_controller, and `NamedPositionController` the drivers of
small arms that take a JointState. A command is accepted or refused whole: `command` returns None, or the reason for the
refusal, and a refused command changes nothing. Angles are in rad and lengths in m; times are in s on whatever clock the
caller uses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]


class SimulatedController(Protocol):
    """Turns accepted commands into one target per joint, in the order of `joints`."""

    joints: tuple[str, ...]

    def hold(self, positions: Sequence[float] | Vector) -> None:
        """Drop every plan and stay at `positions` (n_joints,)."""

    def sample(self, now_s: float) -> Vector:
        """Target (n_joints,) at `now_s`."""


class PositionController:
    """Goes to the newest vector of positions, as forward_command_controller does (one position interface a joint)."""

    def __init__(self, joints: Sequence[str]) -> None:
        self.joints = tuple(joints)
        self._target: Vector = np.zeros(len(self.joints))

    def hold(self, positions: Sequence[float] | Vector) -> None:
        """Stay at `positions` (n_joints,)."""
        self._target = joint_vector(positions, len(self.joints))

    def command(self, positions: Sequence[float]) -> str | None:
        """Go to `positions`, in the order of `joints`. Returns None, or why the command is refused."""
        if len(positions) != len(self.joints):
            return f"got {len(positions)} positions, expected {len(self.joints)}: {list(self.joints)}"
        if not all(math.isfinite(x) for x in positions):
            return f"the positions must be finite, got {list(positions)}"
        self._target = joint_vector(positions, len(self.joints))
        return None

    def sample(self, now_s: float) -> Vector:
        """Target (n_joints,); the time makes no difference."""
        return self._target.copy()


class NamedPositionController(PositionController):
    """Goes to the positions of a JointState command: any of the joints, by name; the others stay."""

    def command_named(self, names: Sequence[str], positions: Sequence[float]) -> str | None:
        """Go to `positions` of the joints `names`. Returns None, or why the command is refused."""
        unknown = sorted(set(names) - set(self.joints))
        if not names or unknown or len(set(names)) != len(names):
            return f"got joints {list(names)}, expected some of {list(self.joints)}, each once"
        if len(positions) != len(names):
            return f"got {len(positions)} positions for {len(names)} joints"
        target = self._target.copy()
        for name, position in zip(names, positions, strict=True):
            target[self.joints.index(name)] = position
        return self.command(target.tolist())


def joint_vector(values: Sequence[float] | Vector, length: int) -> Vector:
    """A copy of `values` as (length,) floats. Raises ValueError for any other shape."""
    vector = np.array(values, dtype=np.float64)
    if vector.shape != (length,):
        raise ValueError(f"expected {length} numbers, got shape {vector.shape}")
    return vector
