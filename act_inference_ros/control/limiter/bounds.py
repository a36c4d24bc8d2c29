"""MotionLimits: the limits of several joints, and the exact test whether a motion keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from act_inference_ros.control.cubic import Array, Cubic, segment_extremes
from act_inference_ros.joints import Joint

Bools: TypeAlias = npt.NDArray[np.bool_]
Columns: TypeAlias = npt.NDArray[np.intp]

SHARE = 1e-6
"""Rounding errors may exceed a limit of velocity or acceleration by this share."""
NEAR = 1e-9
"""ROS units: rounding errors may exceed a limit of position by this much."""


@dataclass(frozen=True)
class MotionLimits:
    """Limits of the joints, each array (joints,): ROS units, per s and per s2; infinite for no limit of position."""

    lowest: Array
    highest: Array
    max_velocity: Array
    max_acceleration: Array

    @classmethod
    def of(cls, joints: Sequence[Joint]) -> MotionLimits:
        """The limits that the joints have."""
        return cls(
            np.array([-np.inf if joint.minimum is None else joint.minimum for joint in joints]),
            np.array([np.inf if joint.maximum is None else joint.maximum for joint in joints]),
            np.array([joint.max_velocity for joint in joints]),
            np.array([joint.max_acceleration for joint in joints]),
        )

    def of_columns(self, columns: Columns | Bools) -> MotionLimits:
        """The limits of some of the joints."""
        return MotionLimits(
            self.lowest[columns], self.highest[columns], self.max_velocity[columns], self.max_acceleration[columns]
        )

    def including(self, position: Array) -> MotionLimits:
        """Limits of position as wide as `position` (joints,): a joint that starts outside may be there, not beyond."""
        return replace(self, lowest=np.minimum(self.lowest, position), highest=np.maximum(self.highest, position))

    def including_stop(self, position: Array, velocity: Array) -> MotionLimits:
        """Limits of position as wide as the shortest way to rest, which braking at the limit cannot avoid."""
        way = velocity * np.abs(velocity) / (2.0 * self.max_acceleration)
        return self.including(position).including(position + way)

    def clip(self, positions: Array) -> Array:
        """`positions` (..., joints) moved inside the limits of position."""
        return np.asarray(np.clip(positions, self.lowest, self.highest))


def keeps_limits(motion: Cubic, limits: MotionLimits) -> Bools:
    """Which joints (joints,) keep their limits throughout `motion`, whose times must increase.

    In a segment of a cubic the acceleration is linear, so that it is greatest at a knot. The velocity has its extreme
    between the knots where the acceleration changes its sign there. The position lies within the hull of the segment's
    Bezier points; only where that reaches beyond a limit are the extremes themselves computed.
    """
    h = np.diff(motion.times)[:, None]
    p0, p1, v0, v1 = motion.positions[:-1], motion.positions[1:], motion.velocities[:-1], motion.velocities[1:]
    slope = (p1 - p0) / h
    first = (6.0 * slope - 4.0 * v0 - 2.0 * v1) / h
    last = (2.0 * v0 + 4.0 * v1 - 6.0 * slope) / h
    gentle = np.maximum(np.abs(first), np.abs(last)).max(axis=0) <= limits.max_acceleration * (1.0 + SHARE)
    turns = first * last < 0.0
    inner = v0 + first**2 * h / (2.0 * np.where(turns, first - last, 1.0))
    speed = np.maximum(np.maximum(np.abs(v0), np.abs(v1)), np.where(turns, np.abs(inner), 0.0)).max(axis=0)
    bezier = np.vstack([motion.positions, p0 + v0 * h / 3.0, p1 - v1 * h / 3.0])
    keeps = gentle & (speed <= limits.max_velocity * (1.0 + SHARE))
    inside = _inside(bezier.min(axis=0), bezier.max(axis=0), limits)
    unsure = np.flatnonzero(keeps & ~inside)
    if len(unsure):
        lowest, highest = segment_extremes(h[:, 0], motion.positions[:, unsure], motion.velocities[:, unsure])
        inside[unsure] = _inside(lowest.min(axis=0), highest.max(axis=0), limits.of_columns(unsure))
    return np.asarray(keeps & inside)


def _inside(lowest: Array, highest: Array, limits: MotionLimits) -> Bools:
    return np.asarray((lowest >= limits.lowest - NEAR) & (highest <= limits.highest + NEAR))
