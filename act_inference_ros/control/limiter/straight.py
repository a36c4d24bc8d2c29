"""Straight ways for joints that are not smooth (grippers): through each row as soon as the velocity limit allows."""

from __future__ import annotations

import numpy as np

from act_inference_ros.control.cubic import Array, Cubic, MotionPoint
from act_inference_ros.control.limiter.grid import on_grid
from act_inference_ros.control.limiter.reference import within_steps

CORNER_S = 2e-5
"""s; the velocity changes to that of the next segment this long before a row."""
ROUNDS = 3
"""How often the slopes are corrected by what the corners take; each round gains three digits."""
NEAREST_ROW_S = 1e-3
"""A row that is nearer to the start than this is left out."""


def straight(start: MotionPoint, times: Array, rows: Array, max_velocity: Array) -> Cubic:
    """From `start` (joints,) at the time 0 straight through `rows` (n, joints) at `times` (n,), s, and to rest.

    Only the velocity (joints,) is limited: a gripper must close when the policy says so, although that is not smooth.
    """
    ahead = times > NEAREST_ROW_S
    knots = np.r_[0.0, times[ahead]]
    n, steps, turn = len(knots) - 1, np.diff(knots)[:, None], CORNER_S / 2.0
    # What corners take from the time of a step is made up for on the way, which must not be too fast therefore.
    rows = within_steps(np.vstack([start.position, rows[ahead]]), (steps - 4.0 * turn) * max_velocity)
    before, ways = on_grid(knots[1:] - CORNER_S), np.diff(rows, axis=0)
    lasts = steps - turn
    # The first way begins with a corner, too: what was told may have arrived with another velocity.
    ways[0], lasts[0] = ways[0] - turn * start.velocity, lasts[0] - turn
    slopes = ways / lasts
    for _ in range(ROUNDS):
        slopes = (ways - turn * _next(slopes)) / lasts
    begins = start.position + turn * (start.velocity + slopes[0])
    turns = rows[1:] - turn * (slopes + _next(slopes))
    return Cubic(
        0.0,
        np.r_[0.0, CORNER_S, np.column_stack([before, knots[1:]]).ravel()],
        np.vstack([start.position, begins, np.stack([turns, rows[1:]], axis=1).reshape(2 * n, -1)]),
        np.vstack([start.velocity, slopes[0], np.stack([slopes, _next(slopes)], axis=1).reshape(2 * n, -1)]),
    )


def _next(slopes: Array) -> Array:
    """The slope of the way after each (n, joints); at rest after the last."""
    return np.vstack([slopes[1:], np.zeros_like(slopes[:1])])
