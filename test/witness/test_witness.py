"""The witness passes a clean recording, and each of its rules catches what no other rule does."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from act_inference_ros.interfaces import Command, write_trajectory
from test.witness.good_inputs import Looked
from test.witness.made_up import BEGIN, CONTRACT, END, header, made_up, make, status
from test.witness.planted import FAULTS
from test.witness.planting import DROPPED, edited, held
from test.witness.recording import CHUNK, COMMAND, INPUT, STATUS, Event, Fault, Recording
from test.witness.rules import RULES, judge


def changed(recording: Recording, kind: str, change: Callable[[Event], Event | None], name: str = "") -> Recording:
    """The recording with its events of a kind changed; those for which there is None are left out."""

    def become(event: Event) -> Event | list[Event]:
        became = change(event)
        return DROPPED if became is None else became

    return edited(recording, kind, name, -np.inf, np.inf, become)


def within(event: Event, begin: float, end: float) -> bool:
    return BEGIN + begin < event.time < BEGIN + end


def names_in_another_order() -> Recording:
    def other_order(event: Event) -> Event:
        message = event.message
        points = [
            SimpleNamespace(**{**vars(p), "positions": p.positions[::-1], "velocities": p.velocities[::-1]})
            for p in message.points
        ]
        return replace(event, message=SimpleNamespace(header=message.header, joint_names=["b", "a"], points=points))

    return changed(made_up(), COMMAND, other_order, "arm")


def beyond_a_limit() -> Recording:
    def further(event: Event) -> Event:
        return replace(event, message=SimpleNamespace(data=[event.message.data[0] + 1.9]))

    return changed(made_up(), COMMAND, further, "grip")


def too_fast() -> Recording:
    return made_up(fault=False, wave=lambda phase: 4.0 * np.sin(phase), slope=lambda phase: 4.0 * np.cos(phase))


def too_abrupt() -> Recording:
    return made_up(fault=False, wave=lambda phase: 0.07 * np.sin(20.0 * phase))


def published_late() -> Recording:
    return changed(made_up(), COMMAND, lambda event: replace(event, time=event.time + 0.1), "arm")


def followed_too_long() -> Recording:
    return changed(made_up(fault=False), CHUNK, lambda event: None if within(event, 2.0, 4.0) else event)


def of_no_observation() -> Recording:
    recording = made_up()
    recording.events.append(Event(BEGIN + 4.8, CHUNK, "chunk", SimpleNamespace(header=header(BEGIN + 4.75))))
    return recording


def on_old_inputs(spoil: Callable[[Event], Event | None] = lambda event: None) -> Recording:
    # The last chunk before is of 2.96, so that no plan is too old by 3.5.
    recording = made_up(fault=False, skipped=(BEGIN + 3.01, BEGIN + 3.49))
    return changed(recording, INPUT, lambda event: spoil(event) if within(event, 3.01, 3.47) else event, "state")


def commanded_while_paused() -> Recording:
    def paused(event: Event) -> Event:
        return replace(event, message=status("paused")) if within(event, 2.2, 3.2) else event

    return changed(made_up(), STATUS, paused)


def silence_of_the_status() -> Recording:
    return changed(made_up(), STATUS, lambda event: None if within(event, 2.2, 3.8) else event)


def plans_while_inactive() -> Recording:
    recording = changed(
        held(), STATUS, lambda event: replace(event, message=status("inactive")) if within(event, 4.5, 9.0) else event
    )
    recording.events.append(Event(BEGIN + 7.0, CHUNK, "chunk", SimpleNamespace(header=header(BEGIN + 6.96))))
    return recording


def with_fault(recording: Recording, **fields: Any) -> Recording:
    recording.faults[:] = [Fault("planted", **fields)]
    return recording


PLANTED: dict[str, Callable[[], Recording]] = {
    "well_formed": names_in_another_order,
    "stamps": FAULTS["wrist stamped -0.1 s"].make,
    "well_formed_chunks": FAULTS["chunk that is not finite"].make,
    "curve": FAULTS["trajectory with a spike between two looks"].make,
    "position": beyond_a_limit,
    "velocity": too_fast,
    "acceleration": too_abrupt,
    "begins": FAULTS["begin where the arm is not"].make,
    "goes_on": FAULTS["grip is not led to rest"].make,
    "in_time": published_late,
    "plan_age": followed_too_long,
    "backed": of_no_observation,
    "fresh": on_old_inputs,
    "silent": commanded_while_paused,
    "known_words": FAULTS["unknown state"].make,
    "no_chunks": plans_while_inactive,
    "commands_come": FAULTS["grip ends at full speed"].make,
    "status_goes_on": silence_of_the_status,
    "rest": lambda: with_fault(made_up(), begin=BEGIN + 2.0, end=BEGIN + 3.0, rest_s=CONTRACT.rest_s),
    "back": lambda: with_fault(made_up(goes_on=False), begin=BEGIN + 4.0, end=BEGIN + 5.5, rest_s=0.4, back_s=1.0),
    "reason": lambda: with_fault(made_up(), begin=BEGIN + 4.0, end=BEGIN + 5.5, rest_s=0.4, reasons=("plan too old",)),
}


@pytest.mark.parametrize("goes_on", [True, False])
@pytest.mark.parametrize("fault", [True, False])
def test_a_clean_recording_passes(fault: bool, goes_on: bool) -> None:
    assert judge(made_up(fault, goes_on), CONTRACT) == []


def test_each_rule_has_a_fault_of_its_own() -> None:
    assert set(PLANTED) == set(RULES)


@pytest.mark.parametrize("rule", PLANTED)
def test_a_planted_fault_is_caught_by_its_rule_alone(rule: str) -> None:
    assert {breach.rule for breach in judge(PLANTED[rule](), CONTRACT)} == {rule}


def not_finite(message: Any) -> None:
    message.position = [float("nan"), *message.position[1:]]


def without_a_joint(message: Any) -> None:
    message.name = ["z", *message.name[1:]]


def of_another_time(message: Any) -> None:
    message.header = header(BEGIN)


def stamped_zero(message: Any) -> None:
    message.header = header(0.0)


@pytest.mark.parametrize("spoil", [not_finite, without_a_joint, of_another_time, stamped_zero])
def test_a_bad_message_is_no_fresh_one(spoil: Callable[[Any], None]) -> None:
    def spoilt(event: Event) -> Event:
        message = SimpleNamespace(**vars(event.message))
        spoil(message)
        return replace(event, message=message)

    assert {breach.rule for breach in judge(on_old_inputs(spoilt), CONTRACT)} == {"fresh"}


def test_a_trajectory_that_jumps_breaks_what_limits_motion() -> None:
    def moved(event: Event) -> Event:
        if not within(event, 2.05, 2.15):
            return event
        points = [
            SimpleNamespace(**{**vars(p), "positions": [x + 0.1 for x in p.positions]}) for p in event.message.points
        ]
        return replace(event, message=SimpleNamespace(**{**vars(event.message), "points": points}))

    found = {breach.rule for breach in judge(changed(made_up(), COMMAND, moved, "arm"), CONTRACT)}
    assert found == {"velocity", "acceleration"}


@pytest.mark.parametrize("word", ["inactive", "stopped", "waiting"])
def test_nothing_is_published_by_a_node_that_is_not_active(word: str) -> None:
    recording = changed(made_up(), STATUS, lambda event: replace(event, message=status(word)))
    tells_plans = {"no_chunks"} if word == "inactive" else set()
    assert {breach.rule for breach in judge(recording, CONTRACT)} == {"silent", "reason"} | tells_plans


def test_a_node_that_never_says_its_status_commands_nothing() -> None:
    recording = changed(made_up(), STATUS, lambda _: None)
    assert {breach.rule for breach in judge(recording, CONTRACT)} == {"status_goes_on", "reason"}


def test_a_part_of_a_recording_is_judged_by_itself() -> None:
    part = made_up().between(BEGIN + 3.0, END)
    assert judge(part, CONTRACT) == []
    assert [fault.name for fault in part.faults] == ["front off"]


def test_a_chunk_from_before_a_recording_began_lasts_no_longer_than_any() -> None:
    def without_chunks(seconds: float) -> set[str]:
        part = made_up(fault=False).between(BEGIN + 2.0, END)
        part = changed(part, CHUNK, lambda event: None if within(event, 2.0, 2.0 + seconds) else event)
        return {breach.rule for breach in judge(part, CONTRACT)}

    assert without_chunks(0.15) == set()
    assert without_chunks(2.0) == {"plan_age"}


@pytest.mark.parametrize("ahead", [0.02, 0.045, 0.3])
def test_a_motion_that_begins_where_somebody_has_moved_the_arm_is_no_step_however_far_ahead_it_begins(
    ahead: float,
) -> None:
    def resting(time: float, place: float) -> Event:
        row = np.full((2, 2), place)
        command = Command(time + ahead, np.array([0.0, 0.5]), row, np.zeros((2, 2)))
        return Event(time, COMMAND, "arm", write_trajectory(make, ("a", "b"), command))

    moved = Looked(header(BEGIN + 3.0), good=True, positions={"a": 0.2, "b": 0.2})
    recording = Recording([resting(BEGIN, 0.0), Event(BEGIN + 3.0, INPUT, "state", moved), resting(BEGIN + 3.01, 0.2)])
    recording.events.append(Event(BEGIN + 5.0, STATUS, "status", status("commanding")))

    def broken() -> set[str]:
        return {breach.rule for breach in judge(recording, CONTRACT)} & {"velocity", "acceleration"}

    assert broken() == set()
    del recording.events[1]  # where nobody has moved it, it is one
    assert "acceleration" in broken()
