"""Supervisor with hand-moved time: when it commands and when it holds, also at an error that nobody foresaw."""

import numpy as np
import pytest

from act_inference_ros.execution import reasons
from act_inference_ros.execution.states import State
from act_inference_ros.robot.configuration import RobotConfiguration
from test.execution.rig import PARAMETERS, Rig


def test_commands_flow_from_the_first_chunk_on_and_not_before() -> None:
    rig = Rig()
    rig.wait(0.1)
    assert rig.silence() == (0, 0)
    assert rig.chunk()
    rig.wait(0.1)
    assert rig.silence() == (1, 6)
    assert rig.state is State.COMMANDING


def test_a_stream_starts_where_the_arm_was_measured() -> None:
    rig = Rig()
    rig.positions["grip"] = 0.7
    rig.feed()
    assert rig.chunk(target=0.0)
    assert rig.targets == [0.7]


def test_a_running_stream_keeps_to_the_command_rate_whatever_the_rate_of_chunks() -> None:
    rig = Rig()
    for _ in range(10):
        rig.chunk()
        rig.wait(0.1)
    assert len(rig.targets) == 1 + 50


def test_a_hold_is_sent_once_and_counted_once_however_long_it_lasts() -> None:
    rig = Rig()
    rig.chunk()
    rig.wait(0.1)
    rig.silent = {"state"}
    rig.wait(0.5)
    assert [rig.is_hold(command) for command in rig.trajectories] == [False, True]
    steps = np.diff(rig.targets[-6:])
    assert (np.diff(steps) <= 1e-12).all()  # it brakes, and then no more is sent
    assert rig.targets[-1] == pytest.approx(rig.supervisor.told(rig.now)["grip"], abs=1e-12)
    assert rig.supervisor.holds == {"stale: state": 1}


def test_a_chunk_of_stale_inputs_is_not_commanded() -> None:
    rig = Rig()
    rig.now += 0.3
    assert not rig.chunk()
    assert rig.silence() == (0, 0)
    assert rig.reason == "stale: state"


def test_a_chunk_that_is_over_when_it_comes_is_not_commanded() -> None:
    rig = Rig()
    assert not rig.chunk(t_obs=rig.now - 1.0)
    assert rig.silence() == (0, 0)
    assert rig.reason == reasons.TOO_LATE


def test_an_inactive_arm_takes_no_chunk_even_of_its_own_generation() -> None:
    rig = Rig()
    rig.chunk()
    rig.supervisor.deactivate(rig.now)
    before = rig.silence()
    rig.feed()
    assert not rig.chunk()
    rig.wait(0.3)
    assert rig.silence() == before
    assert rig.state is State.INACTIVE


def test_new_limits_apply_to_the_motion_under_way() -> None:
    rig = Rig()
    rig.chunk(target=0.5)
    rig.wait(0.1)
    limited = PARAMETERS | {"joint.grip.max": 0.1, "joint.pan.max": 0.2}
    rig.supervisor.configure(RobotConfiguration.from_parameters(limited), rig.now)
    rig.wait(0.7)
    assert max(rig.targets) == pytest.approx(0.1)
    assert len(rig.trajectories) == 2
    assert rig.trajectories[-1].positions[:, 1].max() <= 0.2
    assert rig.state is State.COMMANDING


def test_another_way_of_merging_does_not_stop_a_stream() -> None:
    rig = Rig(**{"joint.grip.max_velocity": 2.0})
    rig.chunk(target=1.5)
    rig.wait(0.3)
    before = rig.targets[-1]
    changed = RobotConfiguration.from_parameters(PARAMETERS | {"merge": "temporal_ensemble", "blend_time": 1.0})
    rig.supervisor.configure(changed, rig.now)
    rig.wait(0.02)
    assert rig.targets[-1] > before + 0.02
    assert rig.state is State.COMMANDING


class Broken(Exception):
    pass


def test_a_commander_that_raises_leaves_no_other_one_moving(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    gripper = rig.supervisor._motion.commanders[1]

    def broken(*_: object) -> None:
        raise Broken("boom")

    monkeypatch.setattr(gripper, "follow", broken)
    with pytest.raises(Broken):
        rig.chunk(target=3.0)
    assert rig.is_hold(rig.trajectories[-1])
    assert (rig.state, rig.reason) == (State.STOPPED, reasons.INTERNAL_FAULT)
    assert not rig.operator.clear_stop(rig.now).accepted


def test_the_unforeseen_moves_no_arm_that_somebody_else_may_have_moved() -> None:
    rig = Rig()
    rig.chunk()
    rig.wait(0.1)
    rig.operator.pause(rig.now)
    before = rig.silence()
    rig.supervisor.fault(rig.now, Broken("boom"))
    assert rig.silence() == before
    assert (rig.state, rig.reason) == (State.STOPPED, reasons.INTERNAL_FAULT)
