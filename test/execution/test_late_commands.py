"""A command that could not be published in time is not published; another one is made for the time that it is then."""

import numpy as np
import pytest

from act_inference_ros.control.cubic import Cubic
from act_inference_ros.execution import reasons
from act_inference_ros.execution.late_command import LateCommand
from act_inference_ros.execution.states import State
from act_inference_ros.interfaces import Command
from test.execution.rig import LEAD_S, TICK_S, Rig

LATE_S = 0.2
PLAN = np.linspace([0.0, 0.0, 0.0], [0.6, -0.4, 0.5], 10).astype(np.float32)
BACK = np.linspace([0.3, -0.2, 0.25], [-0.4, 0.4, 0.0], 10).astype(np.float32)


def commanding(**changes: object) -> Rig:
    rig = Rig(**{"controller.arm.overlap": "on"} | changes)
    assert rig.rows(PLAN)
    rig.wait(0.3)
    assert rig.state is State.COMMANDING
    return rig


def lose(rig: Rig, controller: str = "arm", in_a_row: int = 1) -> None:
    """The newest command of a controller is not published, and time passes meanwhile."""
    command = rig.commands[controller].pop()
    rig.now += LATE_S
    rig.feed()
    rig.supervisor.not_published(controller, LateCommand(command, LATE_S - LEAD_S, in_a_row), rig.now)


def motion(command: Command) -> Cubic:
    assert command.velocities is not None
    return Cubic(command.stamp, command.times, command.positions, command.velocities)


def goes_on_from(published: Command, command: Command, now: float) -> bool:
    """Whether a trajectory that is published now begins with what the controller is doing."""
    was, is_now = motion(published).at(now), motion(command).at(now)
    same = np.abs(was.position - is_now.position).max() < 1e-5 and np.abs(was.velocity - is_now.velocity).max() < 1e-3
    return bool(same and was.velocity.any())


def test_a_plan_that_came_too_late_is_told_again_from_what_the_controller_is_doing() -> None:
    rig = commanding()
    published = rig.trajectories[-1]
    assert rig.rows(BACK)
    assert rig.trajectories[-1] is not published
    lose(rig)
    assert rig.trajectories[-1] is published
    rig.wait(2 * TICK_S)  # the first tick after a pause only lets messages pass
    assert rig.state is State.COMMANDING
    assert len(rig.trajectories) == 2
    again = rig.trajectories[-1]
    assert goes_on_from(published, again, rig.now)
    assert again.publish_by == pytest.approx(rig.now + LEAD_S)
    rig.wait(0.4)
    assert rig.supervisor.told(rig.now)["pan"] < 0.0, "the new plan was not followed"
    assert rig.supervisor.published_late == {"arm": 1}


def test_a_hold_that_came_too_late_is_told_again() -> None:
    rig = commanding()
    published = rig.trajectories[-1]
    rig.operator.pause(rig.now)
    assert rig.is_hold(rig.trajectories[-1])
    lose(rig)
    assert rig.supervisor.unfinished
    rig.wait(2 * TICK_S)
    assert rig.state is State.PAUSED
    again = rig.trajectories[-1]
    assert rig.is_hold(again)
    assert goes_on_from(published, again, rig.now)
    rig.wait(0.5)
    assert rig.trajectories[-1] is again
    assert not rig.supervisor.unfinished


def test_a_stop_where_the_arm_is_measured_is_told_again_as_such() -> None:
    rig = commanding(**{"joint.pan.max_deviation": 0.1, "joint.lift.max_deviation": 0.1})
    rig.obeys = False
    while rig.state is State.COMMANDING:
        rig.wait(TICK_S)
    assert rig.reason == reasons.NOT_FOLLOWING
    lose(rig)
    rig.wait(2 * TICK_S)
    measured = [rig.positions[joint] for joint in ("lift", "pan")]
    assert rig.trajectories[-1].positions[-1] == pytest.approx(measured)
    assert rig.state is State.STOPPED


def test_a_motion_whose_first_command_came_too_late_has_not_begun() -> None:
    rig = Rig()
    assert rig.rows(PLAN)
    lose(rig)
    assert (rig.state, rig.reason) == (State.HOLDING, reasons.PUBLISHED_LATE)
    assert "arm: a command was ready 0.180 s too late" in rig.supervisor.standing.detail
    assert rig.trajectories == []
    rig.obeys = False
    rig.positions |= {"pan": 0.05, "lift": 0.04}  # somebody has moved the arm meanwhile
    rig.wait(0.12)  # the gripper, whose motion had begun, is at rest again
    assert rig.rows(PLAN)
    assert rig.state is State.COMMANDING
    assert rig.trajectories[-1].positions[0] == pytest.approx([0.04, 0.05], abs=0.01)


def test_a_stream_whose_first_target_came_too_late_has_not_moved() -> None:
    rig = Rig()
    rig.obeys = False
    rig.positions |= {"grip": 0.3}
    rig.feed()
    assert rig.rows(PLAN + np.float32(0.3))
    lose(rig, "gripper")
    assert (rig.state, rig.reason) == (State.HOLDING, reasons.PUBLISHED_LATE)
    assert rig.targets == [0.3]
    rig.wait(0.1)
    assert set(rig.targets) == {0.3}
    assert rig.rows(PLAN + np.float32(0.3))
    assert rig.targets[-1] == 0.3


def test_commands_that_are_late_again_and_again_end_in_a_hold() -> None:
    rig = commanding()
    published = rig.trajectories[-1]
    for in_a_row in (1, 2, 3):
        assert rig.rows(BACK)
        command = rig.trajectories.pop()
        rig.supervisor.not_published("arm", LateCommand(command, 0.01, in_a_row), rig.now)
    assert (rig.state, rig.reason) == (State.HOLDING, reasons.PUBLISHED_LATE)
    assert "3 commands, one after the other, were ready 0.010 s too late" in rig.supervisor.standing.detail
    assert goes_on_from(published, rig.trajectories[-1], rig.now)
    assert rig.is_hold(rig.trajectories[-1])


def test_what_was_built_on_a_late_command_goes_with_it() -> None:
    rig = commanding()
    published = rig.trajectories[-1]
    assert rig.rows(BACK)
    late = rig.trajectories[-1]
    rig.wait(TICK_S)
    assert rig.rows(BACK + np.float32(0.02))
    rig.operator.stop(rig.now)
    del rig.trajectories[rig.trajectories.index(published) + 1 :]
    rig.supervisor.not_published("arm", LateCommand(late, 0.05, 1), rig.now)
    rig.wait(TICK_S)
    assert len(rig.trajectories) == 2
    assert goes_on_from(published, rig.trajectories[-1], rig.now)
    assert rig.state is State.STOPPED


def test_a_reset_does_not_forget_a_hold_that_was_not_published() -> None:
    rig = commanding()
    published = rig.trajectories[-1]
    rig.operator.pause(rig.now)
    lose(rig)
    rig.operator.reset(rig.now)
    rig.wait(2 * TICK_S)
    assert rig.is_hold(rig.trajectories[-1])
    assert goes_on_from(published, rig.trajectories[-1], rig.now)


def test_the_way_to_rest_of_a_node_that_ends_is_told_again() -> None:
    rig = commanding()
    published = rig.trajectories[-1]
    rig.supervisor.brake(rig.now, "")
    lose(rig)
    assert rig.supervisor.unfinished
    rig.supervisor.finish(rig.now)
    assert goes_on_from(published, rig.trajectories[-1], rig.now)
    assert rig.is_hold(rig.trajectories[-1])


@pytest.mark.parametrize("holds", [False, True])
def test_a_target_that_came_too_late_leaves_no_step(holds: bool) -> None:
    rig = commanding()
    before = rig.targets[-1]
    if holds:
        rig.operator.pause(rig.now)
    else:
        rig.wait(TICK_S)
    lose(rig, "gripper")
    assert rig.targets[-1] == before
    rig.wait(0.4)
    steps = np.abs(np.diff(rig.targets))
    assert steps.max() <= rig.configuration.action.joints[2].max_velocity * TICK_S * (1.0 + 1e-5)
    speeds = np.diff(rig.targets) / np.diff([command.stamp for command in rig.commands["gripper"]])
    assert speeds[0] > 0.05
    count = len(rig.targets)
    rig.wait(0.1)
    assert (len(rig.targets) == count) == holds
    assert rig.targets[-1] == rig.supervisor.told(rig.now)["grip"]


def test_a_clock_that_jumped_back_has_made_everything_anew_already() -> None:
    rig = commanding()
    command = rig.trajectories[-1]
    rig.now -= 10.0
    rig.supervisor.not_published("arm", LateCommand(command, 0.1, 1), rig.now)
    assert rig.reason == reasons.CLOCK_JUMPED
    assert rig.supervisor.published_late == {}


def test_a_motion_whose_holds_were_all_late_is_not_known_after_a_deactivation() -> None:
    rig = Rig()
    rig.chunk()
    rig.wait(0.3)
    rig.supervisor.brake(rig.now, "")
    for _ in range(10):
        rig.supervisor.not_published("arm", LateCommand(rig.trajectories[-1], 0.03, 1), rig.now)
        rig.now += TICK_S
        rig.supervisor.finish(rig.now)
    rig.supervisor.not_published("arm", LateCommand(rig.trajectories[-1], 0.03, 1), rig.now)
    rig.supervisor.deactivate(rig.now)
    assert rig.supervisor.told(rig.now) == {}
    rig.now += 600.0
    rig.obeys = False
    rig.positions = dict.fromkeys(rig.positions, 0.5)
    rig.supervisor.activate(rig.now)
    rig.wait(0.1)
    assert rig.chunk(target=0.6)
    assert rig.trajectories[-1].positions[0] == pytest.approx([0.5, 0.5])
