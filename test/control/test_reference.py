import numpy as np
import pytest

from act_inference_ros.control.cubic import Array
from act_inference_ros.control.limiter.bounds import MotionLimits, keeps_limits
from act_inference_ros.control.limiter.reference import Plan, within_steps


def limits_of(joints: int, reach: float, velocity: float, acceleration: float) -> MotionLimits:
    full = np.full(joints, 1.0)
    return MotionLimits(-reach * full, reach * full, velocity * full, acceleration * full)


def plan_of(rows: Array, spacing: float, limits: MotionLimits) -> Plan:
    return Plan.with_soft_end(0.02 + spacing * np.arange(len(rows)), rows, spacing, limits)


@pytest.mark.parametrize("seed", range(30))
def test_a_smoothed_plan_keeps_every_limit_and_ends_where_the_plan_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    spacing = [0.1, 1.0 / 30.0, 0.02][seed % 3]
    limits = limits_of(8, 1.0, rng.uniform(0.5, 2.0), rng.uniform(2.0, 20.0))
    rows = np.clip(np.cumsum(rng.normal(0.0, 0.3, (60, 8)), axis=0), -1.0, 1.0)  # often at a limit, also at first
    smoothed = plan_of(rows, spacing, limits).smoothed(limits)
    assert keeps_limits(smoothed, limits).all()
    assert not smoothed.velocities[-1].any()
    reachable = np.abs(np.diff(rows, axis=0)) <= limits.max_velocity * spacing
    settled = reachable[-1]  # else the velocity was clamped up to the end
    np.testing.assert_allclose(
        smoothed.positions[-1][settled], within_steps(rows, limits.max_velocity * spacing)[-1][settled]
    )


def test_an_even_slope_is_not_changed_by_smoothing_and_does_not_lag() -> None:
    limits = limits_of(2, 9.0, 2.0, 5.0)
    rows = np.arange(60)[:, None] / 30.0 * np.array([1.0, -0.5])
    rows[30:, 1] += 0.02 * (np.arange(30) % 2)
    smoothed = plan_of(rows, 1.0 / 30.0, limits).smoothed(limits)
    np.testing.assert_allclose(smoothed.positions[:50, 0], rows[:50, 0], atol=1e-12)
    middle = smoothed.positions[40:50, 1] - np.arange(40, 50) / 30.0 * -0.5
    np.testing.assert_allclose(middle, 0.01, atol=1e-3)  # the mean of the noise, and no more behind


def test_rows_are_clamped_to_steps_from_the_one_before() -> None:
    rows = np.array([[0.0], [1.0], [1.0], [0.9]])
    np.testing.assert_allclose(within_steps(rows, np.array([0.4])), [[0.0], [0.4], [0.8], [0.9]])
    assert within_steps(rows, np.array([1.0])) is rows


def test_the_quick_test_refuses_only_what_no_motion_can_keep() -> None:
    limits = limits_of(3, 9.0, 1.0, 4.0)
    times = np.arange(30)[:, None] / 30.0
    rows = np.hstack([0.9 * times, 1.1 * times, 0.02 * (np.arange(30)[:, None] % 2)])
    assert plan_of(rows, 1.0 / 30.0, limits).may_be_kept(limits).tolist() == [True, False, False]
