"""The times that knots may have: whole nanoseconds after the stamp, as messages have them, and not too near together.

Times are rounded before a motion is evaluated at them. If the writer of the message rounded
them later, times and positions would no longer match: between close knots that is a large error of velocity.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from act_inference_ros.control.cubic import Array

DIGITS = 9
SHORTEST_SEGMENT_S = 1e-6
"""Of two knots that are nearer than this, the first is left out."""


def on_grid(times: Array) -> Array:
    """`times`, s after the stamp, rounded to the grid."""
    return np.asarray(np.round(times, DIGITS), dtype=np.float64)


def next_on_grid(times: Array) -> Array:
    """`times`, s after the stamp, rounded up to the grid."""
    steps = 10.0**DIGITS
    return on_grid(np.ceil(times * steps - 1e-3) / steps)


def knot_times(groups: Sequence[Array]) -> Array:
    """The times (n,) of all `groups`, increasing, on the grid, from 0 on; the last is always among them."""
    times = np.unique(on_grid(np.concatenate(groups)))
    later = times[times > SHORTEST_SEGMENT_S]
    apart = np.append(np.diff(later) > SHORTEST_SEGMENT_S, True)
    return np.append(0.0, later[apart])
