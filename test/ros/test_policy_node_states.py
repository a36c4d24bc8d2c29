"""An arm driver and a gripper driver that each publish their own joint states: one node, one observation."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sensor_msgs.msg import JointState

from test.ros.policy_node_stand import ARM, Stand, robot_parameters, running_policy_node
from test.ros.robot_stand_in import JOINTS, RobotStandIn, not_a_number, seconds, silent
from test.ros.ros_helpers import wait_until

ARM_STATES, HAND_STATES = "/arm/joint_states", "/hand/joint_states"
DRIVERS = {ARM_STATES: JOINTS[:5], HAND_STATES: JOINTS[5:]}


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    parameters = robot_parameters(state__topic=None, state__topics=list(DRIVERS))
    with running_policy_node(tmp_path_factory.mktemp("node"), parameters, drivers=DRIVERS) as running:
        yield running


def test_both_drivers_together_move_the_arm_from_where_they_measure_it(stand: Stand) -> None:
    robot = stand.robot
    home = dict(zip(JOINTS, [0.1, 0.2, 0.3, 0.4, 0.5, -0.6], strict=True))
    stand.start_afresh()
    with robot.fault("front", silent):
        robot.wait_for_diagnosis("holding: stale: front")
        robot.wait_for_rest()
        robot.positions = home
        robot.wait_for_frames(5)
        at = time.time()
    first = robot.wait_for_command("arm", at)[0]
    assert list(first.joint_names) == ARM
    assert first.points[0].positions == pytest.approx([home[name] for name in ARM], abs=0.05)
    assert robot.wait_for_command("gripper", at)[0].data == pytest.approx([-0.6], abs=0.02)
    # The stand-in's chunk begins at the state that it was given: each joint has got the number of its own driver.
    chunk = wait_until(lambda: chunk_observed_after(robot, at), 20.0, "no chunk")
    begun = dict(zip(chunk.joint_names, chunk.points[0].positions, strict=True))
    assert begun == pytest.approx(home, abs=0.1)
    ages = {pair.key: pair.value for pair in robot.wait_for_diagnosis("commanding").values if "age of" in pair.key}
    assert set(ages) >= {f"age of state {topic} [s]" for topic in DRIVERS}
    assert all(float(ages[f"age of state {topic} [s]"]) < 1.0 for topic in DRIVERS)


def chunk_observed_after(robot: RobotStandIn, at: float) -> Any:
    chunks = [received.message for received in list(robot.chunks)]
    return next((chunk for chunk in chunks if seconds(chunk.header.stamp) > at), None)


@pytest.mark.parametrize(
    ("lost", "joints"), [(HAND_STATES, "grip"), (ARM_STATES, "pan, lift, elbow, wrist, roll")], ids=["hand", "arm"]
)
def test_a_driver_that_is_lost_holds_the_arm_by_name_until_it_is_back(stand: Stand, lost: str, joints: str) -> None:
    robot = stand.robot
    stand.start_afresh()
    with robot.fault(lost, silent):
        status = robot.wait_for_diagnosis(f"holding: stale: state {lost}")
        detail = next(pair.value for pair in status.values if pair.key == "detail")
        assert detail.endswith(f"it has {joints}")
        back = time.time()
    assert len(robot.wait_for_command("arm", back, count=3)) >= 3  # nobody has done anything
    robot.wait_for_diagnosis("commanding")


def test_a_driver_that_sends_no_numbers_holds_the_arm_by_joint_and_topic(stand: Stand) -> None:
    robot = stand.robot
    stand.start_afresh()
    with robot.fault(ARM_STATES, not_a_number):
        status = robot.wait_for_diagnosis(f"holding: stale: state {ARM_STATES}")
        assert "expected finite numbers, got {'wrist': nan}" in status.message
        back = time.time()
    robot.wait_for_command("arm", back, count=2)


def test_a_joint_that_both_drivers_publish_holds_the_arm_and_names_both(stand: Stand) -> None:
    robot = stand.robot
    stand.start_afresh()

    def with_the_wrist(message: JointState) -> JointState:
        message.name = [*message.name, "wrist"]
        message.position = [*message.position, 1.0]
        return message

    with robot.fault(HAND_STATES, with_the_wrist):
        status = robot.wait_for_diagnosis("holding: ")
        assert "published twice" in status.message
        assert "wrist on " in status.message
        assert ARM_STATES in status.message
        assert HAND_STATES in status.message
        back = time.time()
    robot.wait_for_command("arm", back, count=2)


def test_the_node_waits_by_name_for_a_driver_that_never_came(tmp_path: Path) -> None:
    parameters = robot_parameters(state__topic=None, state__topics=list(DRIVERS))
    only_the_arm = {ARM_STATES: JOINTS[:5]}
    with running_policy_node(tmp_path, parameters, drivers=only_the_arm) as alone:
        status = alone.robot.wait_for_diagnosis(f"waiting: missing: state {HAND_STATES}")
        assert "nothing yet; no other topic has grip" in status.message
        assert not alone.robot.commanded("arm")
