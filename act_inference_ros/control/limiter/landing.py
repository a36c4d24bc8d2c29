"""Where a joint that is too far from its reference meets it again: at the earliest place that the limits allow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from act_inference_ros.control.cubic import Array, Cubic, MotionPoint, hermite
from act_inference_ros.control.limiter.bounds import NEAR, Bools, Columns, MotionLimits
from act_inference_ros.control.limiter.bridge import SLACK, Bridge, Cruise, Span, cruise_at, extremes, gentlest_cruise

HALVINGS = 4
"""How often the segment before the first knot that can be reached is halved, to land earlier inside it."""


@dataclass(frozen=True)
class _Departure:
    """Where the bridges begin (joints,): after a joint that is faster than its limit has braked to it."""

    start: MotionPoint
    brake: Array
    time: Array
    position: Array
    velocity: Array
    limits: MotionLimits

    @classmethod
    def of(cls, start: MotionPoint, limits: MotionLimits) -> _Departure:
        velocity = np.clip(start.velocity, -limits.max_velocity, limits.max_velocity)
        too_much = start.velocity - velocity
        too_fast = np.abs(too_much) > SLACK * limits.max_velocity
        time = np.where(too_fast, np.abs(too_much) / limits.max_acceleration, 0.0)
        brake = -np.sign(too_much) * limits.max_acceleration
        position = start.position + start.velocity * time + brake * time**2 / 2.0
        allowed = limits.including_stop(start.position, start.velocity)
        return cls(start, brake, time, position, velocity, allowed)

    def span(self, times: Array, positions: Array, velocities: Array) -> Span:
        return Span(positions - self.position, times - self.time, self.velocity, velocities)

    def may(self, span: Span, cruise: Cruise) -> Bools:
        """Whether the bridge keeps the limits.

        A joint that cannot stop before a limit of position may exceed it by its shortest stopping distance.
        """
        end = self.position + span.distance
        lowest, highest = extremes(self.position, end, span, cruise)
        gentle = cruise.rate <= self.limits.max_acceleration * (1.0 + SLACK)
        return np.asarray(gentle & (lowest >= self.limits.lowest - NEAR) & (highest <= self.limits.highest + NEAR))

    def gentlest(self, span: Span) -> Cruise:
        return gentlest_cruise(span, self.limits.max_velocity, self.limits.max_acceleration)

    def hardest(self, span: Span) -> Cruise:
        return cruise_at(span, self.limits.max_acceleration, self.limits.max_velocity)


class _Landing(NamedTuple):
    """How and where the bridges end, arrays (joints,)."""

    rate: Array
    cruise: Array
    time: Array
    position: Array
    velocity: Array

    def or_where(self, which: Bools, other: _Landing) -> _Landing:
        """This landing, or the other one for the joints `which` (joints,)."""
        return _Landing(*[np.where(which, theirs, mine) for mine, theirs in zip(self, other, strict=True)])


def land(start: MotionPoint, reference: Cubic, limits: MotionLimits, not_before: Array) -> Bridge:
    """The bridge from `start`, at the time 0, that meets `reference` first at or after `not_before` (joints,), in s.

    The gentlest bridge to each knot is tried, and its landing is moved forward inside the segment before the knot. Then
    the hardest one is tried, which goes less far out, and reaches the end of the reference whenever that can be reached
    in time. If it cannot, the joint goes as near to it as the limits allow, and is at rest when the reference is.
    """
    departure = _Departure.of(start, limits)
    span = departure.span(reference.times[:, None], reference.positions, reference.velocities)
    late_enough = reference.times[:, None] >= np.minimum(not_before, reference.times[-1]) - SLACK
    knot, reached, landing = _first(departure, reference, span, departure.gentlest(span), late_enough)
    landing = _earlier(departure, reference, landing, knot, reached, not_before)
    if not reached.all():
        _, hits, other = _first(departure, reference, span, departure.hardest(span), late_enough)
        landing = landing.or_where(~reached & hits, other)
        reached = reached | hits
    if not reached.all():
        landing = landing.or_where(~reached, _at_rest(departure, reference))
    return Bridge(
        start.position,
        start.velocity,
        departure.brake,
        departure.time,
        departure.position,
        departure.velocity,
        Cruise(landing.rate, landing.cruise),
        landing.time,
        landing.position,
        landing.velocity,
        stays=~reached,
    )


def _first(
    departure: _Departure, reference: Cubic, span: Span, cruise: Cruise, late_enough: Bools
) -> tuple[Columns, Bools, _Landing]:
    """The first knot (joints,) that a bridge may lead to, whether there is one, and the landing there."""
    may = departure.may(span, cruise) & late_enough
    knot, columns = may.argmax(axis=0), np.arange(may.shape[1])
    landing = _Landing(
        cruise.rate[knot, columns],
        cruise.velocity[knot, columns],
        reference.times[knot],
        reference.positions[knot, columns],
        reference.velocities[knot, columns],
    )
    return knot, may[knot, columns], landing


def _earlier(
    departure: _Departure, reference: Cubic, landing: _Landing, knot: Columns, reached: Bools, not_before: Array
) -> _Landing:
    """The landing moved forward by halving the segment before its knot."""
    columns = np.arange(len(knot))
    halve = reached & (knot > 0)
    before, after = np.where(halve, knot - 1, 0), np.where(halve, knot, 1)
    begin, end = reference.times[before], reference.times[after]
    early, late = np.minimum(np.maximum(begin, not_before), end), end
    ends = [(reference.positions[k, columns], reference.velocities[k, columns]) for k in (before, after)]
    for _ in range(HALVINGS):
        middle = (early + late) / 2.0
        there = hermite(middle - begin, end - begin, ends[0], ends[1])
        span = departure.span(middle, there.position, there.velocity)
        cruise = departure.gentlest(span)
        may = departure.may(span, cruise)
        landing = landing.or_where(halve & may, _Landing(*cruise, middle, there.position, there.velocity))
        early, late = np.where(may, early, middle), np.where(may, middle, late)
    return landing


def _at_rest(departure: _Departure, reference: Cubic) -> _Landing:
    """The landing of a joint that cannot reach the end of its reference in time.

    It is at rest when the reference is, as near to the reference's end as the limits allow.
    """
    limits = departure.limits
    rate = limits.max_acceleration
    duration = np.maximum(reference.times[-1] - departure.time, np.abs(departure.velocity) / rate)
    goal, rest = reference.positions[-1], np.zeros(len(rate))
    distance, _, v0, _ = departure.span(departure.time + duration, goal, rest)
    sign = np.where(distance >= v0 * duration / 2.0, 1.0, -1.0)
    cruise = np.clip((v0 + sign * rate * duration) / 2.0, -limits.max_velocity, limits.max_velocity)
    change = v0 - cruise
    covered = cruise * duration + (change * np.abs(change) - cruise * np.abs(cruise)) / (2.0 * rate)
    return _Landing(rate, cruise, departure.time + duration, departure.position + covered, rest)
