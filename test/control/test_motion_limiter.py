"""The limiter on whole plans: what comes out unchanged, what is limited, and that nothing ever exceeds a limit."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from act_inference_ros.control.cubic import Array, Cubic
from act_inference_ros.control.limiter.bounds import MotionLimits
from act_inference_ros.control.limiter.limiter import LimitedMotion, MotionLimiter, difference
from act_inference_ros.errors import BadOutputError, ObservationError
from act_inference_ros.joints import Joint

TODAY = 1.7e9
PROTOTYPE = Path(__file__).resolve().parents[3] / "shared" / "prototypes" / "limiter.py"


def follow(limiter: MotionLimiter, told: Cubic, stamp: float, times: Array, rows: Array) -> LimitedMotion:
    limited = limiter.follow(told, stamp, times, rows)
    assert limited is not None
    return limited


def gentle_plan(times: Array) -> Array:
    """Three joints that rest, and after 0.5 s begin to swing; far below the default limits."""
    x = np.maximum(times - 0.5, 0.0)[:, None]
    return np.asarray((1.0 - np.exp(-(x**3))) * np.array([0.3, 0.5, -0.4]) * np.sin(1.3 * x + 1.0))


def three_joints() -> MotionLimiter:
    return MotionLimiter([Joint(name, minimum=-3.0, maximum=3.0) for name in "abc"])


def random_limits(rng: np.random.Generator, joints: int) -> list[Joint]:
    reach = rng.uniform(0.8, 2.5, joints)
    speed, rate = rng.uniform(0.5, 2.0, joints), rng.uniform(2.0, 20.0, joints)
    return [
        Joint(f"j{i}", minimum=-reach[i], maximum=reach[i], max_velocity=speed[i], max_acceleration=rate[i])
        for i in range(joints)
    ]


def random_plan(rng: np.random.Generator, times: Array, joints: int, wildness: float) -> Array:
    """Slow waves, differing a little each time; with steps, spikes and noise where `wildness` is above 0."""
    rows = np.zeros((len(times), joints))
    for frequency in rng.uniform(0.05, 0.6, 4):
        rows += rng.normal(0.0, 0.2, joints) * np.sin(
            2 * np.pi * frequency * times[:, None] + rng.uniform(0, 6, joints)
        )
    rows[rng.integers(len(times)) :] += rng.normal(0.0, wildness, joints)
    rows[rng.integers(len(times))] += rng.normal(0.0, wildness, joints)
    return rows * (1.0 + wildness) + rng.normal(0.0, 0.01 * wildness, rows.shape)


def excess(motion: Cubic, limits: MotionLimits) -> Array:
    """By what share of a limit acceleration and velocity exceed it, and by how much position does; at worst, (3,)."""
    motion = replace(motion, origin=0.0)
    at = np.union1d(motion.times[:-1], np.arange(0.0, motion.times[-1], 1e-3))
    there = motion.sample(at)
    # A cubic's acceleration is linear within a segment: what a segment ends with, from its middle and its begin.
    begin = motion.sample(motion.times[:-1]).acceleration
    middle = motion.sample((motion.times[:-1] + motion.times[1:]) / 2.0).acceleration
    acceleration = np.vstack([there.acceleration, 2.0 * middle - begin])
    lowest, highest = motion.extremes(0.0, motion.times[-1])
    return np.array(
        [
            (np.abs(acceleration) / limits.max_acceleration).max() - 1.0,
            (np.abs(there.velocity) / limits.max_velocity).max() - 1.0,
            max((limits.lowest - lowest).max(), (highest - limits.highest).max()),
        ]
    )


def test_a_plan_within_the_limits_passes_through_each_of_its_rows() -> None:
    times = np.arange(100) / 30.0
    rows = gentle_plan(times)
    limited = follow(three_joints(), Cubic.at_rest(-1.0, rows[0]), 0.0, times, rows)
    assert limited.exact.all()
    np.testing.assert_array_equal(limited.motion.positions[1:-1], rows[1:])
    assert not limited.motion.velocities[-1].any()


def test_a_straight_line_stays_one() -> None:
    slope = np.array([0.3, -0.2, 0.0])
    times = np.arange(60) / 30.0
    told = Cubic(0.0, np.array([0.0, 5.0]), np.vstack([0.0 * slope, 5.0 * slope]), np.vstack([slope, slope]))
    limited = follow(three_joints(), told, 0.7, times, times[:, None] * slope)
    there = limited.motion.sample(np.linspace(0.7, times[-1] - 0.5, 300))
    assert limited.exact.all()
    np.testing.assert_allclose(there.position, np.linspace(0.7, times[-1] - 0.5, 300)[:, None] * slope, atol=1e-9)
    np.testing.assert_allclose(there.velocity, np.broadcast_to(slope, there.velocity.shape), atol=1e-6)
    assert np.abs(there.acceleration).max() < 1e-3


@pytest.mark.parametrize(
    ("clock", "phase", "tolerance"),
    [
        (0.0, 0.0, 1e-9),
        (0.0, 0.3, 1e-9),
        (0.0, 0.49, 1e-9),
        (0.0, 0.8, 1e-9),
        (0.0, 0.95, 1e-9),
        (TODAY, 0.3, 1e-7),  # the clock resolves 0.24 us
    ],
)
def test_a_chunk_that_says_what_was_told_changes_nothing(clock: float, phase: float, tolerance: float) -> None:
    limiter, fps = three_joints(), 30.0
    since = np.arange(120) / fps
    rows = gentle_plan(since)
    told = follow(limiter, Cubic.at_rest(clock - 1.0, rows[0]), clock, clock + since, rows).motion
    for k in range(20, 90, 7):
        stamp = clock + (k + phase) / fps
        again = follow(limiter, told, stamp, clock + since[k - 5 :], rows[k - 5 :])
        ahead = np.arange(stamp, clock + since[-1] + 0.4, 1e-3)
        assert again.exact.all()
        np.testing.assert_allclose(
            again.motion.sample(ahead).position, told.sample(ahead).position, rtol=0.0, atol=tolerance
        )


def test_another_plan_is_reached_after_a_while_without_a_step_of_acceleration() -> None:
    limiter, fps = three_joints(), 30.0
    times = np.arange(120) / fps
    told = follow(limiter, Cubic.at_rest(-1.0, gentle_plan(times)[0]), 0.0, times, gentle_plan(times)).motion
    rows = gentle_plan(times) + 0.01
    limited = follow(limiter, told, 1.5, times, rows)
    assert limited.exact.all()
    reached = (times > 1.75) & (times <= times[-1])
    np.testing.assert_allclose(limited.motion.sample(times[reached]).position, rows[reached], atol=1e-9)
    step = limited.motion.at(1.5).acceleration - told.at(1.5).acceleration
    assert np.abs(step).max() < 0.3
    at = np.arange(1.5, 2.0, 1e-3)
    extra = limited.motion.sample(at).acceleration - told.sample(at).acceleration
    assert np.abs(extra).max() < 1.2 * 5.77 * 0.01 / 0.2**2  # the offset's own greatest is 10 / sqrt(3) e / D^2


@pytest.mark.parametrize("seed", range(108))
def test_no_limit_is_exceeded_at_the_knots_or_between_and_nothing_jumps(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fps, n = [(10.0, 20), (30.0, 100), (50.0, 50)][seed % 3]
    joints = random_limits(rng, 6)
    limiter = MotionLimiter(joints)
    now = TODAY + rng.uniform(0.0, 1000.0)
    told = Cubic.at_rest(now, limiter.limits.clip(rng.normal(0.0, 0.5, 6)))
    for _ in range(8):
        stamp, t_obs = now + 0.05, now - rng.uniform(0.05, 0.3)
        plan = random_plan(rng, np.arange(n) / fps, 6, wildness=rng.choice([0.0, 0.3, 2.0]))
        motion = follow(limiter, told, stamp, t_obs + np.arange(n) / fps, plan).motion
        acceleration, velocity, position = excess(motion, limiter.limits)
        assert acceleration < 1e-3
        assert velocity < 1e-3
        assert position < 1e-6
        assert not motion.velocities[-1].any()
        assert (np.diff(motion.times) >= 0.9e-6).all()
        told = told.then(motion)
        assert (np.diff(told.times) > 0.0).all()  # two knots at one time would be a jump of position or velocity
        now += rng.choice([0.1, 0.25, 0.5])
    around = np.sort(np.r_[told.times[1:-1] - 1e-7, told.times[1:-1] + 1e-7])
    there = replace(told, origin=0.0).sample(around)
    assert (np.abs(np.diff(there.velocity, axis=0))[::2] <= 3e-7 * limiter.limits.max_acceleration + 1e-9).all()


@pytest.mark.parametrize("seed", range(40))
def test_a_far_target_is_reached_in_the_shortest_time_without_overshoot(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fps, n = [(10.0, 20), (30.0, 100), (50.0, 50)][seed % 3]
    rate, speed, way = rng.uniform(2.0, 20.0), rng.uniform(0.5, 2.0), rng.uniform(2.0, 3.0)
    limiter = MotionLimiter([Joint("a", minimum=-4.0, maximum=4.0, max_velocity=speed, max_acceleration=rate)])
    shortest = way / speed + speed / rate if way > speed**2 / rate else 2.0 * np.sqrt(way / rate)
    told, now = Cubic.at_rest(0.0, np.zeros(1)), 0.0
    while now < shortest + 1.0:
        motion = follow(limiter, told, now, now - 0.1 + np.arange(n) / fps, np.full((n, 1), way)).motion
        told, now = told.then(motion), now + 0.25
    there = told.sample(np.array([0.99, 1.01]) * shortest).position[:, 0]
    assert there[0] < way - 1e-5
    np.testing.assert_allclose(there[1], way, atol=1e-7)
    assert told.extremes(0.0, now)[1][0] <= way + 1e-7


def test_a_plan_that_nothing_can_follow_is_smoothed_and_one_that_is_far_is_bridged_to() -> None:
    limiter = three_joints()
    times = np.arange(100) / 30.0
    rows = np.column_stack([0.0 * times, 0.02 * (np.arange(100) % 2), 0.0 * times + 1.0])
    limited = follow(limiter, Cubic.at_rest(-1.0, rows[0] * [1, 1, 0]), 0.0, times, rows)
    assert limited.exact.tolist() == [True, False, False]
    assert limited.smoothed.tolist() == [False, True, False]
    assert limited.bridged.tolist() == [False, False, True]


def test_a_joint_on_its_bridge_lands_before_an_offset_takes_over() -> None:
    limiter = MotionLimiter([Joint("a", max_velocity=1.0, max_acceleration=16.0)])
    times, rows = np.arange(100) / 30.0, np.full((100, 1), 0.2)
    told = follow(limiter, Cubic.at_rest(-1.0, np.zeros(1)), 0.0, times, rows).motion
    braking = follow(limiter, told, 0.2, times, rows)
    assert braking.bridged.all()
    assert braking.motion.extremes(0.2, 4.0)[1][0] <= 0.2 + 1e-9
    limiter.clear()
    forgetful = follow(limiter, told, 0.2, times, rows)
    assert not forgetful.bridged.any()
    assert forgetful.motion.extremes(0.2, 4.0)[1][0] > 0.21  # what the memory of the landing is for


@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_a_joint_that_is_faster_than_a_new_limit_brakes_to_it_at_once(direction: float) -> None:
    velocity = direction * np.array([2.0])
    told = Cubic(0.0, np.array([0.0, 2.0]), np.vstack([0 * velocity, 2 * velocity]), np.vstack([velocity, velocity]))
    limiter = MotionLimiter([Joint("a", max_velocity=1.0, max_acceleration=5.0)])
    times = np.arange(60) / 30.0
    limited = follow(limiter, told, 0.5, times, times[:, None] * velocity)
    there = limited.motion.sample(0.5 + np.arange(0.0, 2.0, 1e-3))
    expected = np.maximum(2.0 - 5.0 * np.arange(0.0, 2.0, 1e-3), 1.0)
    assert (np.abs(there.velocity[:, 0]) <= expected * (1.0 + 1e-6)).all()
    assert np.abs(there.acceleration).max() <= 5.0 * (1.0 + 1e-3)


@pytest.mark.parametrize("start", [-1.5, 1.3])
def test_a_joint_outside_its_limits_comes_back_in_and_goes_no_further_out(start: float) -> None:
    limiter = MotionLimiter([Joint("a", minimum=-1.0, maximum=1.0, max_acceleration=5.0)])
    times = np.arange(60) / 30.0
    told = Cubic.at_rest(-1.0, np.array([start]))
    motion = follow(limiter, told, 0.0, times, np.full((60, 1), 3.0)).motion
    lowest, highest = motion.extremes(0.0, 10.0)
    assert lowest[0] >= min(start, -1.0) - 1e-9 or start > 0
    assert highest[0] <= max(start, 1.0) + 1e-9
    np.testing.assert_allclose(motion.positions[-1], [1.0], atol=1e-9)


def test_a_joint_that_moves_towards_its_limit_stops_there_whatever_the_plan_says() -> None:
    limiter = MotionLimiter([Joint("a", minimum=-1.0, maximum=1.0, max_velocity=2.0, max_acceleration=4.0)])
    velocity = np.array([2.0])
    told = Cubic(
        0.0, np.array([0.0, 2.0]), np.vstack([-1.0 + 0 * velocity, -1.0 + 2 * velocity]), np.ones((2, 1)) * 2.0
    )
    times = np.arange(60) / 30.0
    motion = follow(limiter, told, 0.74, times, np.full((60, 1), 5.0)).motion  # at 0.48; braking takes 0.5
    assert motion.extremes(0.74, 5.0)[1][0] <= 1.0 + 1e-9


def test_a_joint_that_cannot_stop_at_its_limit_goes_no_further_than_braking_takes_and_comes_back_at_once() -> None:
    limiter = MotionLimiter([Joint("a", minimum=-1.0, maximum=1.0, max_velocity=2.0, max_acceleration=4.0)])
    speed = np.full((2, 1), 2.0)
    told = Cubic(0.0, np.array([0.0, 2.0]), np.array([[0.0], [4.0]]), speed)
    times = np.arange(100) / 30.0
    motion = follow(limiter, told, 0.45, times, np.full((100, 1), 0.5)).motion  # at 0.9; braking takes 0.5
    np.testing.assert_allclose(motion.extremes(0.45, 5.0)[1], [1.4], atol=1e-6)
    np.testing.assert_allclose(motion.at(0.45 + 0.5 + 2.0 * np.sqrt(0.9 / 4.0) + 0.05).position, [0.5], atol=1e-9)
    assert (excess(motion, limiter.limits)[:2] < 1e-3).all()


def test_a_plan_that_ends_fast_ends_softly_and_not_beyond_a_limit() -> None:
    limiter = MotionLimiter(
        [
            Joint("slow to brake", max_velocity=2.0, max_acceleration=2.0),
            Joint("near its limit", minimum=-1.0, maximum=1.0, max_velocity=2.0),
        ]
    )
    slope, start = np.array([1.9, 0.2]), np.array([0.0, 0.42])
    times = np.arange(76) / 30.0
    rows = start + times[:, None] * slope  # the second ends at 0.92
    told = Cubic(0.0, np.array([0.0, 9.0]), np.vstack([start, start + 9.0 * slope]), np.vstack([slope, slope]))
    limited = follow(limiter, told, 1.0, times, rows)
    assert limited.exact.all()
    assert limited.motion.times[-1] == pytest.approx(1.5 + 1.05 * 1.9 / 2.0, abs=1e-6)
    assert limited.motion.positions[-1] == pytest.approx([rows[-1, 0] + 1.9 * 1.05 * 0.95 / 2.0, 1.0], abs=1e-6)


def test_what_cannot_be_reached_before_the_plan_ends_is_approached_until_then() -> None:
    limiter = MotionLimiter([Joint("a", max_velocity=1.0, max_acceleration=4.0)])
    times = np.arange(31) / 30.0
    limited = follow(limiter, Cubic.at_rest(-1.0, np.zeros(1)), 0.0, times, np.full((31, 1), 9.0))
    assert limited.bridged.all()
    np.testing.assert_allclose(limited.motion.times[-1], 1.3, atol=1e-9)
    np.testing.assert_allclose(limited.motion.positions[-1], [1.3 - 0.25], atol=1e-9)  # a quarter second to speed up


@pytest.mark.parametrize("joint", [Joint("slow", max_acceleration=0.01), Joint("stiff", max_acceleration=1e6)])
def test_limits_of_any_size_make_a_motion(joint: Joint) -> None:
    times = np.arange(100) / 50.0
    rows = np.where(times > 1.0, 1.0, 0.0)[:, None] + 0.01 * (np.arange(100) % 2)[:, None]
    motion = follow(MotionLimiter([joint]), Cubic.at_rest(-1.0, np.zeros(1)), 0.0, times, rows).motion
    assert np.isfinite(motion.positions).all()
    assert (excess(motion, MotionLimits.of([joint]))[:2] < 1e-3).all()


def test_with_hardly_any_plan_left_there_is_nothing_to_follow() -> None:
    limiter, told = three_joints(), Cubic.at_rest(0.0, np.zeros(3))
    times = np.arange(100) / 30.0
    assert limiter.follow(told, times[-2] - 0.01, times, np.ones((100, 3))) is None
    assert limiter.follow(told, 0.0, times[:1], np.zeros((1, 3))) is None
    assert limiter.follow(told, times[-3] + 0.01, times, np.zeros((100, 3))) is not None


def test_rows_that_are_not_evenly_spaced_are_refused() -> None:
    times = np.r_[np.arange(50) / 30.0, 50.3 / 30.0]
    with pytest.raises(ValueError, match="evenly spaced"):
        three_joints().follow(Cubic.at_rest(0.0, np.zeros(3)), 0.0, times, np.zeros((51, 3)))


@pytest.mark.parametrize("rows", [np.full((50, 3), np.nan), np.full((50, 3), np.inf), np.zeros((50, 2))])
def test_a_plan_that_is_no_finite_number_for_each_joint_is_refused(rows: Array) -> None:
    with pytest.raises(BadOutputError, match=r"expected finite numbers \(50, 3\)"):
        three_joints().follow(Cubic.at_rest(0.0, np.zeros(3)), 0.0, np.arange(50) / 30.0, rows)


@pytest.mark.parametrize("start", [np.array([0.0, np.nan, 0.0]), np.zeros(2)])
def test_a_start_that_is_no_finite_number_for_each_joint_is_refused(start: Array) -> None:
    with pytest.raises(ObservationError, match="expected 3 finite positions"):
        three_joints().follow(Cubic.at_rest(0.0, start), 0.0, np.arange(50) / 30.0, np.zeros((50, 3)))


def test_values_beyond_a_limit_of_position_are_counted_where_they_lie_ahead() -> None:
    rows = np.zeros((50, 3))
    rows[[3, 40], 1] = 5.0
    limited = follow(three_joints(), Cubic.at_rest(0.0, np.zeros(3)), 0.5, np.arange(50) / 30.0, rows)
    assert limited.clamped == 1


def load_prototype() -> ModuleType:
    if not PROTOTYPE.exists():
        pytest.skip("the prototype of the limiter is not here")
    spec = importlib.util.spec_from_file_location("limiter_prototype", PROTOTYPE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seed", range(45))
def test_the_motion_is_that_of_the_prototype(seed: int) -> None:
    prototype = load_prototype()
    rng = np.random.default_rng(seed)
    fps, n = [(10.0, 20), (30.0, 100), (50.0, 50)][seed % 3]
    limiter = MotionLimiter(random_limits(rng, 1))
    limits, now, landing = limiter.limits, 0.0, np.array([-np.inf])
    told = Cubic.at_rest(now, np.zeros(1))
    for _ in range(8):
        stamp, times = now + 0.05, now - rng.uniform(0.05, 0.3) + np.arange(n) / fps
        rows = random_plan(rng, np.arange(n) / fps, 1, wildness=rng.choice([0.0, 0.3, 2.0]))
        since = np.round(times - stamp, 9)
        ahead, start = since > 0.5 / fps, told.at(stamp)
        here = since >= 0.0
        relative = replace(told.relative_to(stamp), origin=0.0)
        e0, e1, e2 = difference(relative, since[here], limits.clip(rows)[here])
        plan_state = (start.position - e0, start.velocity - e1, start.acceleration - e2)
        knots, positions, velocities, landing_after = prototype.limit(
            0.0,
            start.position,
            start.velocity,
            start.acceleration,
            since[ahead],
            rows[ahead],
            limits.lowest,
            limits.highest,
            limits.max_velocity,
            limits.max_acceleration,
            plan_state,
            landing=landing - stamp,
        )
        landing = stamp + landing_after
        motion = follow(limiter, told, stamp, times, rows).motion
        expected = Cubic(stamp, knots, positions, velocities)
        at = np.arange(stamp, max(motion.end, expected.end), 1e-3)
        np.testing.assert_allclose(motion.sample(at).position, expected.sample(at).position, rtol=0.0, atol=1e-6)
        told, now = told.then(motion), now + rng.choice([0.1, 0.25, 0.5])
