"""A clock that jumps, and ticks that come late."""

import pytest

from act_inference_ros.execution import reasons
from act_inference_ros.execution.states import State
from test.execution.rig import Rig


def test_a_clock_that_jumps_back_far_holds_where_the_arm_is() -> None:
    rig = Rig(**{"joint.grip.smooth": False})
    rig.positions |= {"pan": 0.1, "lift": 0.2, "grip": 0.3}
    rig.feed()
    rig.obeys = False
    rig.chunk(target=0.9)
    rig.wait(0.6)
    told = rig.targets[-1]
    rig.now = 5.0
    rig.pipeline.tick(rig.now)
    hold = rig.trajectories[-1]
    assert rig.is_hold(hold)
    assert hold.stamp == pytest.approx(5.0, abs=0.03)
    assert hold.positions[0] == pytest.approx([0.2, 0.1])
    assert rig.targets[-1] == told  # a gripper keeps what it was told
    assert rig.reason == reasons.CLOCK_JUMPED


def test_a_small_step_of_the_clock_back_holds_where_the_arm_was_told_to_be() -> None:
    rig = Rig()
    rig.chunk(target=0.9)
    rig.wait(0.3)
    told = rig.targets[-1]
    rig.now -= 0.005
    rig.pipeline.tick(rig.now)
    assert rig.targets[-1] == pytest.approx(told)
    rig.wait(0.1)
    assert rig.chunk()
    assert rig.targets[-1] == pytest.approx(told)


def test_a_late_tick_judges_only_after_the_messages_that_waited() -> None:
    rig = Rig()
    rig.chunk()
    rig.wait(0.1)
    rig.now += 0.25  # the process was stopped; the tick comes before the messages
    rig.pipeline.tick(rig.now)
    assert rig.state is State.COMMANDING
    rig.feed()
    rig.wait(0.02)
    assert rig.state is State.COMMANDING


def test_ticks_that_are_always_late_judge_all_the_same() -> None:
    rig = Rig()
    rig.chunk()
    for _ in range(2):
        rig.now += 0.25
        rig.pipeline.tick(rig.now)
    assert rig.state is State.HOLDING


EVENTS = {
    "pause": lambda rig: rig.operator.pause(rig.now),
    "stop": lambda rig: rig.operator.stop(rig.now),
    "reset": lambda rig: rig.operator.reset(rig.now),
    "go to start": lambda rig: rig.operator.go_to_start(rig.configuration.start_pose, rig.now),
    "a failed inference": lambda rig: rig.supervisor.fail(rig.now, "the server went away"),
    "another publisher": lambda rig: rig.supervisor.heard("arm", 1, ("/teleop",), rig.now),
    "deactivation": lambda rig: rig.supervisor.deactivate(rig.now),
    "a chunk": lambda rig: rig.chunk(),
    "new limits": lambda rig: rig.supervisor.configure(rig.configuration, rig.now),
    "messages": lambda rig: rig.feed(),
}


@pytest.mark.parametrize("event", EVENTS)
def test_whatever_comes_first_after_the_clock_jumped_back_nothing_goes_back_with_it(event: str) -> None:
    rig = Rig(start_pose=[0.5, 0.5, 0.5])
    for _ in range(10):
        rig.chunk(target=1.0)
        rig.wait(0.1)
    rig.obeys = False
    told = rig.targets[-1]
    sent = rig.silence()
    rig.now -= 1.0  # when the stream was told something else
    EVENTS[event](rig)
    assert rig.targets[-1] == pytest.approx(told)
    assert [len(each) for each in rig.commands.values()] == [sent[0] + 1, sent[1] + 1]
    assert rig.is_hold(rig.trajectories[-1])
    assert rig.supervisor.holds[reasons.CLOCK_JUMPED] == 1


def test_messages_that_come_before_the_tick_after_a_jump_are_of_use() -> None:
    rig = Rig()
    rig.chunk()
    rig.wait(0.1)
    rig.now -= 1.0
    rig.feed()
    rig.now += 0.005
    rig.pipeline.tick(rig.now)
    assert rig.pipeline.inputs.fresh(rig.now) is None


def test_a_clock_that_jumps_back_after_a_reset_does_not_refuse_all_that_comes() -> None:
    rig = Rig()
    rig.operator.reset(rig.now)
    rig.now -= 100.0
    rig.wait(0.1)
    assert rig.chunk()


def test_after_a_clock_jump_the_length_of_a_hold_counts_in_the_new_time() -> None:
    rig = Rig(resume_within=0.5)
    rig.chunk()
    rig.wait(0.1)
    rig.now = 5.0
    rig.pipeline.tick(rig.now)
    assert rig.state is State.HOLDING
    rig.silent = {"front"}
    rig.wait(0.7)
    assert rig.state is State.PAUSED


@pytest.mark.parametrize("back", [0.5, 1.0, 5.0])
def test_a_clock_that_jumps_back_while_the_arm_is_held_tells_every_controller_again_where_to_stay(back: float) -> None:
    rig = Rig()
    rig.chunk(target=0.9)
    rig.wait(0.4)
    rig.supervisor.fail(rig.now, "the server went away")
    rig.wait(0.6)
    told, sent = rig.supervisor.told(rig.now), len(rig.trajectories)
    rig.now -= back
    rig.pipeline.tick(rig.now)
    assert (rig.state, rig.reason) == (State.HOLDING, reasons.INFERENCE_FAILED)
    assert len(rig.trajectories) == sent + 1, "its last trajectory lies in the future now, and would be played again"
    assert rig.trajectories[-1].positions[:, 1] == pytest.approx(told["pan"], abs=1e-6)


def test_a_clock_that_jumps_back_while_somebody_may_move_the_arm_sends_nothing() -> None:
    rig = Rig()
    rig.chunk(target=0.9)
    rig.wait(0.4)
    rig.operator.pause(rig.now)
    rig.wait(0.6)
    sent = rig.silence()
    rig.now -= 1.0
    rig.pipeline.tick(rig.now)
    assert rig.silence() == sent
