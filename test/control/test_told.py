import numpy as np

from act_inference_ros.control.cubic import Array, Cubic
from act_inference_ros.control.told import MEMORY_S, ToldMotion

NOW = 1.7e9


def line(begin: float, start: float, velocity: float, duration: float = 1.0) -> Cubic:
    """One joint that moves evenly, and then comes to rest within another 0.2 s."""
    times = np.array([0.0, duration, duration + 0.2])
    way = start + velocity * np.array([0.0, duration, duration + 0.1])
    return Cubic(begin, times, way[:, None], velocity * np.array([1.0, 1.0, 0.0])[:, None])


def position(told: ToldMotion, time: float) -> Array:
    there = told.position_at(time)
    assert there is not None
    return there


def test_before_anything_was_told_and_after_forget_nothing_is_known() -> None:
    told = ToldMotion()
    told.stay(NOW, np.zeros(1))
    told.forget()
    assert not told.known
    assert told.rests_from is None
    assert told.at(NOW) is None
    assert told.position_at(NOW) is None
    assert told.extremes(NOW, NOW + 1.0) is None
    assert told.again(NOW) is None
    assert not told.moving_at(NOW)


def test_a_command_replaces_what_was_told_from_its_first_time_on() -> None:
    told = ToldMotion()
    told.set(line(NOW, 0.0, 1.0))
    told.set(line(NOW + 0.5, 0.5, -1.0))
    positions = [position(told, NOW + t) for t in (0.25, 0.5, 1.0)]
    np.testing.assert_allclose(np.ravel(np.array(positions)), [0.25, 0.5, 0.0], atol=1e-6)
    assert told.rests_from == NOW + 1.7
    assert told.moving_at(NOW + 1.6)
    assert not told.moving_at(NOW + 1.8)


def test_to_stay_elsewhere_is_a_jump_that_leaves_the_way_before_it_as_it_was() -> None:
    told = ToldMotion()
    told.set(line(NOW, 0.0, 1.0))
    told.stay(NOW + 0.5, np.array([3.0]))
    before, after = told.at(NOW + 0.499), told.at(NOW + 0.5)
    assert before is not None
    assert after is not None
    np.testing.assert_allclose([before.position[0], before.velocity[0]], [0.499, 1.0], atol=1e-6)
    np.testing.assert_array_equal([after.position[0], after.velocity[0]], [3.0, 0.0])


def test_the_extremes_of_the_past_are_kept_for_as_long_as_an_arm_may_lag() -> None:
    told = ToldMotion()
    for k in range(100):
        told.set(line(NOW + 0.1 * k, 0.1 * k, 1.0))
    now = NOW + 9.9
    extremes = told.extremes(now - 1.5, now)
    assert extremes is not None
    np.testing.assert_allclose(np.ravel(extremes), [8.4, 9.9], atol=1e-5)
    assert told.motion is not None
    assert told.motion.begin >= now - MEMORY_S - 1e-6


def test_after_a_restart_the_past_is_where_the_joints_stay() -> None:
    told = ToldMotion()
    told.set(line(NOW, 0.0, 1.0))
    told.restart(5.0, np.array([0.7]))
    np.testing.assert_array_equal(position(told, 0.0), [0.7])
    np.testing.assert_array_equal(position(told, NOW), [0.7])


def test_told_again_the_motion_is_the_same_and_begins_with_its_origin() -> None:
    told = ToldMotion()
    told.set(line(NOW, 0.0, 1.0))
    told.set(line(NOW + 0.5, 0.5, 1.0))
    again = told.again(NOW + 0.3)
    assert again is not None
    assert again.times[0] == 0.0
    np.testing.assert_allclose(again.begin, NOW + 0.3, atol=1e-6)
    times = NOW + np.linspace(0.31, 2.0, 50)
    expected = np.array([position(told, time) for time in times])
    np.testing.assert_allclose(again.sample(times).position, expected, atol=1e-9)


def test_what_lies_before_a_jump_is_not_told_again() -> None:
    told = ToldMotion()
    told.set(line(NOW, 0.0, 1.0))
    told.stay(NOW + 0.5, np.array([3.0]))
    told.set(line(NOW + 0.6, 3.0, 0.0))
    again = told.again(NOW + 0.3)
    assert again is not None
    assert again.begin == NOW + 0.5
    assert (np.diff(again.times) > 0.0).all()


def test_a_motion_that_begins_between_two_float64_is_told_again_from_the_later_one() -> None:
    told = ToldMotion()
    motion = line(NOW, 0.0, 1.0)
    told.set(Cubic(motion.origin, motion.times + 1e-8, motion.positions, motion.velocities))
    again = told.again(NOW - 1.0)
    assert again is not None
    assert again.times[0] == 0.0
    np.testing.assert_allclose(again.at(NOW + 0.5).position, position(told, NOW + 0.5), atol=1e-12)
