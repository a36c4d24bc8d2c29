"""How a motion begins again after a hold or a pause, and what must not be taken for granted then."""

import numpy as np
import pytest

from act_inference_ros.execution import reasons
from act_inference_ros.execution.states import State
from act_inference_ros.observation.refusal import Reason, Refusal
from test.execution.rig import JOINTS, TICK_S, Rig


def test_an_arm_that_was_moved_during_a_pause_starts_from_where_it_is_then() -> None:
    rig = Rig()
    rig.chunk(target=0.5)
    rig.wait(0.4)
    rig.operator.pause(rig.now)
    rig.obeys = False
    rig.positions = dict.fromkeys(JOINTS, -0.3)
    rig.wait(0.4)
    rig.operator.resume(rig.now)
    rig.wait(0.04)
    assert rig.chunk(target=-0.3)
    assert rig.targets[-1] == pytest.approx(-0.3)
    assert np.allclose(rig.trajectories[-1].positions, -0.3)


def test_a_chunk_from_before_the_hold_does_not_go_on() -> None:
    rig = Rig()
    rig.chunk()
    rig.wait(0.1)
    before = rig.now
    rig.supervisor.fail(rig.now, "the server went away")
    rig.wait(0.1)
    assert not rig.chunk(t_obs=before - 0.05)
    assert rig.state is State.HOLDING
    assert rig.chunk()
    assert rig.state is State.COMMANDING


def test_a_gripper_keeps_squeezing_through_hold_and_resume() -> None:
    rig = Rig(**{"joint.grip.smooth": False, "joint.grip.max_velocity": 0.1, "joint.grip.min": 0.0})
    rig.positions["grip"] = 0.02
    rig.feed()
    rig.chunk(target=0.0)
    rig.obeys = False  # there is something in the gripper
    rig.wait(1.0)
    assert rig.targets[-1] == pytest.approx(0.0, abs=1e-6)
    rig.silent = {"front"}
    rig.wait(0.5)
    assert rig.state is State.HOLDING
    rig.silent = set()
    rig.wait(0.1)
    rig.rows(np.zeros((10, 3), np.float32))
    rig.wait(0.2)
    assert max(rig.targets[-12:]) <= 0.002


@pytest.mark.parametrize("lag", [0.0, 0.1, 0.2])
def test_no_step_of_a_stream_is_larger_than_the_clamp_allows_through_holds(lag: float) -> None:
    rig = Rig(**{"joint.grip.max_velocity": 1.0})
    rig.lag = lag
    for _ in range(4):
        for _ in range(3):
            rig.chunk(target=1.0)
            rig.wait(0.1)
        rig.silent = {"front"}
        rig.wait(0.4)
        rig.silent = set()
        rig.wait(0.06)
    assert max(np.abs(np.diff(rig.targets))) <= 1.0 * TICK_S + 1e-9


def test_a_long_hold_becomes_a_pause_that_an_operator_ends() -> None:
    rig = Rig(resume_within=0.5)
    rig.chunk()
    rig.wait(0.1)
    rig.supervisor.fail(rig.now, "the server went away")
    rig.wait(0.6)
    assert (rig.state, rig.reason) == (State.PAUSED, reasons.INFERENCE_FAILED)
    assert not rig.chunk()
    assert rig.operator.resume(rig.now).accepted
    rig.wait(0.04)
    assert rig.chunk()


def test_a_joint_without_a_limit_of_deviation_does_not_jump_back_to_where_it_was_told_to_be() -> None:
    rig = Rig(**{"joint.grip.max_deviation": np.inf})
    rig.chunk(target=0.1)
    rig.wait(0.3)
    rig.operator.pause(rig.now)
    rig.obeys = False
    rig.positions["grip"] = 1.0
    rig.wait(0.3)
    rig.operator.resume(rig.now)
    rig.wait(0.04)
    rig.chunk(target=1.0)
    assert rig.targets[-1] == pytest.approx(1.0)


def test_an_arm_that_was_moved_a_little_by_hand_is_not_pulled_back() -> None:
    rig = Rig()
    rig.chunk(target=0.1)
    rig.wait(1.0)
    rig.operator.pause(rig.now)
    rig.obeys = False
    rig.positions["grip"] = 0.19
    rig.wait(0.3)
    rig.operator.resume(rig.now)
    rig.wait(0.04)
    rig.chunk(target=0.19)
    assert rig.targets[-1] == pytest.approx(0.19)


def test_a_robot_that_was_away_for_long_is_not_commanded_by_itself_when_it_is_back() -> None:
    rig = Rig(resume_within=0.5)
    rig.chunk()
    rig.wait(0.1)
    rig.silent = {"state", "front"}
    rig.wait(0.3)
    assert rig.state is State.HOLDING
    rig.supervisor.heard("arm", 0, (), rig.now)
    rig.wait(1.0)
    rig.supervisor.heard("arm", 1, (), rig.now)
    rig.silent = set()
    rig.wait(0.1)
    assert not rig.chunk()
    assert rig.state is State.PAUSED


def test_a_long_hold_is_a_pause_also_while_its_cause_lasts_and_for_a_chunk_before_the_next_tick() -> None:
    rig = Rig(resume_within=0.5)
    rig.chunk()
    rig.wait(0.1)
    rig.silent = {"front"}
    rig.wait(1.0)
    assert (rig.state, rig.reason) == (State.PAUSED, "stale: front")
    other = Rig(resume_within=0.5)
    other.chunk()
    other.wait(0.1)
    other.supervisor.fail(other.now, "once")
    other.now += 1.0
    other.feed()
    assert not other.chunk()
    assert other.state is State.PAUSED


@pytest.mark.parametrize("sag", [-0.05, -0.08, 0.05])
@pytest.mark.parametrize("how", ["enable", "pause", "stop"])
def test_no_motion_begins_where_the_arm_is_measured_while_it_still_brakes(how: str, sag: float) -> None:
    rig = Rig(**{"enable.topic": "/enable", "enable.timeout": 60.0})
    rig.supervisor.enable(True, rig.now)
    rig.obeys = False
    began = rig.now

    def go(ticks: int) -> None:
        for _ in range(ticks):
            rows = 1.5 * ((rig.now - began) + np.arange(10) / 10.0)
            rig.positions |= {name: told - sag for name, told in rig.supervisor.told(rig.now).items()}
            rig.wait(TICK_S)
            rig.rows(np.repeat(rows[:, None], 3, axis=1).astype(np.float32))

    go(20)
    before = len(rig.targets)
    if how == "enable":
        rig.supervisor.enable(False, rig.now)
        rig.wait(TICK_S)
        rig.supervisor.enable(True, rig.now)
    elif how == "pause":
        rig.operator.pause(rig.now)
        rig.operator.resume(rig.now)
    else:
        rig.operator.stop(rig.now)
        rig.operator.clear_stop(rig.now)
        rig.operator.resume(rig.now)
    go(25)
    assert rig.state is State.COMMANDING
    velocities = rig.velocities_since(before - 2)
    braking = velocities[: 1 + round(0.1875 / TICK_S)]  # from 1.5 rad/s at 8 rad/s2
    assert np.abs(np.diff(braking)).max() <= 20.0 * TICK_S * 1.01
    assert abs(braking[-1]) <= 20.0 * TICK_S, "it goes on before it has come to rest"


def test_a_short_hold_before_the_enabling_switch_is_let_go_is_no_long_hold() -> None:
    rig = Rig(**{"enable.topic": "/enable", "enable.timeout": 60.0}, resume_within=0.5)
    rig.supervisor.enable(True, rig.now)
    rig.chunk()
    rig.wait(0.1)
    rig.supervisor.fail(rig.now, "once")
    rig.wait(0.1)
    rig.supervisor.enable(False, rig.now)
    rig.wait(2.0)
    rig.supervisor.enable(True, rig.now)
    rig.wait(TICK_S)
    assert rig.chunk()


def test_what_has_passed_is_not_said_to_be_the_cause_any_more() -> None:
    rig = Rig(resume_within=1.0)
    rig.chunk()
    rig.wait(0.1)
    rig.silent = {"front"}
    rig.wait(0.4)
    assert rig.reason == "stale: front"
    assert "old" in rig.supervisor.standing.detail
    rig.silent = set()
    rig.wait(0.1)
    assert (rig.state, rig.reason) == (State.HOLDING, "stale: front")
    assert rig.supervisor.standing.detail == "it is over; waiting for the next chunk"
    rig.supervisor.inferring_since = rig.now  # and now this hangs
    rig.wait(0.9)
    assert (rig.state, rig.reason) == (State.PAUSED, "stale: front")
    assert "an inference has taken 0." in rig.supervisor.standing.detail


def test_a_refused_observation_is_not_named_once_another_one_was_taken() -> None:
    rig = Rig()
    rig.supervisor.refused(Refusal(Reason.SKEW, "front", "0.1 s apart"))
    assert rig.reason == "skew: front"
    assert rig.take() is not None
    assert rig.reason == reasons.NO_PLAN


@pytest.mark.parametrize("sag", [-0.05, -0.08, 0.05, 0.08])
def test_the_way_to_the_start_pose_goes_on_from_the_braking_of_a_pause(sag: float) -> None:
    rig = Rig(start_pose=[0.0, 0.0, 0.0])
    rig.obeys = False
    rows = 1.5 * np.arange(10) / 10.0
    assert rig.rows(np.repeat(rows[:, None], 3, axis=1).astype(np.float32))
    for _ in range(20):
        rig.positions |= {name: told - sag for name, told in rig.supervisor.told(rig.now).items()}
        rig.wait(TICK_S)
    rig.operator.pause(rig.now)
    rig.wait(TICK_S)
    before = len(rig.targets)
    assert rig.operator.go_to_start((0.0, 0.0, 0.0), rig.now).accepted
    rig.wait(0.3)
    velocities = rig.velocities_since(before - 2)
    assert velocities[0] > 1.0
    assert np.abs(np.diff(velocities)).max() <= 20.0 * TICK_S * 1.01
