"""Bridges: accelerate, cruise, brake, from one state of motion to another within a given time.

All arrays have one shape or broadcast against each other; distances are in ROS units, times in s. A bridge leads from
velocity `v0` to `v1` over the `distance` within `duration`: at the constant rate alpha from v0 to the velocity vc of
the cruise, and at the same rate from there to v1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from act_inference_ros.control.cubic import Array
from act_inference_ros.control.limiter.bounds import Bools

SLACK = 1e-9
"""Rounding errors may exceed a limit by this share."""
SMALLEST_RATE = 1e-12
"""ROS units/s2: a bridge that need not accelerate at all does so at this rate."""


class Cruise(NamedTuple):
    """How a bridge accelerates and cruises.

    `rate` is its acceleration and deceleration, ROS units/s2, infinite where there is no bridge; `velocity` is that of
    the cruise between them, ROS units/s. Made from distance, duration and velocities by integrating the three phases.
    """

    rate: Array
    velocity: Array


class Span(NamedTuple):
    """The task of a bridge: go `distance` (ROS units) in `duration` (s), from velocity `v0` to `v1` (ROS units/s)."""

    distance: Array
    duration: Array
    v0: Array
    v1: Array


def gentlest_cruise(span: Span, max_velocity: Array, max_acceleration: Array) -> Cruise:
    """The bridge with the smallest rate; it may be more than `max_acceleration`.

    If the distance lies between `duration` times the slower and `duration` times the faster of the two velocities, a
    monotone bridge is preferred: its cruise lies between the two velocities.
    """
    distance, duration, v0, v1 = span
    with np.errstate(all="ignore"):
        change = v1 - v0
        # What the cruise adds to the way at the mean velocity is a quadratic in the rate; this is its larger root.
        excess = distance - (v0 + v1) * duration / 2.0
        sign = np.where(excess >= 0.0, 1.0, -1.0)
        rate = (2.0 * np.abs(excess) + np.sqrt(4.0 * excess**2 + change**2 * duration**2)) / duration**2
        cruise = (v0 + v1) / 2.0 + sign * rate * duration / 2.0
        too_fast = np.abs(cruise) > max_velocity
        fastest = sign * max_velocity
        gap = sign * (fastest * duration - distance)
        capped = ((fastest - v0) ** 2 + (fastest - v1) ** 2) / (2.0 * gap)
        rate = np.where(too_fast, np.where(gap > 0.0, capped, np.inf), rate)
        cruise = np.where(too_fast, fastest, cruise)
        above = distance - np.minimum(v0, v1) * duration
        below = np.maximum(v0, v1) * duration - distance
        monotone_rate = np.maximum(np.abs(change) / duration, change**2 / (2.0 * np.minimum(above, below)))
        monotone = (change != 0.0) & (above > 0.0) & (below > 0.0) & (monotone_rate <= max_acceleration)
        rate = np.where(monotone, monotone_rate, rate)
        cruise = np.where(monotone, _between(span, monotone_rate), cruise)
        return Cruise(np.where(duration > 0.0, rate, np.inf), cruise)


def cruise_at(span: Span, rate: Array, max_velocity: Array) -> Cruise:
    """The bridge at just this rate; its rate is infinite where none covers the distance within `max_velocity`.

    At the largest rate that is allowed the joint overshoots as little as possible.
    """
    distance, duration, v0, v1 = span
    with np.errstate(all="ignore"):
        lower, upper = np.minimum(v0, v1), np.maximum(v0, v1)
        ramp = (v1 - v0) ** 2 / (2.0 * rate)
        cruise = np.where(
            distance > upper * duration - ramp,
            _outside(distance, duration, v0, v1, rate),
            np.where(
                distance < lower * duration + ramp,
                -_outside(-distance, duration, -v0, -v1, rate),
                _between(span, rate),
            ),
        )
        up, down = cruise - v0, v1 - cruise
        covered = cruise * duration + (down * np.abs(down) - up * np.abs(up)) / (2.0 * rate)
        fits = (
            (duration > 0.0)
            & (np.abs(up) + np.abs(down) <= rate * duration * (1.0 + SLACK))
            & (np.abs(cruise) <= max_velocity * (1.0 + SLACK))
            & (np.abs(covered - distance) < SLACK)
        )
        return Cruise(np.where(fits, rate, np.inf), cruise)


def extremes(start: Array, end: Array, span: Span, cruise: Cruise) -> tuple[Array, Array]:
    """Lowest and highest position of a bridge from position `start` to `end`, ROS units.

    They may lie inside, where the velocity is 0.
    """
    with np.errstate(all="ignore"):
        turn = start + span.v0 * np.abs(span.v0) / (2.0 * cruise.rate)
        leaves = np.where(span.v0 * cruise.velocity < 0.0, turn, start)
        turn = end - span.v1 * np.abs(span.v1) / (2.0 * cruise.rate)
        arrives = np.where(cruise.velocity * span.v1 < 0.0, turn, end)
    outer = np.stack(np.broadcast_arrays(start, end, leaves, arrives))
    return np.asarray(outer.min(axis=0)), np.asarray(outer.max(axis=0))


@dataclass(frozen=True)
class Bridge:
    """A bridge for each joint, all arrays (joints,), times in s after the stamp.

    Up to the time `slow` a joint that is faster than its limit brakes at `brake` (signed); there it is at `position`
    with `velocity`. From there `cruise` leads to `end_position` and `end_velocity` at the time `landing`. Which joints
    meet their reference there, and which stay there at rest because they cannot: `stays`, bool.
    """

    start_position: Array
    start_velocity: Array
    brake: Array
    slow: Array
    position: Array
    velocity: Array
    cruise: Cruise
    landing: Array
    end_position: Array
    end_velocity: Array
    stays: Bools

    @property
    def phases(self) -> tuple[Array, Array]:
        """When the cruise begins and ends, each (joints,)."""
        rate = np.maximum(self.cruise.rate, SMALLEST_RATE)
        begins = self.slow + np.abs(self.cruise.velocity - self.velocity) / rate
        ends = self.landing - np.abs(self.end_velocity - self.cruise.velocity) / rate
        begins = np.minimum(begins, self.landing)
        return begins, np.maximum(ends, begins)

    def sample(self, times: Array) -> tuple[Array, Array]:
        """Position and velocity (n, joints) at `times` (n,); those of the end after the landing."""
        t = times[:, None]
        begins, ends = self.phases
        up = np.sign(self.cruise.velocity - self.velocity) * self.cruise.rate
        down = np.sign(self.end_velocity - self.cruise.velocity) * self.cruise.rate
        braked = np.minimum(t, self.slow)
        rising = np.clip(t, self.slow, begins) - self.slow
        cruised = np.clip(t, begins, ends) - begins
        left = np.clip(t, ends, self.landing) - self.landing
        whole = begins - self.slow
        top = self.position + self.velocity * whole + up * whole**2 / 2.0
        phase = [t <= self.slow, t <= begins, t <= ends]
        position = np.select(
            phase,
            [
                self.start_position + self.start_velocity * braked + self.brake * braked**2 / 2.0,
                self.position + self.velocity * rising + up * rising**2 / 2.0,
                top + self.cruise.velocity * cruised,
            ],
            self.end_position + self.end_velocity * left + down * left**2 / 2.0,
        )
        velocity = np.select(
            phase,
            [
                self.start_velocity + self.brake * braked,
                self.velocity + up * rising,
                np.broadcast_to(self.cruise.velocity, position.shape),
            ],
            self.end_velocity + down * left,
        )
        return position, velocity


def _between(span: Span, rate: Array) -> Array:
    """Velocity of the cruise of a monotone bridge at `rate`; where all time goes into accelerating, the last one."""
    distance, duration, v0, v1 = span
    change = v1 - v0
    cruise = (distance - np.sign(change) * (v1**2 - v0**2) / (2.0 * rate)) / (duration - np.abs(change) / rate)
    cruise = np.where(np.isfinite(cruise), cruise, v1)
    return np.asarray(np.clip(cruise, np.minimum(v0, v1), np.maximum(v0, v1)))


def _outside(distance: Array, duration: Array, v0: Array, v1: Array, rate: Array) -> Array:
    """Velocity of the cruise, faster than v0 and v1, at `rate`: the smaller root of the quadratic for the distance."""
    sum_ = v0 + v1 + rate * duration
    product = (v0**2 + v1**2) / 2.0 + rate * distance
    return np.asarray((sum_ - np.sqrt(np.maximum(sum_**2 - 4.0 * product, 0.0))) / 2.0)
