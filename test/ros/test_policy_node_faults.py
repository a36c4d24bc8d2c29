"""A faulty input stops the arm, is named in the diagnostics, and is forgotten when the input is good again."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from test.ros.policy_node_stand import MAX_AGE_S, Stand, robot_parameters, running_policy_node
from test.ros.policy_stand_in import Behaviour
from test.ros.robot_stand_in import (
    Distortion,
    ends_at,
    is_hold,
    not_a_number,
    silent,
    stamped_late,
    stamped_zero,
    truncated,
    without_a_joint,
    wrong_encoding,
    wrong_size,
)

LATE_S = 0.5
"""How long a loaded machine may keep a thread waiting, s."""
BRAKING_S = 0.25
"""How long a hold brakes at most, s."""
BRAKED = 5e-3
"""The last step of a stream that comes to rest is smaller than this, rad."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with running_policy_node(tmp_path_factory.mktemp("node")) as stand:
        yield stand


@pytest.fixture
def stand(shared: Stand) -> Stand:
    shared.start_afresh()
    return shared


@pytest.mark.parametrize(
    ("name", "distortion", "counted"),
    [
        ("front", silent, "stale: front"),
        ("front", stamped_late, "stale: front"),
        ("front", stamped_zero, "unstamped: front"),
        ("front", wrong_encoding, "invalid: front"),
        ("front", wrong_size, "invalid: front"),
        ("front", truncated, "invalid: front"),
        ("state", silent, "stale: state"),
        ("state", stamped_late, "stale: state"),
        ("state", stamped_zero, "unstamped: state"),
        ("state", without_a_joint, "invalid: state"),
        ("state", not_a_number, "invalid: state"),
    ],
)
def test_a_faulty_input_stops_the_arm_until_it_is_good_again(
    stand: Stand, name: str, distortion: Distortion, counted: str
) -> None:
    robot = stand.robot
    with robot.fault(name, distortion) as began:
        before = robot.wait_for_diagnosis(f"holding: stale: {name}")
        told = time.time()
        robot.wait_for_frames(10)  # a hold brakes for a quarter of a second at most
        holds = {controller: robot.commanded(controller)[-1] for controller in robot.commands}
        commands = {controller: len(received) for controller, received in robot.commands.items()}
        after = robot.wait_for_diagnosis(f"holding: stale: {name}")  # a second later: ten chunks and fifty ticks
        assert commands == {controller: len(received) for controller, received in robot.commands.items()}
        last = time.time()
    assert after.level == DiagnosticStatus.ERROR
    assert value(after, f"refused: {counted}") > value(before, f"refused: {counted}")
    # Where a loaded machine ticks late, the plan comes to rest by itself as soon as a hold would, and nothing is said.
    assert is_hold(holds["arm"]) or ends_at(holds["arm"]) < told + BRAKING_S
    assert ends_at(holds["arm"]) - began < MAX_AGE_S + LATE_S + BRAKING_S
    assert holds["gripper"].data == pytest.approx(robot.commanded("gripper")[-2].data, abs=BRAKED)
    robot.wait_for_command("arm", last)


@pytest.mark.parametrize(
    ("behaviour", "counted"),
    [
        (Behaviour.NOT_FINITE, "inference failed: BadOutputError"),
        (Behaviour.WRONG_SHAPE, "inference failed: BadOutputError"),
        (Behaviour.NOT_READY, "inference failed: NotReadyError"),
    ],
)
def test_a_policy_that_fails_stops_the_arm_until_it_works_again(
    stand: Stand, behaviour: Behaviour, counted: str
) -> None:
    robot = stand.robot
    with robot.order("front", behaviour):
        status = robot.wait_for_diagnosis("holding: inference failed")
        hold = robot.commanded("arm")[-1]
        commands = len(robot.commands["arm"])
        after = robot.wait_for_diagnosis("holding: in")
        assert commands == len(robot.commands["arm"])
        last = time.time()
    assert value(after, counted) > value(status, counted)
    assert is_hold(hold)
    robot.wait_for_command("arm", last)
    assert stand.node.returncode is None


def value(status: Any, key: str) -> int:
    """The number that a status gives for `key`; 0 where it does not."""
    return next((int(pair.value) for pair in status.values if pair.key == key), 0)


def test_an_unforeseen_error_holds_every_controller_and_ends_the_node(tmp_path: Path) -> None:
    with running_policy_node(tmp_path, robot_parameters()) as stand:
        robot = stand.robot
        robot.wait_for_command("arm", time.time(), count=2)
        began = time.time()
        with robot.order("front", Behaviour.RAISES_UNFORESEEN):
            assert stand.node.wait(20.0) == 1
        assert "RuntimeError: unforeseen" in stand.node.text
        assert is_hold(robot.commanded("arm", began)[-1])
        held = robot.commanded("gripper", began)
        assert held[-1].data == pytest.approx(held[-2].data, abs=BRAKED)
