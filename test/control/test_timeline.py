import math
from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_inference_ros.control.timeline import ActionTimeline
from act_inference_ros.errors import BadOutputError, ConfigurationError
from act_inference_ros.interfaces import MERGES

FPS = 30.0
DT = 1.0 / FPS
SIZE = 12
START = 1.7e9
"""Today's time, where float64 is at its coarsest."""


def chunks(count: int, size: int = SIZE, dim: int = 3, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, size, dim)).astype(np.float32)


def ramp(value: float, size: int = SIZE) -> npt.NDArray[np.float32]:
    return np.full((size, 1), value, dtype=np.float32)


def plan(timeline: ActionTimeline, times: Iterable[float]) -> list[list[float] | None]:
    return [None if (target := timeline.sample(t)) is None else target.tolist() for t in times]


class Ensembler:
    """LeRobot's ACTTemporalEnsembler, in its online form."""

    def __init__(self, coeff: float, size: int) -> None:
        self.weights = np.exp(-coeff * np.arange(size))
        self.cumulative = np.cumsum(self.weights)
        self.actions: npt.NDArray[np.float64] | None = None

    def update(self, chunk: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        chunk = chunk.astype(np.float64)
        if self.actions is None:
            self.actions, self.count = chunk.copy(), np.ones((len(chunk), 1), dtype=int)
        else:
            self.actions *= self.cumulative[self.count - 1]
            self.actions += chunk[:-1] * self.weights[self.count]
            self.actions /= self.cumulative[self.count]
            self.count = np.minimum(self.count + 1, len(chunk))
            self.actions = np.concatenate([self.actions, chunk[-1:]])
            self.count = np.concatenate([self.count, np.ones((1, 1), dtype=int)])
        action, self.actions, self.count = self.actions[0], self.actions[1:], self.count[1:]
        return action


@pytest.mark.parametrize("coeff", [0.01, 0.0, -0.3, 2.0])
def test_temporal_ensemble_equals_lerobots_with_one_chunk_per_step(coeff: float) -> None:
    timeline, reference = ActionTimeline(FPS, "temporal_ensemble", ensemble_coeff=coeff), Ensembler(coeff, SIZE)
    for step, chunk in enumerate(chunks(40)):
        t = START + step * DT
        timeline.add(chunk, t)
        np.testing.assert_allclose(timeline.sample(t), reference.update(chunk), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n_action_steps", [1, 5, SIZE])
def test_latest_with_a_chunk_every_n_action_steps_is_lerobots_action_queue(n_action_steps: int) -> None:
    queue: deque[npt.NDArray[Any]]
    timeline, queue, source = ActionTimeline(FPS, "latest"), deque(), iter(chunks(40))
    for step in range(40):
        t = START + step * DT
        if not queue:
            chunk = next(source)
            queue.extend(chunk[:n_action_steps])
            timeline.add(chunk, t)
        np.testing.assert_array_equal(timeline.sample(t), queue.popleft())


@pytest.mark.parametrize("merge", MERGES)
def test_one_chunk_is_interpolated_and_ends(merge: str) -> None:
    timeline = ActionTimeline(FPS, merge)
    (chunk,) = chunks(1)
    timeline.add(chunk, START)
    np.testing.assert_array_equal(timeline.sample(START + 3 * DT), chunk[3])
    np.testing.assert_array_equal(timeline.sample(START + (SIZE - 1) * DT), chunk[-1])
    np.testing.assert_allclose(timeline.sample(START + 3.25 * DT), 0.75 * chunk[3] + 0.25 * chunk[4], atol=1e-4)
    assert plan(timeline, [START - 0.001, START + (SIZE - 1) * DT + 0.001]) == [None, None]


@pytest.mark.parametrize("merge", MERGES)
@given(
    steps=st.lists(st.integers(0, 8), min_size=1, max_size=5, unique=True),
    latency=st.integers(0, 5),
    tick=st.integers(-3, 60),
    shift=st.sampled_from([1.0, -7.5, 1e6, 1e9, 1.7e9]),
)
def test_the_plan_does_not_depend_on_where_the_clock_began(
    merge: str, steps: list[int], latency: int, tick: int, shift: float
) -> None:
    here, there = ActionTimeline(FPS, merge), ActionTimeline(FPS, merge)
    for chunk, step in zip(chunks(5), steps, strict=False):
        here.add(chunk, step * DT, now=(step + latency) * DT)
        there.add(chunk, shift + step * DT, now=shift + (step + latency) * DT)
    t = max(steps) * DT + tick * 0.01
    assert abs(here.horizon(t) - there.horizon(shift + t)) < 2e-6
    a, b = here.sample(t), there.sample(shift + t)
    assert (a is None) == (b is None)
    assert a is None or np.abs(a - b).max() < 1e-3  # 0.5 microseconds of a slope of up to 180 per second


@pytest.mark.parametrize("merge", MERGES)
@given(
    order=st.permutations(range(5)),
    steps=st.lists(st.integers(0, SIZE - 1), min_size=5, max_size=5, unique=True),
    latencies=st.lists(st.floats(0.0, 0.6), min_size=5, max_size=5),
    blend_time=st.sampled_from([0.0, 0.05, 0.2]),
)
def test_the_plan_does_not_depend_on_the_order_of_arrival(
    merge: str, order: list[int], steps: list[int], latencies: list[float], blend_time: float
) -> None:
    steps = sorted(steps)
    in_order, shuffled = ActionTimeline(FPS, merge, blend_time), ActionTimeline(FPS, merge, blend_time)
    for timeline, sequence in ((in_order, range(5)), (shuffled, order)):
        for k in sequence:
            timeline.add(chunks(5)[k], steps[k] * DT, now=steps[k] * DT + latencies[k])
    for t in steps[-1] * DT + np.linspace(0.0, (SIZE - 1) * DT, 50):
        np.testing.assert_allclose(shuffled.sample(t), in_order.sample(t), atol=1e-12)


@pytest.mark.parametrize("merge", MERGES)
def test_the_same_observation_twice_changes_nothing_and_a_new_answer_to_it_replaces(merge: str) -> None:
    timeline = ActionTimeline(FPS, merge)
    first, second, other = chunks(3)
    timeline.add(first, START, START + 0.1)
    timeline.add(second, START + 0.2, START + 0.3)
    times = START + np.linspace(0.2, 0.7, 30)
    before = plan(timeline, times)
    timeline.add(second, START + 0.2, START + 0.35)
    assert plan(timeline, times) == before
    timeline.add(other, START + 0.2, START + 0.35)
    assert plan(timeline, times) != before
    assert len(timeline) <= 2


def test_blend_leaves_the_old_plan_alone_until_the_chunk_arrives_then_fades_linearly() -> None:
    timeline = ActionTimeline(FPS, "blend", blend_time=0.2)
    timeline.add(ramp(1.0, 30), 0.0)
    timeline.add(ramp(3.0, 30), 0.1, now=0.3)
    values = [timeline.sample(t)[0] for t in (0.1, 0.2, 0.3, 0.35, 0.4, 0.5, 0.9)]
    np.testing.assert_allclose(values, [1.0, 1.0, 1.0, 1.5, 2.0, 3.0, 3.0])


def test_blend_fades_out_of_a_fade_that_is_under_way() -> None:
    timeline = ActionTimeline(FPS, "blend", blend_time=0.2)
    for value, t_obs in ((0.0, 0.0), (1.0, 0.2), (2.0, 0.3)):
        timeline.add(ramp(value, 30), t_obs)
    np.testing.assert_allclose(timeline.sample(0.3)[0], 0.5)
    np.testing.assert_allclose(timeline.sample(0.35)[0], 0.75 * 0.75 + 0.25 * 2.0)


def test_an_arm_is_told_a_fade_that_begins_and_ends_gently() -> None:
    timeline = ActionTimeline(10.0, "blend", blend_time=0.4)
    timeline.add(np.zeros((20, 1)), 0.0)
    timeline.add(np.ones((20, 1)), 0.5, 0.6)
    shares = timeline.at(np.array([0.6, 0.7, 0.8, 0.9, 1.0, 1.1]))[:, 0]
    np.testing.assert_allclose(shares, [0.0, 0.15625, 0.5, 0.84375, 1.0, 1.0], atol=1e-12)


def test_an_arm_is_told_an_ensemble_that_no_chunk_leaves_all_at_once() -> None:
    timeline = ActionTimeline(10.0, "temporal_ensemble", ensemble_coeff=0.0)
    timeline.add(np.zeros((20, 1)), 0.0)
    timeline.add(np.ones((20, 1)), 1.0)  # 1 s later: half of that the first one takes to leave, up to 2.0
    times = np.array([1.5, 1.6, 1.7, 1.8, 1.9, 2.0])
    left = np.array([1.0, 0.8, 0.6, 0.4, 0.2])
    weight = left**2 * (3.0 - 2.0 * left)
    np.testing.assert_allclose(timeline.at(times)[:, 0], [*(1.0 / (1.0 + weight)), 1.0], atol=1e-12)
    assert timeline.sample(1.8) == pytest.approx([0.5])  # the mean itself is ACT's


def test_with_a_chunk_at_each_step_an_arm_is_told_the_ensemble_itself() -> None:
    random, timeline = np.random.default_rng(0), ActionTimeline(50.0, "temporal_ensemble")
    for k in range(60):
        timeline.add(random.normal(size=(50, 3)), k / 50.0)
    times = timeline.instants(59 / 50.0, 3.0)
    np.testing.assert_allclose(timeline.at(times), [timeline.sample(time) for time in times], atol=1e-12)


def test_a_fade_does_not_begin_before_the_chunk_does() -> None:
    timeline = ActionTimeline(FPS, "blend", blend_time=0.2)
    timeline.add(ramp(1.0, 30), 0.0)
    timeline.add(ramp(3.0, 30), 0.2, now=0.1)
    np.testing.assert_allclose([timeline.sample(t)[0] for t in (0.2, 0.3)], [1.0, 2.0])


@pytest.mark.parametrize(("coeff", "winner"), [(-2000.0, 2.0), (2000.0, 1.0)])
def test_extreme_ensemble_coefficients_do_not_overflow(coeff: float, winner: float) -> None:
    timeline = ActionTimeline(FPS, "temporal_ensemble", ensemble_coeff=coeff)
    timeline.add(ramp(1.0), 0.0)
    timeline.add(ramp(2.0), DT)
    assert timeline.sample(2 * DT) == winner


def test_blend_without_blend_time_switches_when_the_chunk_arrives() -> None:
    timeline = ActionTimeline(FPS, "blend", blend_time=0.0)
    timeline.add(ramp(1.0), 0.0)
    timeline.add(ramp(3.0), 0.1, now=0.2)
    assert [timeline.sample(t)[0] for t in (0.15, 0.2, 0.2001)] == [1.0, 1.0, 3.0]


periods = st.lists(st.floats(0.05, 0.3), min_size=1, max_size=8)
latencies = st.floats(0.0, 0.15)


@given(periods, latencies, st.floats(0.05, 0.5))
def test_blend_never_jumps_where_plans_overlap(periods: list[float], latency: float, blend_time: float) -> None:
    timeline, times = ActionTimeline(FPS, "blend", blend_time), np.cumsum([0.0, *periods])
    for k, t_obs in enumerate(times):
        timeline.add(ramp(float(k % 2), 16), t_obs, now=t_obs + latency)  # at worst: neighbours differ by 1 all along
    corners = np.concatenate([times + latency, times + latency + blend_time, times + 15 * DT])
    corners = corners[(corners > times[-1] + 1e-4) & (corners < times[-1] + 15 * DT - 1e-4)]
    for corner in corners:
        jump = timeline.sample(corner + 1e-5) - timeline.sample(corner - 1e-5)
        assert abs(jump) <= len(times) * 2e-5 / 0.05 + 1e-9  # no fade here is shorter than 0.05 s


@given(periods, latencies, st.floats(0.0, 0.5))
def test_blend_leaves_the_target_of_this_moment_alone_when_a_chunk_arrives(
    periods: list[float], latency: float, blend_time: float
) -> None:
    timeline = ActionTimeline(FPS, "blend", blend_time)
    for k, t_obs in enumerate(START + np.cumsum([0.0, *periods])):
        before = timeline.sample(t_obs + latency)
        timeline.add(ramp(float(k % 2), 16), t_obs, now=t_obs + latency)
        assert before is None or abs(timeline.sample(t_obs + latency) - before) < 1e-6


def test_a_fade_ends_with_the_plan_it_fades_out_of() -> None:
    timeline = ActionTimeline(10.0, "blend", blend_time=1.0)
    timeline.add(ramp(0.0, 6), 0.0)
    timeline.add(ramp(1.0, 6), 0.3)  # the old plan ends at 0.5
    np.testing.assert_allclose([timeline.sample(t)[0] for t in (0.3, 0.4, 0.4999, 0.51)], [0.0, 0.5, 0.9995, 1.0])


def test_a_gap_between_plans_has_no_target() -> None:
    timeline = ActionTimeline(10.0, "blend")
    timeline.add(ramp(0.0, 6), 0.0)
    timeline.add(ramp(1.0, 6), 2.0, now=2.1)
    assert plan(timeline, [1.9, 2.0, 2.05, 2.1]) == [None, [1.0], [1.0], [1.0]]


@pytest.mark.parametrize("merge", MERGES)
def test_a_clock_that_jumps_back_leaves_the_new_chunk_alone(merge: str) -> None:
    timeline = ActionTimeline(FPS, merge)
    timeline.add(ramp(1.0), START)
    timeline.add(ramp(2.0), 10.0)
    assert len(timeline) == 1
    assert timeline.newest == 10.0
    assert plan(timeline, [10.1, START]) == [[2.0], None]


@pytest.mark.parametrize("merge", MERGES)
@given(t0=st.floats(-0.5, 0.5), length=st.floats(0.0, 1.0), origin=st.sampled_from([0.0, START]))
def test_between_gives_the_newest_chunks_instants_and_what_sample_says_there(
    merge: str, t0: float, length: float, origin: float
) -> None:
    timeline = ActionTimeline(FPS, merge)
    first, second = chunks(2)
    timeline.add(first, origin - 0.11)
    timeline.add(second, origin, now=origin + 0.05)
    t0, t1 = origin + t0, origin + t0 + length
    times, targets = timeline.between(t0, t1)
    expected = [origin + i * DT for i in range(SIZE) if t0 - 5e-7 <= origin + i * DT <= t1 + 5e-7]
    np.testing.assert_allclose(times, expected, rtol=0, atol=6e-7)
    assert (np.diff(times) > 0).all()
    assert all(t0 <= t <= t1 for t in times)
    assert targets.shape == (len(times), 3)
    for t, target in zip(times, targets, strict=True):
        np.testing.assert_allclose(timeline.sample(t), target, rtol=0, atol=1e-12)


def test_horizon_is_what_is_left_of_the_newest_chunk() -> None:
    timeline = ActionTimeline(10.0)
    assert timeline.horizon(0.0) == 0.0
    timeline.add(ramp(0.0, 11), 5.0)
    np.testing.assert_allclose([timeline.horizon(t) for t in (5.25, 6.0, 7.0)], [0.75, 0.0, 0.0], atol=1e-12)


def test_cleared_or_empty_there_is_no_target() -> None:
    timeline = ActionTimeline(FPS)
    timeline.add(ramp(1.0), 0.0)
    timeline.clear()
    assert timeline.sample(0.0) is None
    assert timeline.newest is None
    assert len(timeline.between(0.0, 1.0)[0]) == 0
    timeline.add(ramp(1.0), 0.0)
    assert timeline.between(0.5, 0.4)[1].shape == (0, 1)


@pytest.mark.parametrize(
    "bad", [np.full((SIZE, 1), math.nan), ramp(0.0, SIZE - 1), np.zeros((SIZE, 2)), np.zeros(SIZE), np.zeros((0, 1))]
)
def test_a_bad_chunk_is_refused_whole(bad: npt.NDArray[Any]) -> None:
    timeline = ActionTimeline(FPS)
    timeline.add(ramp(1.0), START)
    with pytest.raises(BadOutputError):
        timeline.add(bad, START + DT)
    assert timeline.newest == START
    assert timeline.sample(START + DT) == 1.0


def test_a_chunk_without_a_finite_time_is_refused() -> None:
    with pytest.raises(ValueError, match="t_obs=nan"):
        ActionTimeline(FPS).add(ramp(1.0), math.nan)


@pytest.mark.parametrize("merge", MERGES)
def test_memory_is_bounded_however_fast_chunks_come(merge: str) -> None:
    timeline = ActionTimeline(FPS, merge)
    for k in range(500):
        timeline.add(ramp(0.0), START + k * 0.001)
    assert len(timeline) <= SIZE


def test_the_callers_array_may_be_reused() -> None:
    timeline, chunk = ActionTimeline(FPS), ramp(1.0)
    timeline.add(chunk, 0.0)
    chunk[:] = 9.0
    assert timeline.sample(0.1) == 1.0


@pytest.mark.parametrize(
    "wrong",
    [{"fps": 0.0}, {"fps": math.nan}, {"merge": "mean"}, {"blend_time": -1.0}, {"ensemble_coeff": math.inf}],
)
def test_options_that_make_no_sense_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"^{next(iter(wrong))}: "):
        ActionTimeline(**{"fps": FPS, **wrong})
