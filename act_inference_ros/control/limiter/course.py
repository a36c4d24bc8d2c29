"""Courses: the motion of a group of joints with its own knots, and how all groups are joined into one motion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from act_inference_ros.control.cubic import Array, Cubic, MotionPoint
from act_inference_ros.control.limiter.bounds import Columns
from act_inference_ros.control.limiter.bridge import Bridge
from act_inference_ros.control.limiter.grid import knot_times


class Course(Protocol):
    """How some of the joints go, from the time 0 on."""

    @property
    def columns(self) -> Columns:
        """Which joints."""

    @property
    def times(self) -> Array:
        """The times (n,) between which it is a cubic."""

    def sample(self, times: Array) -> tuple[Array, Array]:
        """Positions and velocities (m, columns) at `times` (m,)."""


@dataclass(frozen=True)
class Direct:
    """The joints go along a cubic."""

    columns: Columns
    cubic: Cubic

    @property
    def times(self) -> Array:
        """The times (n,) of the cubic's knots, s."""
        return self.cubic.times

    def sample(self, times: Array) -> tuple[Array, Array]:
        """Positions and velocities (m, columns) at `times` (m,)."""
        there = self.cubic.sample(times)
        return there.position, there.velocity


@dataclass(frozen=True)
class Bridged:
    """The joints go over a bridge, and then along their reference."""

    columns: Columns
    bridge: Bridge
    reference: Cubic

    @property
    def times(self) -> Array:
        """The times (n,) of the reference's knots and of the ends of the bridges' phases, s."""
        return np.concatenate([self.reference.times, self.bridge.slow, *self.bridge.phases, self.bridge.landing])

    def sample(self, times: Array) -> tuple[Array, Array]:
        """Positions and velocities (m, columns) at `times` (m,)."""
        position, velocity = self.bridge.sample(times)
        there = self.reference.sample(times)
        landed = (times[:, None] > self.bridge.landing) & ~self.bridge.stays
        return np.where(landed, there.position, position), np.where(landed, there.velocity, velocity)


def together(courses: Sequence[Course], start: MotionPoint) -> Cubic:
    """All joints' motion from `start` at the time 0, with the knots of every course, to rest."""
    times = knot_times([course.times for course in courses])
    positions = np.empty((len(times), len(start.position)))
    velocities = np.empty_like(positions)
    for course in courses:
        positions[:, course.columns], velocities[:, course.columns] = course.sample(times)
    positions[0], velocities[0] = start.position, start.velocity
    velocities[-1] = 0.0
    return Cubic(0.0, times, positions, velocities)
