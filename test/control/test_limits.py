import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_inference_ros.control.limits import TargetLimiter
from act_inference_ros.errors import BadOutputError, ObservationError
from act_inference_ros.joints import Joint

START = 1.7e9
ARM = TargetLimiter([Joint("pan", minimum=-1.0, maximum=1.0, max_velocity=2.0), Joint("wheel", max_velocity=5.0)])


@given(
    targets=st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=30),
    gaps=st.lists(st.floats(0.001, 0.5), min_size=30, max_size=30),
    start=st.tuples(st.floats(-1.0, 1.0), st.floats(-50.0, 50.0)),
)
def test_every_target_obeys_position_and_velocity_limits(
    targets: list[tuple[float, float]], gaps: list[float], start: tuple[float, float]
) -> None:
    times = START + np.cumsum(gaps[: len(targets)])
    safe = ARM.limit(times, targets, START, start).positions
    assert (np.abs(safe[:, 0]) <= 1.0).all()
    moves = np.abs(np.diff(safe, axis=0, prepend=[start]))
    reach = np.diff(times, prepend=START)[:, None] * [2.0, 5.0]
    assert (moves <= reach + 1e-9).all()


def test_targets_within_the_limits_pass_unchanged() -> None:
    times, targets = [0.1, 0.2, 0.3], [[0.1, 0.4], [0.2, 0.8], [0.1, 0.4]]
    result = ARM.limit(times, targets, 0.0, [0.0, 0.0])
    np.testing.assert_array_equal(result.positions, targets)
    assert (result.clamped_position, result.clamped_velocity) == (0, 0)


def test_a_far_first_target_becomes_a_slow_approach_and_what_was_clamped_is_counted() -> None:
    result = ARM.limit([0.1, 0.2, 0.9], [[3.0, 0.0]] * 3, 0.0, [0.0, 0.0])
    np.testing.assert_allclose(result.positions[:, 0], [0.2, 0.4, 1.0])
    assert (result.clamped_position, result.clamped_velocity) == (3, 2)


@given(st.floats(-9.0, -1.0) | st.floats(1.0, 9.0), st.floats(-2.0, 2.0))
def test_a_joint_outside_its_limits_approaches_them_at_max_velocity(start: float, target: float) -> None:
    times = np.arange(1, 101) * 0.1
    safe = ARM.limit(times, np.tile([target, 0.0], (100, 1)), 0.0, [start, 0.0]).positions[:, 0]
    assert (np.abs(np.diff(safe, prepend=start)) <= 0.2 + 1e-9).all()
    assert (np.diff(np.maximum(np.abs(np.r_[start, safe]), 1.0)) <= 0.0).all()
    np.testing.assert_allclose(safe[-1], np.clip(target, -1.0, 1.0))


def test_a_target_at_the_time_of_the_start_cannot_move() -> None:
    result = ARM.limit([START], [[0.5, 0.5]], START, [0.1, 0.2])
    np.testing.assert_array_equal(result.positions, [[0.1, 0.2]])


def test_joints_without_both_limits_are_named() -> None:
    limiter = TargetLimiter([Joint("a", minimum=0.0, maximum=1.0), Joint("b", minimum=0.0), Joint("c")])
    assert limiter.unlimited_joints == ("b", "c")


@pytest.mark.parametrize("targets", [[[math.nan, 0.0]], [[math.inf, 0.0]], [[0.0]], [[0.0, 0.0]] * 2])
def test_targets_that_are_not_finite_or_of_another_shape_are_refused(targets: list[list[float]]) -> None:
    with pytest.raises(BadOutputError, match=r"expected finite numbers \(1, 2\)"):
        ARM.limit([0.1], targets, 0.0, [0.0, 0.0])


@pytest.mark.parametrize("start", [[math.nan, 0.0], [0.0]])
def test_a_start_that_is_no_position_is_refused(start: list[float]) -> None:
    with pytest.raises(ObservationError, match="start position"):
        ARM.limit([0.1], [[0.0, 0.0]], 0.0, start)


@pytest.mark.parametrize("times", [[-0.1, 0.2], [0.2, 0.1], [0.1, math.nan]])
def test_times_that_go_back_are_refused(times: list[float]) -> None:
    with pytest.raises(ValueError, match="times must be finite, increasing"):
        ARM.limit(times, [[0.0, 0.0]] * 2, 0.0, [0.0, 0.0])
