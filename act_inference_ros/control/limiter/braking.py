"""How joints come to rest: a hold that decelerates."""

from __future__ import annotations

import numpy as np

from act_inference_ros.control.cubic import Cubic
from act_inference_ros.control.limiter.bounds import Bools, MotionLimits
from act_inference_ros.control.limiter.grid import knot_times, next_on_grid
from act_inference_ros.control.limiter.straight import CORNER_S

SHORTEST_BRAKING_S = 0.1
"""A hold takes this long, or longer where the acceleration is limited to less."""
GENTLE = 8.0
"""ROS units/s2: a hold does not brake harder than this without need."""
LONGEST_BRAKING_S = 5.0
"""s; the upper bound of how long a hold takes, also for joints whose velocity is practically not limited."""
SHORTEST_SEGMENT_S = 1e-3
"""No joint comes to rest sooner than this, so that no segment is too short for the digits of its times."""


def brake(told: Cubic, time: float, limits: MotionLimits, at_once: Bools | None = None) -> Cubic:
    """The motion that brings all joints to rest from what is told for `time`, its origin, at constant decelerations.

    All take max(0.1, the greatest |velocity| / min(8, max_acceleration)) s. A joint that would then come to rest beyond
    a limit of position brakes as hard as it may. The joints that are `at_once`, bool (joints,), stop within
    CORNER_S.
    """
    start = told.at(time)
    own = np.abs(start.velocity) / limits.max_acceleration
    gentle = np.abs(start.velocity) / np.minimum(GENTLE, limits.max_acceleration)
    common = max(SHORTEST_BRAKING_S, float(gentle.max()))
    end = start.position + start.velocity * common / 2.0
    inside = (end >= limits.lowest) & (end <= limits.highest)
    takes = np.where(inside, common, np.maximum(own, SHORTEST_SEGMENT_S))
    if at_once is not None:
        takes = np.where(at_once, CORNER_S, takes)
    takes = next_on_grid(takes)  # rounded down, a deceleration would be above the limit
    # Never a shorter motion: a controller refuses a trajectory whose end has passed when it comes.
    times = knot_times([takes, next_on_grid(np.array([common]))])
    passed = np.minimum(times[:, None], takes)
    left = 1.0 - passed / takes
    positions = start.position + start.velocity * passed * (1.0 + left) / 2.0
    return Cubic(time, times, positions, start.velocity * left)


def longest_braking_s(limits: MotionLimits) -> float:
    """How long a hold takes at most, s: from the greatest velocity that is allowed, but LONGEST_BRAKING_S at most."""
    gentle = limits.max_velocity / np.minimum(GENTLE, limits.max_acceleration)
    return min(max(SHORTEST_BRAKING_S, float(gentle.max())), LONGEST_BRAKING_S)
