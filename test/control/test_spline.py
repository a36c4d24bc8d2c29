import numpy as np
import pytest

from act_inference_ros.control.cubic import Cubic
from act_inference_ros.control.spline import decaying_offset, solve_tridiagonal, spline_velocities


@pytest.mark.parametrize("n", [2, 3, 4, 5, 17, 100, 1000])
def test_the_motion_is_twice_differentiable_and_clamped_at_its_ends(n: int) -> None:
    rng = np.random.default_rng(n)
    times = np.cumsum(rng.uniform(0.01, 0.1, n))
    positions, first, last = rng.normal(size=(n, 4)), rng.normal(size=4), rng.normal(size=4)
    velocities = spline_velocities(times, positions, first, last)
    motion = Cubic(0.0, times, positions, velocities)
    np.testing.assert_array_equal(velocities[[0, -1]], [first, last])
    h, slope = np.diff(times)[:, None], np.diff(positions, axis=0) / np.diff(times)[:, None]
    arriving = (2 * velocities[:-1] + 4 * velocities[1:] - 6 * slope) / h
    leaving = motion.sample(times[:-1]).acceleration
    np.testing.assert_allclose(arriving[:-1], leaving[1:], rtol=1e-10, atol=1e-8)


def test_a_cubic_polynomial_is_found_from_its_values() -> None:
    times = np.array([0.0, 0.1, 0.25, 0.4, 1.0])
    positions = (times**3 - 2 * times)[:, None]
    velocities = spline_velocities(times, positions, np.array([-2.0]), np.array([1.0]))
    np.testing.assert_allclose(velocities[:, 0], 3 * times**2 - 2, atol=1e-14)


@pytest.mark.parametrize("m", [1, 2, 3, 8, 99, 256])
def test_tridiagonal_systems_are_solved_as_numpy_solves_them(m: int) -> None:
    rng = np.random.default_rng(m)
    lower, upper = rng.uniform(0.1, 1.0, m), rng.uniform(0.1, 1.0, m)
    diagonal, right = 2.0 * (lower + upper), rng.normal(size=(m, 3))
    matrix = np.diag(diagonal) + np.diag(lower[1:], -1) + np.diag(upper[:-1], 1)
    solution = solve_tridiagonal(lower, diagonal, upper, right)
    np.testing.assert_allclose(solution, np.linalg.solve(matrix, right), rtol=1e-12, atol=1e-14)


def test_the_offset_goes_from_what_it_was_to_nothing_with_two_derivatives() -> None:
    position, velocity, acceleration = np.array([0.1, -0.2]), np.array([0.5, 0.0]), np.array([-3.0, 2.0])
    since = np.linspace(0.0, 0.21, 2101)
    offset, slope = decaying_offset(since, 0.2, position, velocity, acceleration)
    np.testing.assert_allclose(offset[0], position, atol=1e-15)
    np.testing.assert_allclose(slope[0], velocity, atol=1e-15)
    np.testing.assert_allclose((slope[1] - slope[0]) / 1e-4, acceleration, rtol=0.05)
    np.testing.assert_allclose(np.gradient(offset, since, axis=0)[1:-1], slope[1:-1], atol=1e-4)
    # The last values before the end show that it got there smoothly, and was not cut off.
    ending = since > 0.199
    assert np.abs(offset[ending]).max() < 1e-6
    assert np.abs(slope[ending]).max() < 2e-3
    assert not offset[since >= 0.2].any()
    assert not slope[since >= 0.2].any()
