"""The smoothest way through knots, and the offset by which a new plan takes over from another without a step."""

from __future__ import annotations

import numpy as np

from act_inference_ros.control.cubic import Array

NEGLIGIBLE = 1e-18
"""Coupling between two knots, as a share of the diagonal, that no float64 can show."""


def spline_velocities(times: Array, positions: Array, first: Array, last: Array) -> Array:
    """Velocities (n, joints) that make the cubic through `positions` (n, joints) at `times` (n,) twice differentiable.

    `first` and `last` (joints,) are the velocities at the ends (a clamped spline; de Boor, A Practical Guide to
    Splines, chapter IV). With steps h and slopes d the velocities V between the ends obey
    `V[k-1] / h[k-1] + 2 V[k] (1 / h[k-1] + 1 / h[k]) + V[k+1] / h[k] = 3 (d[k-1] / h[k-1] + d[k] / h[k])`.
    """
    inverse = 1.0 / np.diff(times)
    slopes = np.diff(positions, axis=0) * inverse[:, None]
    velocities = np.empty_like(positions)
    velocities[0], velocities[-1] = first, last
    if len(times) > 2:
        right = 3.0 * (slopes[:-1] * inverse[:-1, None] + slopes[1:] * inverse[1:, None])
        right[0] -= inverse[0] * velocities[0]
        right[-1] -= inverse[-1] * velocities[-1]
        velocities[1:-1] = solve_tridiagonal(inverse[:-1], 2.0 * (inverse[:-1] + inverse[1:]), inverse[1:], right)
    return velocities


def solve_tridiagonal(lower: Array, diagonal: Array, upper: Array, right: Array) -> Array:
    """Solve `lower[k] x[k-1] + diagonal[k] x[k] + upper[k] x[k+1] = right[k]` for x (m, joints).

    The three bands are (m,), `lower[0]` and `upper[-1]` count as 0, and the diagonal dominates. Parallel cyclic
    reduction (Hockney and Jesshope, Parallel Computers): each round removes the neighbours of every row and leaves
    those twice as far away, whose weight falls as its square. So a few rounds on whole arrays do, without LAPACK, whose
    threads cost more than the solution.
    """
    lower, upper = lower.copy(), upper.copy()
    lower[0] = upper[-1] = 0.0
    distance = 1
    while distance < len(diagonal) and max(np.abs(lower).max(), np.abs(upper).max()) > NEGLIGIBLE * diagonal.min():
        before = np.zeros_like(lower)
        after = np.zeros_like(upper)
        before[distance:] = -lower[distance:] / diagonal[:-distance]
        after[:-distance] = -upper[:-distance] / diagonal[distance:]
        next_diagonal, next_right = diagonal.copy(), right.copy()
        next_diagonal[distance:] += before[distance:] * upper[:-distance]
        next_diagonal[:-distance] += after[:-distance] * lower[distance:]
        next_right[distance:] += before[distance:, None] * right[:-distance]
        next_right[:-distance] += after[:-distance, None] * right[distance:]
        next_lower, next_upper = np.zeros_like(lower), np.zeros_like(upper)
        next_lower[distance:] = before[distance:] * lower[:-distance]
        next_upper[:-distance] = after[:-distance] * upper[distance:]
        lower, diagonal, upper, right = next_lower, next_diagonal, next_upper, next_right
        distance *= 2
    return np.asarray(right / diagonal[:, None])


def decaying_offset(
    since: Array, duration: float, position: Array, velocity: Array, acceleration: Array
) -> tuple[Array, Array]:
    """Offset and its velocity (n, joints), `since` (n,) s after it began with the three values (joints,) given.

    The polynomial of fifth degree that goes from there to 0 with its first two derivatives within `duration`, and stays
    0: added to a plan that differs from the present motion by so much, it continues that motion and becomes the plan.
    """
    offset, slope = np.zeros((len(since), len(position))), np.zeros((len(since), len(position)))
    decays = since < duration
    x = np.maximum(since[decays] / duration, 0.0)[:, None]
    c0, c1, c2 = position, velocity * duration, acceleration * duration**2 / 2.0
    c3 = -10.0 * c0 - 6.0 * c1 - 3.0 * c2
    c4 = 15.0 * c0 + 8.0 * c1 + 3.0 * c2
    c5 = -6.0 * c0 - 3.0 * c1 - c2
    offset[decays] = c0 + x * (c1 + x * (c2 + x * (c3 + x * (c4 + x * c5))))
    slope[decays] = (c1 + x * (2.0 * c2 + x * (3.0 * c3 + x * (4.0 * c4 + x * 5.0 * c5)))) / duration
    return offset, slope
