import numpy as np
import pytest

from act_inference_ros.control.cubic import Cubic
from act_inference_ros.control.limiter.bounds import MotionLimits, keeps_limits
from act_inference_ros.control.limiter.braking import brake
from act_inference_ros.joints import Joint

NOW = 1.7e9
JOINTS = [
    Joint("pan", minimum=-1.0, maximum=1.0, max_velocity=2.0, max_acceleration=4.0),
    Joint("lift", minimum=-1.0, maximum=1.0, max_velocity=2.0, max_acceleration=10.0),
]
LIMITS = MotionLimits.of(JOINTS)


def moving(position: list[float], velocity: list[float]) -> Cubic:
    """Told to go on evenly for a second."""
    p, v = np.array(position), np.array(velocity)
    return Cubic(NOW, np.array([0.0, 1.0]), np.vstack([p, p + v]), np.vstack([v, v]))


def test_all_joints_decelerate_evenly_and_come_to_rest_together() -> None:
    hold = brake(moving([0.0, 0.5], [0.8, -0.6]), NOW, LIMITS)
    np.testing.assert_allclose(hold.times, [0.0, 0.2])  # 0.8 / 4
    np.testing.assert_array_equal(hold.velocities, [[0.8, -0.6], [0.0, 0.0]])
    np.testing.assert_allclose(hold.positions[1], [0.08, 0.44])
    np.testing.assert_allclose(hold.sample(NOW + np.array([0.0, 0.1])).acceleration, [[-4.0, 3.0]] * 2, rtol=1e-6)


def test_no_hold_brakes_harder_than_it_need() -> None:
    joints = [Joint("pan", max_velocity=2.0), Joint("lift", max_velocity=2.0)]
    hold = brake(moving([0.0, 0.5], [2.0, 0.5]), NOW, MotionLimits.of(joints))
    np.testing.assert_allclose(hold.times, [0.0, 0.25])  # 2.0 / 8, although 20 is allowed


@pytest.mark.parametrize("velocity", [0.0, 0.01, 0.39])
def test_no_hold_is_shorter_than_a_tenth_of_a_second(velocity: float) -> None:
    hold = brake(moving([0.0, 0.0], [velocity, 0.0]), NOW + 0.5, LIMITS)
    assert hold.origin == NOW + 0.5
    assert hold.times.tolist() == [0.0, 0.1]
    assert not hold.velocities[-1].any()


@pytest.mark.parametrize("velocity", [0.0, 0.01])
def test_a_hold_at_the_limits_of_all_joints_is_no_shorter(velocity: float) -> None:
    beyond = 1.0 + 1e-12  # what was told ends there, but for rounding
    hold = brake(moving([beyond, beyond], [velocity, velocity]), NOW, LIMITS)
    # A controller refuses a trajectory whose end has passed when it comes.
    assert hold.end - hold.begin == pytest.approx(0.1, abs=1e-6)
    assert hold.rests_from - hold.begin < 0.01


def test_a_joint_near_its_limit_brakes_harder_so_that_it_stays_within() -> None:
    hold = brake(moving([0.95, 0.97], [0.6, 0.6]), NOW, LIMITS)
    np.testing.assert_allclose(hold.positions[-1], [0.95 + 0.36 / 8.0, 0.97 + 0.36 / 20.0])
    assert keeps_limits(hold, LIMITS).all()
    assert len(hold.times) == 3


@pytest.mark.parametrize("seed", range(50))
def test_a_hold_continues_what_was_told_and_keeps_the_limits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 8
    joints = [Joint(f"j{i}", max_velocity=3.0, max_acceleration=rng.uniform(1.0, 20.0)) for i in range(n)]
    told = moving(rng.normal(size=n).tolist(), rng.uniform(-3.0, 3.0, n).tolist())
    hold = brake(told, NOW + 0.3, MotionLimits.of(joints))
    assert keeps_limits(hold, MotionLimits.of(joints)).all()
    whole = told.then(hold)
    assert (np.diff(whole.times) > 0.0).all()  # no jump
    assert not hold.velocities[-1].any()
    # Each joint on the straight line between start and end in the same share at the same time.
    middle = hold.at(hold.origin + hold.times[-1] / 2.0)
    np.testing.assert_allclose(middle.velocity, hold.velocities[0] / 2.0, rtol=1e-6)
