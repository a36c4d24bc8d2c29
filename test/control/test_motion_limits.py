import numpy as np
import pytest

from act_inference_ros.control.cubic import Array, Cubic
from act_inference_ros.control.limiter.bounds import MotionLimits, keeps_limits
from act_inference_ros.joints import Joint

LIMITS = MotionLimits.of([Joint("pan", minimum=-1.0, maximum=1.0, max_velocity=2.0, max_acceleration=8.0)])


def segment(p0: float, p1: float, v0: float, v1: float, duration: float = 1.0) -> Cubic:
    return Cubic(0.0, np.array([0.0, duration]), np.array([[p0], [p1]]), np.array([[v0], [v1]]))


@pytest.mark.parametrize(
    ("motion", "keeps"),
    [
        (segment(0.0, 0.5, 0.0, 0.0), True),
        (segment(0.0, 1.0, 0.0, 0.0, duration=0.9), True),  # 1.5 way / duration: 1.67 per s
        (segment(0.0, 1.0, 0.0, 0.0, duration=0.74), False),  # faster than 2 in the middle, at rest at the knots
        (segment(0.0, 0.1, 0.0, 0.0, duration=0.28), True),  # 6 way / duration^2: 7.7 per s2
        (segment(0.0, 0.1, 0.0, 0.0, duration=0.27), False),
        (segment(0.9, 0.9, 0.5, -0.5), False),  # 0.9 + 0.5^2 / (2 * 1.0) between the knots
        (segment(0.9, 0.9, 0.39, -0.39), True),  # the Bezier hull reaches beyond 1.0, the motion only to 0.9975
        (segment(1.1, 1.0, 0.0, 0.0), False),
        (segment(0.0, 0.0, 2.1, -2.1, duration=2.0), False),
    ],
)
def test_a_segment_keeps_its_limits_or_not(motion: Cubic, keeps: bool) -> None:
    assert keeps_limits(motion, LIMITS).tolist() == [keeps]


@pytest.mark.parametrize("seed", range(30))
def test_the_verdict_is_that_of_many_samples(seed: int) -> None:
    rng = np.random.default_rng(seed)
    joints = 40
    times = np.cumsum(rng.uniform(0.1, 0.5, 5))
    motion = Cubic(0.0, times, rng.normal(0.0, 0.3, (5, joints)), rng.normal(0.0, 0.5, (5, joints)))
    limits = MotionLimits(np.full(joints, -0.8), np.full(joints, 0.8), np.full(joints, 2.5), np.full(joints, 20.0))
    there = motion.sample(np.union1d(times[:-1], np.linspace(times[0], times[-1] - 1e-6, 20001)))

    def most(values: Array, limit: Array) -> Array:
        return np.asarray((np.abs(values) / limit).max(axis=0))

    worst = np.maximum(most(there.velocity, limits.max_velocity), most(there.acceleration, limits.max_acceleration))
    worst = np.maximum(worst, most(there.position, limits.highest))
    clear = np.abs(worst - 1.0) > 1e-3  # samples see the extremes nearly
    assert clear.sum() > 30
    np.testing.assert_array_equal(keeps_limits(motion, limits)[clear], (worst < 1.0)[clear])


def test_a_joint_without_limits_of_position_may_go_anywhere() -> None:
    far = segment(1e6, 1e6 + 0.5, 0.0, 0.0)
    assert keeps_limits(far, MotionLimits.of([Joint("wheel")])).all()


def test_the_way_that_braking_takes_is_allowed_beyond_a_limit() -> None:
    wider = LIMITS.including_stop(np.array([0.9]), np.array([2.0]))
    np.testing.assert_allclose(wider.highest, [0.9 + 2.0**2 / 16.0])
    np.testing.assert_array_equal(wider.lowest, [-1.0])
