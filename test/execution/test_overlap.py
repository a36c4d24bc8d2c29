"""The guard of overlapping messages: no controller jumps, whatever became of the messages before."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

from act_inference_ros.execution import reasons
from act_inference_ros.execution.controller_state import ControllerState
from act_inference_ros.simulation.trajectory_controller import DISTROS, Distro
from test.execution.guarded_arm import JOINTS, MAX_STEP, PLAN_STEP, GuardedArm

LARGEST_STEP = 0.005
"""rad in 2 ms; the arm may move by 0.004."""
ALL = list(product(DISTROS.values(), (False, True), (0.03, 0.1)))
EACH_DISTRO = [(distro, distro.name == "jazzy", 0.1) for distro in DISTROS.values()]


def names(cases: list[tuple[Distro, bool, float]]) -> Iterator[str]:
    for distro, from_last_command, lag in cases:
        yield f"{distro.name}-{'desired' if from_last_command else 'measured'}-{lag}"


all_controllers = pytest.mark.parametrize("case", ALL, ids=list(names(ALL)))
each_distro = pytest.mark.parametrize("case", EACH_DISTRO, ids=list(names(EACH_DISTRO)))
with_and_without_states = pytest.mark.parametrize("says", [True, False], ids=["states", "no-states"])
Case = tuple[Distro, bool, float]


@with_and_without_states
@pytest.mark.parametrize("interval", [0.1, 0.25, 0.5])
@each_distro
def test_an_arm_that_follows_is_told_without_steps_and_without_false_alarm(
    case: Case, interval: float, says: bool
) -> None:
    arm = GuardedArm(*case, says=says)
    arm.go(round(0.8 / interval), interval)
    caught_up = len(arm.setpoints)
    arm.go(round(1.5 / interval), interval)
    assert arm.overlap.anew["arm"] == 0
    assert set(arm.notes) == {None}
    assert arm.largest_step(caught_up) < 1.2 * PLAN_STEP


@pytest.mark.parametrize("missed", [1, 2, 3])
@all_controllers
def test_a_controller_that_is_activated_late_does_not_jump_to_where_it_was_told_to_be(case: Case, missed: int) -> None:
    arm = GuardedArm(*case)
    arm.controller.deactivate()
    arm.go(missed)
    arm.chunk()
    arm.run(0.12)
    arm.controller.activate()
    arm.run(0.13)
    arm.go(4)
    assert arm.largest_step() < LARGEST_STEP
    assert "is it active" in (arm.notes[1] or "")
    assert arm.notes[-1] is None
    assert arm.state == "commanding"


@pytest.mark.parametrize("factor", [0.0, 0.5, 0.9])
@all_controllers
def test_an_arm_that_is_slowed_down_is_held_without_a_step_and_goes_on_at_full_speed(case: Case, factor: float) -> None:
    arm = GuardedArm(*case)
    arm.go(4)
    arm.run(0.1)
    arm.controller.speed_scaling_factor = factor
    arm.run(0.1)
    assert (arm.state, arm.rig.reason) == ("holding", reasons.SLOWED)
    assert "arm goes at" in arm.rig.supervisor.standing.detail
    arm.go(3)
    assert arm.state == "holding"
    arm.controller.speed_scaling_factor = 1.0
    arm.run(0.1)
    arm.go(4)
    assert arm.state == "commanding"
    assert arm.notes[-1] is None
    assert arm.largest_step() < LARGEST_STEP


@all_controllers
def test_a_controller_that_rejects_messages_goes_on_from_where_it_is(case: Case) -> None:
    arm = GuardedArm(*case)
    arm.rejects = True
    arm.go(3)
    assert "its reference of" in (arm.notes[-1] or "")
    arm.rejects = False
    arm.go(4)
    assert arm.notes[-1] is None
    assert arm.overlap.anew["arm"] >= 2
    assert arm.largest_step() < LARGEST_STEP


@pytest.mark.parametrize("away", [0.3, 2.0])
@all_controllers
def test_a_controller_that_was_deactivated_in_mid_motion_goes_on_from_where_it_is(case: Case, away: float) -> None:
    arm = GuardedArm(*case)
    arm.go(4)
    arm.chunk()
    arm.run(0.1)
    arm.controller.deactivate()
    arm.go(round(away / 0.1), 0.1)
    arm.controller.activate()
    arm.run(0.05)  # a state comes; before, a controller that starts from the measured arm is set back to it
    arm.go(5)
    assert arm.overlap.anew["arm"] >= 1
    assert arm.notes[-1] is None
    assert arm.largest_step() < LARGEST_STEP


@each_distro
def test_states_of_another_clock_are_not_believed_and_that_is_said(case: Case) -> None:
    arm = GuardedArm(*case)
    arm.offset = 0.05
    arm.run(0.4)
    arm.go(4)
    assert "before our clock; synchronise the clocks" in (arm.notes[-1] or "")
    assert arm.overlap.anew["arm"] == 0
    assert arm.state == "commanding"


@each_distro
def test_states_that_stop_coming_end_the_overlap_until_they_are_back(case: Case) -> None:
    arm = GuardedArm(*case)
    arm.go(3)
    arm.says = False
    arm.go(3)
    assert "it has not published its state for" in (arm.notes[-1] or "")
    arm.says = True
    arm.go(3)
    assert arm.notes[-1] is None
    assert arm.overlap.anew["arm"] == 0
    assert arm.state == "commanding"


@with_and_without_states
@all_controllers
def test_a_hold_and_what_follows_it_make_no_step(case: Case, says: bool) -> None:
    arm = GuardedArm(*case, says=says)
    arm.go(4)
    arm.rig.silent = {"front"}
    arm.run(0.5)
    assert arm.state == "holding"
    arm.rig.silent = set()
    arm.run(0.3)
    arm.go(4)
    assert arm.state == "commanding"
    assert arm.overlap.anew["arm"] == 0
    assert arm.largest_step() < LARGEST_STEP


def test_without_overlap_a_reference_that_begins_at_the_measured_arm_is_no_fault() -> None:
    arm = GuardedArm(DISTROS["jazzy"], False, 0.1, **{"controller.arm.overlap": "off"})
    arm.go(12, 0.1)
    assert arm.overlap.anew["arm"] == 0
    assert set(arm.notes) == {"overlap is off"}
    assert arm.state == "commanding"


def test_a_controller_that_offers_its_state_and_says_nothing_gets_no_overlap_unless_it_is_on() -> None:
    for setting, why in (("auto", "it offers its state, but has published none yet; is it active?"), ("on", None)):
        arm = GuardedArm(DISTROS["humble"], False, 0.03, **{"controller.arm.overlap": setting})
        arm.overlap.forget()
        assert arm.overlap.forbids("arm", arm.rig.now) == why


@each_distro
def test_a_clock_that_is_set_back_ends_the_motion_and_forgets_what_was_said(case: Case) -> None:
    arm = GuardedArm(*case)
    arm.go(4)
    steps = len(arm.setpoints)
    before = arm.rig.now
    for jumped in (before - 100.0, before - 100.0 + 0.02):
        arm.rig.now = jumped
        arm.rig.feed()
        arm.rig.pipeline.tick(jumped)
    assert (arm.state, arm.rig.reason) == ("holding", reasons.CLOCK_JUMPED)
    assert arm.overlap.speed("arm", arm.rig.now) is None
    assert arm.overlap.place("arm", arm.rig.now) == {}
    assert len(arm.setpoints) == steps


def test_the_reference_is_gone_on_from_at_the_speed_that_it_goes_after_a_change_of_speed() -> None:
    arm = GuardedArm(DISTROS["jazzy"], False, 0.1)
    arm.go(4)
    arm.run(0.1)
    arm.controller.speed_scaling_factor = 0.5
    arm.run(0.1)
    held: Any = arm.rig.trajectories[-1]
    assert np.abs(held.velocities[0]).max() < 0.6 * PLAN_STEP / 0.002
    assert MAX_STEP < LARGEST_STEP


EVENTS = {
    "pause": lambda arm: arm.rig.operator.pause(arm.rig.now),
    "failed inference": lambda arm: arm.rig.supervisor.fail(arm.rig.now, "the server went away"),
    "chunk": lambda arm: arm.chunk(),
}


@pytest.mark.parametrize("ahead", [0.05, 0.2, 0.5, 2.0])
@pytest.mark.parametrize("event", EVENTS)
@each_distro
def test_a_state_from_the_future_is_no_reference_and_cancels_no_hold(case: Case, event: str, ahead: float) -> None:
    arm = GuardedArm(*case)
    arm.go(6)
    where = dict(zip(JOINTS, arm.setpoints[-1].tolist(), strict=True))
    arm.rig.pipeline.controller_state("arm", ControllerState(where, arm.rig.now + ahead, 1.0), arm.rig.now)
    sent = len(arm.rig.trajectories)
    EVENTS[event](arm)
    assert len(arm.rig.trajectories) == sent + 1
    assert arm.state == {"pause": "paused", "failed inference": "holding", "chunk": "commanding"}[event]
    arm.says = False
    arm.run(0.2)
    assert arm.largest_step() < LARGEST_STEP


@pytest.mark.parametrize("phase", [0.0, 0.01, 0.05, 0.1])
@each_distro
def test_a_clock_that_jumps_back_holds_a_controller_that_publishes_its_state(case: Case, phase: float) -> None:
    arm = GuardedArm(*case)
    arm.go(6)
    arm.run(phase)
    sent = len(arm.rig.trajectories)
    arm.rig.now -= 5.0
    arm.rig.pipeline.tick(arm.rig.now)
    assert (arm.state, arm.rig.reason) == ("holding", reasons.CLOCK_JUMPED)
    assert len(arm.rig.trajectories) == sent + 1


def test_a_guard_that_fails_cancels_no_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    arm = GuardedArm(*EACH_DISTRO[0])
    arm.go(3)
    sent = len(arm.rig.trajectories)

    def fail(*_: object) -> None:
        raise ValueError("the guard has a fault")

    monkeypatch.setattr(arm.overlap, "allows", fail)
    with pytest.raises(ValueError, match="the guard has a fault"):
        arm.rig.operator.pause(arm.rig.now)
    assert len(arm.rig.trajectories) == sent + 1
    assert arm.rig.is_hold(arm.rig.trajectories[-1])


@each_distro
def test_another_publisher_lets_no_motion_begin_while_the_arm_brakes(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm = GuardedArm(*case, says=False, share_topics=True)
    tick = arm.rig.pipeline.tick

    def heard(now: float) -> None:
        arm.rig.supervisor.heard("arm", 1, ("/teleop",), now)
        tick(now)

    monkeypatch.setattr(arm.rig.pipeline, "tick", heard)
    arm.go(6)
    failed = len(arm.setpoints)
    arm.rig.supervisor.fail(arm.rig.now, "the server went away")
    while arm.state == "holding" and len(arm.setpoints) < failed + 500:
        arm.run(0.02)
        arm.rig.rows(arm.plan(arm.rig.now + np.arange(50) / 30.0)[:, [1, 0, 0]].astype(np.float32))
    assert arm.state == "commanding"
    assert arm.largest_step(failed) < LARGEST_STEP
    assert arm.largest_step(len(arm.setpoints) - 5) < 1e-4, "it begins while the arm brakes"
