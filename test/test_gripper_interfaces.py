"""What a gripper's parameters may say, and how commands become goals of control_msgs and results are read back."""

import math
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

from sensor_msgs.msg import JointState

from act_inference_ros.errors import ConfigurationError, MissingDependencyError, ObservationError
from act_inference_ros.interfaces import ACTIONS, Command, command_interface
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.robot.devices import DEFAULT_DEADBAND
from act_inference_ros.ros.messages import make_message, message_class
from test.control_msgs_look_alikes import GripperCommand, ParallelGripperCommand, control_msgs_installed

GIVEN = {
    "state.topic": "/s", "state.joints": ["a", "b", "grip"], "joint.grip.smooth": False,
    "controllers": ["arm", "hand"], "controller.arm.topic": "/a", "controller.arm.joints": ["a", "b"],
    "controller.hand.topic": "/hand/gripper_cmd", "controller.hand.joints": ["grip"],
}  # fmt: skip


@pytest.fixture
def _control_msgs() -> Iterator[None]:
    with control_msgs_installed():
        yield


def configured(interface: str, **changes: Any) -> RobotConfiguration:
    given = {name.replace("__", "."): value for name, value in changes.items()}
    return RobotConfiguration.from_parameters(GIVEN | {"controller.hand.interface": interface} | given)


def problem_with(interface: str, **changes: Any) -> str:
    with pytest.raises(ConfigurationError) as refusal:
        configured(interface, **changes)
    return str(refusal.value)


def goal(interface: str, position: float, max_effort: float | None) -> Any:
    row = command_interface(interface)
    command = Command(1.5, np.zeros(1), np.array([[position]]), max_effort=max_effort)
    return message_class(row.action.type).Goal(command=row.write(make_message, ["grip"], command))


@pytest.mark.usefixtures("_control_msgs")
def test_a_parallel_grippers_goal_names_the_joint_its_position_and_its_effort() -> None:
    command = goal("parallel_gripper_action", 0.02, 15.0).command
    assert list(command.name) == ["grip"]
    assert list(command.position) == [0.02]
    assert list(command.effort) == [15.0]
    assert list(command.velocity) == []


@pytest.mark.usefixtures("_control_msgs")
def test_a_parallel_grippers_effort_is_left_out_if_nobody_gave_one() -> None:
    assert list(goal("parallel_gripper_action", 0.02, None).command.effort) == []


@pytest.mark.usefixtures("_control_msgs")
@pytest.mark.parametrize(("given", "said"), [(15.0, 15.0), (None, 0.0)])
def test_a_grippers_goal_has_a_position_and_an_effort(given: float | None, said: float) -> None:
    command = goal("gripper_action", 0.02, given).command
    assert (command.position, command.max_effort) == (0.02, said)


@pytest.mark.usefixtures("_control_msgs")
@pytest.mark.parametrize("interface", ACTIONS)
def test_what_is_written_is_read_back(interface: str) -> None:
    read = command_interface(interface).read(["grip"], goal(interface, 0.02, 3.0).command)
    assert read.positions.tolist() == [[0.02]]


@pytest.mark.usefixtures("_control_msgs")
def test_a_gripper_command_that_says_nothing_is_refused() -> None:
    row = command_interface("gripper_action")
    with pytest.raises(ObservationError, match="finite"):
        row.read(["grip"], goal("gripper_action", math.nan, None).command)
    with pytest.raises(ObservationError, match="one joint"):
        row.read(["grip", "other"], goal("gripper_action", 0.0, None).command)


@pytest.mark.usefixtures("_control_msgs")
def test_a_control_msgs_that_is_too_old_is_not_called_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sys.modules["control_msgs.action"], "ParallelGripperCommand")
    with pytest.raises(MissingDependencyError, match="not in the control_msgs that is installed; install a newer"):
        message_class("control_msgs/action/ParallelGripperCommand")


def test_a_grippers_result_is_read() -> None:
    row = command_interface("gripper_action")
    result = row.action.read_result(GripperCommand.Result(0.031, 12.0, stalled=True))
    assert result == (0.031, 12.0, False, True)


def test_a_parallel_grippers_result_is_read_with_and_without_effort() -> None:
    read = command_interface("parallel_gripper_action").action.read_result
    state = JointState(name=["grip"], position=[0.02], effort=[3.0])
    assert read(ParallelGripperCommand.Result(state, reached_goal=True)) == (0.02, 3.0, True, False)
    silent = read(ParallelGripperCommand.Result(stalled=True))
    assert math.isnan(silent.position)
    assert math.isnan(silent.effort)


@pytest.mark.parametrize("interface", ACTIONS)
def test_a_gripper_has_a_deadband_and_an_effort_from_the_file(interface: str) -> None:
    hand = configured(interface, controller__hand__deadband=0.003, controller__hand__max_effort=20.0).controllers[1]
    assert (hand.deadband, hand.max_effort) == (0.003, 20.0)
    unsaid = configured(interface).controllers[1]
    assert (unsaid.deadband, unsaid.max_effort) == (DEFAULT_DEADBAND, None)


@pytest.mark.parametrize("interface", ["joint_trajectory", "position_stream", "joint_state"])
@pytest.mark.parametrize("name", ["deadband", "max_effort"])
def test_other_interfaces_refuse_what_is_only_for_goals(interface: str, name: str) -> None:
    text = problem_with(interface, **{f"controller__hand__{name}": 0.5})
    assert f"controller.hand.{name}: {interface} sends no goals" in text
    assert "parallel_gripper_action" in text


@pytest.mark.parametrize("name", ["deadband", "max_effort"])
def test_a_negative_number_is_refused(name: str) -> None:
    text = problem_with("gripper_action", **{f"controller__hand__{name}": -0.5})
    assert f"controller.hand.{name}: expected a number from 0, got -0.5" in text


@pytest.mark.parametrize("interface", ACTIONS)
def test_a_gripper_action_moves_exactly_one_joint(interface: str) -> None:
    text = problem_with(
        interface, controller__arm__joints=["a"], controller__hand__joints=["b", "grip"], joint__b__smooth=False
    )
    assert f"controller.hand.joints: {interface} moves one joint, got ['b', 'grip']" in text


@pytest.mark.parametrize("interface", ACTIONS)
def test_a_gripper_that_would_let_go_in_a_hold_is_refused(interface: str) -> None:
    assert "joint.grip.smooth: false" in problem_with(interface, joint__grip__smooth=True)
