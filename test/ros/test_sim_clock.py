"""The simulated robot's clock on a machine that is late, and when an episode is over."""

import pytest

from act_inference_ros.simulation.episode_rules import EpisodeClock
from act_inference_ros.simulation.success import LIFT_HOLD_S
from act_inference_ros.simulation.tick_clock import TickClock


class Wall:
    """A monotonic clock that is set by hand."""

    now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


def ticks_until(clock: TickClock, wall: Wall, end_s: float) -> int:
    """Tick as often as the clock wants until the wall clock shows `end_s`."""
    count = 0
    while wall.now_s <= end_s:
        if clock.wait_s > 1e-9:
            wall.now_s += clock.wait_s
        else:
            clock.tick()
            count += 1
    return count


@pytest.mark.parametrize(("factor", "expected_s"), [(1.0, 2.0), (0.5, 1.0)])
def test_never_runs_ahead_of_the_wall_clock(factor: float, expected_s: float) -> None:
    wall = Wall()
    clock = TickClock(100.0, follow_wall=False, real_time_factor=factor, start_ns=0, monotonic=wall)
    ticks_until(clock, wall, 52.0)
    assert clock.now_s == pytest.approx(expected_s, abs=0.02)


def test_a_short_delay_is_made_up_for() -> None:
    wall = Wall()
    clock = TickClock(100.0, follow_wall=False, start_ns=0, monotonic=wall)
    wall.now_s += 0.1
    ticks_until(clock, wall, 51.0)
    assert clock.now_s == pytest.approx(1.0, abs=0.02)
    assert clock.missed_s == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(("follow_wall", "expected_s"), [(True, 4.0), (False, 1.1)])
def test_after_a_long_delay_wall_time_jumps_and_simulated_time_is_slower(follow_wall: bool, expected_s: float) -> None:
    wall = Wall()
    clock = TickClock(100.0, follow_wall=follow_wall, start_ns=0, monotonic=wall)
    wall.now_s += 3.0
    count = ticks_until(clock, wall, 54.0)
    assert clock.now_s == pytest.approx(expected_s, abs=0.03)
    # Either way the physics did not race through the three seconds.
    assert count == pytest.approx(110, abs=3)


def verdicts(lifted_at: list[tuple[float, bool]], episode_time_s: float = 2.0) -> list[tuple[bool, float] | None]:
    clock = EpisodeClock(episode_time_s)
    clock.start(0.0)
    return [clock.verdict(now_s, lifted) for now_s, lifted in lifted_at]


def test_a_cube_counts_as_lifted_when_it_stays_up() -> None:
    assert verdicts([(1.0, True), (1.1, False), (1.2, True), (1.2 + LIFT_HOLD_S, True)])[:3] == [None] * 3
    assert verdicts([(1.0, True), (1.0 + LIFT_HOLD_S, True)])[-1] == (True, 1.0 + LIFT_HOLD_S)


def test_an_episode_fails_when_its_time_is_over_unless_the_cube_is_just_up() -> None:
    assert verdicts([(1.9, False), (2.0, False)]) == [None, (False, 2.0)]
    assert verdicts([(1.9, True), (2.0, True), (2.2, True)])[-1] == (True, 2.2)
    assert verdicts([(1.9, True), (2.0, True), (2.1, False)])[-1] == (False, 2.1)
