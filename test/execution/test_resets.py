"""What a reset forgets, and how the arm goes on after it."""

import numpy as np
import pytest

from act_inference_ros.execution.states import State
from test.execution.rig import JOINTS, TICK_S, Rig


def test_a_chunk_in_flight_during_a_reset_is_dropped() -> None:
    rig = Rig()
    generation = rig.supervisor.generation
    rig.operator.reset(rig.now)
    rig.feed()
    assert not rig.chunk(generation=generation)
    assert rig.silence() == (0, 0)
    rig.wait(TICK_S)
    assert rig.chunk()


def test_after_a_reset_old_inputs_and_measured_positions_are_worth_nothing() -> None:
    rig = Rig()
    rig.operator.reset(rig.now)
    assert rig.pipeline.inputs.fresh(rig.now) is not None
    assert rig.supervisor.measured(rig.now) == {}


@pytest.mark.parametrize("pauses", [False, True])
def test_a_reset_while_the_arm_brakes_lets_it_come_to_rest_before_the_next_motion_begins(pauses: bool) -> None:
    rig = Rig(**{f"joint.{name}.max_acceleration": 5.0 for name in JOINTS})
    rig.chunk(target=0.9)
    rig.wait(0.4)
    if pauses:
        rig.operator.pause(rig.now)
    rig.operator.reset(rig.now)
    rig.operator.resume(rig.now)
    hold, sent = rig.trajectories[-1], len(rig.trajectories)
    rests_from = hold.stamp + float(hold.times[-1])
    while rig.now < rests_from - TICK_S:
        rig.wait(TICK_S)
        assert not rig.chunk(target=0.0), "a motion begins while the arm brakes"
    steps = np.diff(rig.targets[-12:]) / TICK_S
    assert steps.max() > 0.5
    assert np.abs(np.diff(steps)).max() < 5.0 * TICK_S * 1.1, "the stream ends in the middle of its braking"
    rig.wait(0.1)
    assert rig.supervisor.told(rig.now) == {}
    rig.obeys, rig.positions["lift"] = False, 0.7
    rig.wait(TICK_S)
    assert rig.chunk(target=0.0)
    assert rig.trajectories[sent].positions[0, 0] == pytest.approx(0.7, abs=1e-6), "not where the arm is measured"


def test_the_way_to_the_start_pose_goes_on_from_a_reset_while_the_arm_brakes() -> None:
    limits = {f"joint.{name}.max_acceleration": 5.0 for name in JOINTS}
    rig = Rig(start_pose=[0.0, 0.0, 0.0], **limits)
    rig.chunk(target=0.9)
    rig.wait(0.4)
    rig.operator.reset(rig.now)
    rig.wait(TICK_S)
    assert rig.operator.go_to_start((0.0, 0.0, 0.0), rig.now).accepted
    rig.wait(1.0)
    last = {round(command.stamp, 3): float(command.positions[0, 0]) for command in rig.commands["gripper"]}
    steps = np.diff(list(last.values())) / TICK_S
    assert np.abs(np.diff(steps)[1:]).max() < 5.0 * TICK_S * 1.1
    assert rig.supervisor.told(rig.now)


def test_a_reset_clears_neither_pause_nor_stop() -> None:
    rig = Rig()
    rig.operator.pause(rig.now)
    rig.operator.reset(rig.now)
    assert rig.state is State.PAUSED
    rig.operator.stop(rig.now)
    rig.operator.reset(rig.now)
    assert rig.state is State.STOPPED


def test_an_observation_from_before_a_reset_or_a_jump_does_not_go_on_although_it_comes_later() -> None:
    rig = Rig()
    rig.chunk()
    rig.wait(0.1)
    rig.operator.reset(rig.now)
    rig.wait(0.04)
    assert not rig.chunk(t_obs=rig.now - 0.05)
    assert not rig.chunk(), "the arm still brakes"
    rig.wait(0.3)
    assert not rig.chunk(t_obs=rig.now - 0.35)
    assert rig.chunk()
    rig.now -= 1.0
    rig.feed()
    rig.wait(0.04)
    assert not rig.chunk(t_obs=rig.now - 0.05)
    assert rig.chunk()
