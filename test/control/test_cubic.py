import numpy as np
import pytest

from act_inference_ros.control.cubic import Array, Cubic

TODAY = 1.7e9


def parabola(origin: float = 0.0) -> Cubic:
    """One joint at t^2 - t and the other at t^3, from 0 to 2 s."""
    times = np.array([0.0, 0.5, 2.0])
    positions = np.column_stack([times**2 - times, times**3])
    velocities = np.column_stack([2 * times - 1, 3 * times**2])
    return Cubic(origin, times, positions, velocities)


def random_cubic(seed: int, joints: int = 3) -> Cubic:
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.01, 0.3, 12))
    return Cubic(TODAY, times, rng.normal(size=(12, joints)), rng.normal(size=(12, joints)))


def test_a_polynomial_of_third_degree_comes_out_as_it_is() -> None:
    times = np.linspace(0.0, 1.99, 50)
    there = parabola(TODAY).sample(TODAY + times)
    exact = (TODAY + times) - TODAY
    np.testing.assert_allclose(there.position, np.column_stack([exact**2 - exact, exact**3]), atol=1e-14)
    np.testing.assert_allclose(there.velocity, np.column_stack([2 * exact - 1, 3 * exact**2]), atol=1e-13)
    np.testing.assert_allclose(there.acceleration, np.column_stack([0 * exact + 2, 6 * exact]), atol=1e-12)


@pytest.mark.parametrize(("time", "position"), [(-0.1, [0.0, 0.0]), (2.0, [2.0, 8.0]), (5.0, [2.0, 8.0])])
def test_before_the_first_knot_and_from_the_last_on_it_is_at_rest_there(time: float, position: list[float]) -> None:
    there = parabola().at(time)
    np.testing.assert_array_equal(there.position, position)
    assert not there.velocity.any()
    assert not there.acceleration.any()


def test_a_single_knot_is_a_place_to_stay_at() -> None:
    motion = Cubic.at_rest(TODAY, np.array([1.0, 2.0]))
    for time in (TODAY - 1.0, TODAY, TODAY + 1.0):
        np.testing.assert_array_equal(motion.at(time).position, [1.0, 2.0])
    np.testing.assert_array_equal(motion.extremes(TODAY - 1.0, TODAY + 1.0), [[1.0, 2.0], [1.0, 2.0]])


def test_extremes_between_the_knots_are_found() -> None:
    lowest, highest = parabola().extremes(0.0, 1.0)
    np.testing.assert_allclose(lowest, [-0.25, 0.0], atol=1e-15)
    np.testing.assert_allclose(highest, [0.0, 1.0], atol=1e-15)


@pytest.mark.parametrize("seed", range(20))
def test_extremes_agree_with_many_samples(seed: int) -> None:
    motion = random_cubic(seed)
    begin, end = np.sort(TODAY + np.random.default_rng(seed).uniform(-0.2, 2.5, 2))
    sampled = motion.sample(np.linspace(begin, end, 20001)).position
    lowest, highest = motion.extremes(begin, end)
    np.testing.assert_allclose(lowest, sampled.min(axis=0), atol=1e-5)
    np.testing.assert_allclose(highest, sampled.max(axis=0), atol=1e-5)
    assert (lowest <= sampled.min(axis=0) + 1e-12).all()
    assert (highest >= sampled.max(axis=0) - 1e-12).all()


@pytest.mark.parametrize("cut", [0.1, 0.5, 1.7])
def test_what_is_cut_and_joined_again_is_the_same_motion(cut: float) -> None:
    whole = parabola(TODAY)
    joined = whole.until(TODAY + cut).then(whole.since(TODAY + cut))
    times = TODAY + np.linspace(-0.1, 2.2, 201)
    np.testing.assert_allclose(joined.sample(times).position, whole.sample(times).position, atol=1e-12)
    assert (np.diff(joined.times) > 0.0).all()  # no jump where they meet


def test_a_motion_cut_beyond_its_ends_is_all_of_it_or_a_place_to_stay_at() -> None:
    whole = parabola()
    np.testing.assert_array_equal(whole.until(3.0).times, whole.times)
    np.testing.assert_array_equal(whole.since(-1.0).times, whole.times)
    np.testing.assert_array_equal(whole.until(-1.0).positions, [[0.0, 0.0]])
    np.testing.assert_array_equal(whole.since(3.0).positions, [[2.0, 8.0]])


def test_what_does_not_agree_is_joined_by_a_jump_at_one_instant() -> None:
    joined = parabola(TODAY).then(Cubic.at_rest(TODAY + 1.0, np.array([5.0, 5.0])))
    just_before = joined.at(TODAY + 1.0 - 1e-6)
    np.testing.assert_allclose(just_before.position, [0.0, 1.0], atol=1e-5)
    np.testing.assert_allclose(just_before.velocity, [1.0, 3.0], atol=1e-4)
    np.testing.assert_array_equal(joined.at(TODAY + 1.0).position, [5.0, 5.0])
    np.testing.assert_allclose(joined.extremes(TODAY + 0.9, TODAY + 1.0), [[-0.09, 0.729], [5.0, 5.0]], atol=1e-6)
    np.testing.assert_array_equal(joined.since_jump(TODAY + 1.0).positions, [[5.0, 5.0]])
    assert joined.since_jump(TODAY + 0.9) is not None
    assert len(joined.since_jump(TODAY + 0.9).times) == len(joined.times)


def test_a_motion_rests_until_a_later_one_begins() -> None:
    still = Cubic.at_rest(0.0, np.zeros(2))
    joined = still.then(parabola(origin=3.0))
    np.testing.assert_array_equal(joined.sample(np.array([1.0, 2.9])).position, np.zeros((2, 2)))
    np.testing.assert_allclose(joined.at(4.0).position, [0.0, 1.0], atol=1e-15)


def test_a_motion_that_ends_moving_rests_where_it_ends() -> None:
    joined = parabola().then(Cubic.at_rest(4.0, np.array([2.0, 8.0])))
    np.testing.assert_array_equal(joined.at(3.0).position, [2.0, 8.0])
    np.testing.assert_allclose(joined.at(1.9).position, [1.9**2 - 1.9, 1.9**3], atol=1e-14)


def test_counted_from_another_origin_it_is_the_same_to_a_nanosecond() -> None:
    motion = random_cubic(1)
    moved = motion.relative_to(TODAY - 1234.5)
    times = TODAY + np.linspace(0.0, 2.0, 100)
    np.testing.assert_allclose(moved.sample(times).position, motion.sample(times).position, atol=1e-10)


@pytest.mark.parametrize(
    ("times", "positions", "velocities"),
    [
        (np.zeros(0), np.zeros((0, 2)), np.zeros((0, 2))),
        (np.zeros(2), np.zeros((3, 2)), np.zeros((3, 2))),
        (np.arange(3.0), np.zeros((3, 2)), np.zeros((3, 1))),
        (np.array([0.0, 2.0, 1.0]), np.zeros((3, 2)), np.zeros((3, 2))),
        (np.array([0.0, np.nan, 1.0]), np.zeros((3, 2)), np.zeros((3, 2))),
    ],
)
def test_knots_that_make_no_motion_are_refused(times: Array, positions: Array, velocities: Array) -> None:
    with pytest.raises(ValueError, match="cubic"):
        Cubic(0.0, times, positions, velocities)
