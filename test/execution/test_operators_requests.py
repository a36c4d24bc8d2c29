"""The requests of an operator, the way to the start pose, and the word that enables the motion."""

import numpy as np
import pytest

from act_inference_ros.execution import reasons
from act_inference_ros.execution.states import State
from test.execution.rig import TICK_S, Rig, end_of


def test_the_enabling_word_is_needed_and_must_be_young() -> None:
    rig = Rig(**{"enable.topic": "/enable", "enable.timeout": 0.2})
    assert not rig.chunk()
    assert (rig.state, rig.reason) == (State.WAITING, reasons.NOT_ENABLED)
    rig.supervisor.permissions.enable(True, rig.now)
    rig.wait(0.04)
    assert rig.chunk()
    rig.wait(0.3)
    assert (rig.state, rig.reason) == (State.WAITING, reasons.NOT_ENABLED)
    assert rig.is_hold(rig.trajectories[-1])
    rig.supervisor.permissions.enable(False, rig.now)
    rig.wait(0.04)
    assert not rig.chunk()


def test_the_operators_requests_lead_from_state_to_state() -> None:
    rig = Rig()
    rig.chunk()
    assert rig.operator.pause(rig.now).accepted
    assert rig.state is State.PAUSED
    assert rig.is_hold(rig.trajectories[-1])
    assert not rig.chunk()
    assert rig.operator.stop(rig.now).accepted
    assert rig.state is State.STOPPED
    assert not rig.operator.resume(rig.now).accepted
    assert rig.operator.clear_stop(rig.now).accepted
    assert rig.state is State.PAUSED
    before = rig.silence()
    rig.wait(0.3)
    assert rig.silence() == before
    assert rig.operator.resume(rig.now).accepted
    rig.wait(0.04)
    assert rig.chunk()


def test_the_way_to_the_start_pose_is_slow_and_ends_in_a_pause() -> None:
    rig = Rig(start_pose=[0.5, -0.5, 0.2], max_plan_age=0.5)
    assert rig.operator.go_to_start(rig.configuration.start_pose, rig.now).accepted
    assert rig.supervisor.who_commands == "start pose"
    assert not rig.chunk(target=2.0)
    rig.wait(0.5 / 0.5 + 0.3)
    assert (rig.state, rig.reason) == (State.PAUSED, reasons.AT_START_POSE)
    assert rig.positions == pytest.approx({"pan": 0.5, "lift": -0.5, "grip": 0.2}, abs=2e-3)
    assert max(np.abs(np.diff(rig.targets))) <= 0.25 * 2.0 * TICK_S + 1e-9
    for each in rig.trajectories:
        assert end_of(each) - each.stamp <= 0.5 + 1e-6


def test_a_fault_on_the_way_to_the_start_pose_ends_it_for_good() -> None:
    rig = Rig(start_pose=[0.5, -0.5, 0.2])
    rig.operator.go_to_start(rig.configuration.start_pose, rig.now)
    rig.wait(0.2)
    rig.silent = {"front"}
    rig.wait(0.4)
    assert rig.state is State.PAUSED
    rig.silent = set()
    rig.wait(0.1)
    assert not rig.chunk()


def test_the_start_pose_is_refused_where_nothing_may_move() -> None:
    rig = Rig(start_pose=[0.5, -0.5, 0.2])
    assert not rig.operator.go_to_start((), rig.now).accepted
    rig.operator.stop(rig.now)
    assert not rig.operator.go_to_start(rig.configuration.start_pose, rig.now).accepted
    assert rig.silence() == (0, 0)


def test_started_paused_it_waits_for_resume() -> None:
    rig = Rig(start_paused=True)
    rig.wait(0.1)
    assert not rig.chunk()
    assert rig.state is State.PAUSED
    rig.operator.resume(rig.now)
    rig.wait(0.04)
    assert rig.chunk()


def test_an_enabling_word_of_an_earlier_activation_is_worth_nothing() -> None:
    rig = Rig(**{"enable.topic": "/enable"})
    rig.supervisor.permissions.enable(True, rig.now)
    rig.supervisor.deactivate(rig.now)
    rig.now -= 1000.0  # the simulation was restarted
    rig.supervisor.activate(rig.now)
    rig.wait(0.1)
    assert not rig.chunk()
    assert rig.reason == reasons.NOT_ENABLED


def test_an_arm_that_does_not_arrive_is_not_said_to_be_at_the_start_pose() -> None:
    rig = Rig(start_pose=[0.2, 0.0, 0.0], max_plan_age=0.5)
    rig.obeys = False
    rig.operator.go_to_start(rig.configuration.start_pose, rig.now)
    states = []
    for _ in range(100):
        rig.positions["pan"] = min(0.12, rig.supervisor.told(rig.now)["pan"])
        rig.wait(TICK_S)
        states.append(rig.state)
    assert states[60] is State.COMMANDING
    assert (rig.state, rig.reason) == (State.PAUSED, reasons.NEAR_START_POSE)
