"""The witness finds each planted fault, and raises no alarm at what is allowed."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from test.witness.made_up import BEGIN, CONTRACT, made_up, status
from test.witness.motion import seconds
from test.witness.pipeline_recording import Way, heard
from test.witness.planted import FAULTS, told_late
from test.witness.planting import DROPPED, edited, later, without
from test.witness.recording import CHUNK, COMMAND, INPUT, STATUS, Event, Recording
from test.witness.rules import RULES, judge


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found_by_its_rule(name: str) -> None:
    planted = FAULTS[name]
    assert planted.rule in RULES
    assert planted.rule in {breach.rule for breach in judge(planted.make(), planted.contract)}


def thinned(kind: str, name: str, keeps: Callable[[float], bool]) -> Recording:
    """The recording without those of its events whose time since the begin, s, is not kept."""
    return edited(made_up(), kind, name, -1.0, 9.0, lambda event: None if keeps(event.time - BEGIN) else DROPPED)


def late_by_up_to(most: float) -> Recording:
    rng = np.random.default_rng(0)
    return edited(
        made_up(), COMMAND, "", -1.0, 9.0, lambda event: replace(event, time=event.time + rng.uniform(0.0, most))
    )


def paused() -> Recording:
    def other_word(event: Event) -> Event | None:
        return replace(event, message=status("paused")) if event.message.message == "holding" else None

    recording = edited(made_up(), STATUS, "", -1.0, 9.0, other_word)
    recording.faults.clear()
    return recording


def twice(name: str) -> Recording:
    """A hold is told at once, perhaps a second time in a tick."""
    return edited(made_up(), COMMAND, name, 4.19, 4.21, lambda event: [event, replace(event, time=event.time + 0.001)])


ALLOWED: dict[str, Callable[[], Recording]] = {
    "commands 15 ms later": lambda: edited(made_up(), COMMAND, "", -1.0, 9.0, later(0.015)),
    "commands up to 15 ms later": lambda: late_by_up_to(0.015),
    "fewer trajectories": lambda: thinned(COMMAND, "arm", lambda time: time > 4.0 or round(time * 10.0) % 3 != 0),
    "fewer chunks": lambda: thinned(CHUNK, "", lambda time: 5.6 < time < 5.8 or round(time * 10.0) % 2 == 0),
    "chunks told later": lambda: edited(made_up(), CHUNK, "", -1.0, 9.0, later(0.3)),
    "inputs that come 30 ms later": lambda: edited(made_up(), INPUT, "", -1.0, 9.0, later(0.03)),
    "fewer inputs": lambda: thinned(INPUT, "", lambda time: round(time * 50.0) % 4 == 0),
    "an operator's pause": paused,
    "commanding, and told 0.8 s later": lambda: told_late(6.4),
    "the same trajectory twice": lambda: twice("arm"),
    "the same target twice, without stamps": lambda: twice("grip"),
    "the same target twice, with stamps": lambda: twice("wrist"),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_what_is_allowed_raises_no_alarm(name: str) -> None:
    assert judge(ALLOWED[name](), CONTRACT) == []


def test_a_node_that_was_frozen_need_not_have_sent_anything_but_one_that_told_its_status_must() -> None:
    silent = without(COMMAND, "", 2.55, 4.55)
    frozen = without(STATUS, "", 2.55, 4.45, silent)
    for recording, found in ((silent, True), (frozen, False)):
        assert ("commands_come" in {breach.rule for breach in judge(recording, CONTRACT)}) == found


WAYS = {
    "slowly": Way(),
    "at the limits": Way(amplitude=1.2, pace=2.0),
    "with narrow limits": Way(velocity=0.2, acceleration=1.0),
    "with ticks that jitter": Way(amplitude=1.2, pace=2.0, jitter_s=0.003),
    "with late ticks": Way(amplitude=1.0, late_s=0.06),
    "with anything that fails": Way(at_random=True, seed=1, lasts_s=20.0),
    "with anything that fails, and ticks that jitter": Way(at_random=True, seed=2, jitter_s=0.002, lasts_s=20.0),
    "with anything that fails, and averages": Way(at_random=True, seed=3, merge="temporal_ensemble", lasts_s=20.0),
}


@pytest.mark.parametrize(("name", "gripper"), product(WAYS, ("position_stream", "joint_state")))
def test_the_packages_own_pipeline_raises_no_alarm(name: str, gripper: str) -> None:
    recording, contract = heard(replace(WAYS[name], gripper=gripper))
    assert len(recording.of(COMMAND)) > 300
    assert judge(recording, contract) == []


def test_a_part_of_what_the_pipeline_sent_raises_no_alarm_though_its_chunks_are_told_later() -> None:
    recording, contract = heard(Way(lasts_s=7.5))
    begin = recording.events[0].time + 1.0
    end = begin + 2.5
    recording = edited(recording, CHUNK, "", -np.inf, np.inf, later(0.5))
    part = recording.between(begin, end)
    chunks = recording.between(end, np.inf).of(CHUNK)
    part.events += [event for event in chunks if seconds(event.message.header.stamp) < end]
    assert judge(part, contract) == []
