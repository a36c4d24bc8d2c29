"""Whenever ticks come, the setpoints of a stream keep the limits at the times at which they are sent."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from act_inference_ros.control.commanders import make_commander
from act_inference_ros.control.stream_commander import StreamCommander
from act_inference_ros.control.timeline import ActionTimeline
from act_inference_ros.interfaces import Command
from act_inference_ros.robot.configuration import RobotConfiguration

START = 1000.0
"""Small, so that times are exact to far less than a nanosecond."""
FPS, PERIOD_S = 10.0, 0.02
VELOCITY, ACCELERATION, FARTHEST = 1.0, 5.0, 1.0
ROUNDING = 1e-3
"""The share by which the limiter may exceed a limit."""
SLACK = 1e-9

GAPS = st.one_of(st.just(PERIOD_S), st.floats(0.001, 0.03), st.floats(0.02, 0.08), st.floats(0.02, 0.6))
"""From one tick to the next, s."""


class Stream:
    """A commander of two joints, and what it has sent: times (n,) and positions (n, joints)."""

    def __init__(self, interface: str = "position_stream") -> None:
        given: dict[str, Any] = {
            "state.topic": "/s", "state.joints": ["pan", "lift"], "command_rate": 1.0 / PERIOD_S, "controllers": ["it"],
            "controller.it.interface": interface, "controller.it.topic": "/it",
            "controller.it.joints": ["pan", "lift"],
        }  # fmt: skip
        for joint in ("pan", "lift"):
            given |= {f"joint.{joint}.max_velocity": VELOCITY, f"joint.{joint}.max_acceleration": ACCELERATION}
            given |= {f"joint.{joint}.min": -FARTHEST, f"joint.{joint}.max": FARTHEST}
        configuration = RobotConfiguration.from_parameters(given)
        self.sent: list[Command] = []
        commander = make_commander(configuration.controllers[0], configuration, self.sent.append)
        assert isinstance(commander, StreamCommander)
        self.commander = commander
        self.timeline = ActionTimeline(FPS, "latest")
        self.now = START
        self.commander.begin(self.now, {"pan": 0.0, "lift": 0.0})

    def chunk(self, rows: npt.NDArray[np.float64]) -> None:
        self.timeline.add(rows, self.now)
        self.follow()

    def follow(self) -> None:
        self.commander.follow(self.timeline, self.now, np.inf)

    def tick(self, gap: float) -> None:
        """A tick of a stream that follows its plan, `gap` s after the one before."""
        self.now += gap
        self.commander.tick(self.now)
        if self.commander.behind:
            self.follow()

    def finish(self, gap: float) -> None:
        """A tick of a stream that comes to rest."""
        self.now += gap
        self.commander.finish(self.now)

    @property
    def times(self) -> npt.NDArray[np.float64]:
        return np.array([command.stamp for command in self.sent])

    @property
    def positions(self) -> npt.NDArray[np.float64]:
        return np.array([command.positions[0] for command in self.sent])


def check(times: npt.NDArray[np.float64], positions: npt.NDArray[np.float64]) -> None:
    """No step is larger than one of a tick that is in time; velocity changes as slowly as the limit says.

    Only where a tick came so late that the step had to be shortened may the setpoint be slower than that: nobody was
    there to move it.
    """
    again = np.append(np.diff(times) == 0.0, False)  # a hold sends at once, perhaps a second time in a tick
    assert (positions[:-1][again[:-1]] == positions[1:][again[:-1]]).all()
    times, positions = times[~again], positions[~again]
    if len(times) < 3:
        return
    gaps, steps = np.diff(times), np.diff(positions, axis=0)
    assert (np.abs(steps) <= VELOCITY * np.minimum(gaps, PERIOD_S)[:, None] * (1.0 + ROUNDING) + SLACK).all()
    speeds = steps / gaps[:, None]
    change = ACCELERATION * (1.0 + ROUNDING) * (gaps[1:] + gaps[:-1])[:, None] / 2.0 + SLACK / gaps.min()
    shortened = np.abs(steps[1:]).max(axis=1) > VELOCITY * PERIOD_S * (1.0 - ROUNDING)
    late = (shortened & (gaps[1:] > PERIOD_S))[:, None]
    lowest = np.where(late, np.minimum(speeds[:-1], 0.0), speeds[:-1]) - change
    highest = np.where(late, np.maximum(speeds[:-1], 0.0), speeds[:-1]) + change
    over = np.maximum(lowest - speeds[1:], speeds[1:] - highest)
    worst = np.unravel_index(int(over.argmax()), over.shape)[0]
    assert over.max() <= 0.0, (gaps[worst : worst + 2], speeds[worst : worst + 2], over.max())


CHUNKS = st.lists(st.floats(-1.2, 1.2), min_size=4, max_size=4)
"""Where the two joints go within 1 s, and during the next."""


@settings(max_examples=150)
@given(st.lists(st.tuples(GAPS, st.one_of(st.none(), st.none(), st.none(), CHUNKS)), min_size=5, max_size=60))
def test_the_limits_hold_for_any_times_of_ticks(events: Sequence[tuple[float, list[float] | None]]) -> None:
    stream = Stream()
    stream.chunk(np.linspace([0.0, 0.0], [0.7, -0.5], 20))
    for gap, chunk in events:
        stream.tick(gap)
        if chunk is not None:
            here = [stream.commander.told(stream.now)[joint] for joint in ("pan", "lift")]
            stream.chunk(np.vstack([np.linspace(here, chunk[:2], 10), np.linspace(chunk[:2], chunk[2:], 10)]))
    check(stream.times, stream.positions)


@settings(max_examples=100)
@given(st.lists(GAPS, min_size=1, max_size=30), st.lists(GAPS, min_size=5, max_size=20), st.floats(0.0, 0.5))
def test_the_limits_hold_while_a_hold_brakes(before: list[float], after: list[float], until_hold: float) -> None:
    stream = Stream()
    stream.chunk(np.linspace([0.0, 0.0], [1.0, -0.8], 20))
    for gap in before:
        stream.tick(gap)
    stream.now += until_hold
    stream.commander.hold(stream.now)
    for gap in after:
        stream.finish(gap)
    check(stream.times, stream.positions)


@pytest.mark.parametrize("late", [0.03, 0.06, 0.1, 0.3, 1.0])
def test_after_a_late_tick_a_stream_goes_on_as_fast_as_it_was_seen_to_be(late: float) -> None:
    stream = Stream()
    stream.chunk(np.linspace([0.0, 0.0], [0.9, -0.9], 11))  # 0.9 rad/s
    for _ in range(30):
        stream.tick(PERIOD_S)
    stream.tick(PERIOD_S + late)
    for _ in range(10):
        stream.tick(PERIOD_S)
    check(stream.times, stream.positions)
    assert stream.commander.behind == (late == 1.0), "the plan has ended meanwhile"


def test_a_tick_that_is_a_little_late_does_not_slow_the_stream_down() -> None:
    stream = Stream()
    stream.chunk(np.linspace([0.0, 0.0], [0.45, -0.45], 11))  # 0.45 rad/s: half of the limit
    for gap in (*[PERIOD_S] * 30, 0.03, 0.012, 0.035, PERIOD_S, PERIOD_S):
        stream.tick(gap)
    speeds = np.diff(stream.positions, axis=0)[-6:] / np.diff(stream.times)[-6:, None]
    assert np.abs(speeds) == pytest.approx(0.45, abs=1e-3)


@pytest.mark.parametrize("interface", ["position_stream", "joint_state"])
def test_a_command_found_late_brings_nothing_back_that_was_forgotten(interface: str) -> None:
    stream = Stream(interface)
    stream.chunk(np.linspace([0.0, 0.0], [0.9, -0.9], 11))
    stream.tick(PERIOD_S)
    late = stream.sent[0]
    stream.commander.forget()  # somebody else may have moved the arm
    assert not stream.commander.take_back(late), "a motion is under way"
    assert not stream.commander.known
    assert stream.commander.told(stream.now) == {}
