"""How joints come to rest: a hold that decelerates."""

from __future__ import annotations

import numpy as np

from act_inference_ros.control.cubic import Cubic
from act_inference_ros.control.limiter.bounds import MotionLimits
from act_inference_ros.control.limiter.grid import knot_times, next_on_grid

SHORTEST_BRAKING_S = 0.1
"""A hold takes this long, or longer where the acceleration is limited to less."""
SHORTEST_SEGMENT_S = 1e-3
"""No joint comes to rest sooner than this, so that no segment is too short for the digits of its times."""


def brake(told: Cubic, time: float, limits: MotionLimits) -> Cubic:
    """The motion that brings all joints to rest from what is told for `time`, its origin, at constant decelerations.

    All take max(0.1, the greatest |velocity| / max_acceleration) s. A joint that would then come to rest beyond a limit
    of position brakes as hard as it may.
    """
    start = told.at(time)
    own = np.abs(start.velocity) / limits.max_acceleration
    common = max(SHORTEST_BRAKING_S, float(own.max()))
    end = start.position + start.velocity * common / 2.0
    inside = (end >= limits.lowest) & (end <= limits.highest)
    takes = np.where(inside, common, np.maximum(own, SHORTEST_SEGMENT_S))
    takes = next_on_grid(takes)  # rounded down, a deceleration would be above the limit
    times = knot_times([takes])
    passed = np.minimum(times[:, None], takes)
    left = 1.0 - passed / takes
    positions = start.position + start.velocity * passed * (1.0 + left) / 2.0
    return Cubic(time, times, positions, start.velocity * left)
