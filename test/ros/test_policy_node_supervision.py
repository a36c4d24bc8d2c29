"""The node watches the arm, listeners and other publishers; the arm stops even if the node or an inference dies."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Bool, Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from test.ros.policy_node_stand import ARM, Stand, robot_parameters, running_policy_node
from test.ros.policy_stand_in import Behaviour, Options
from test.ros.robot_stand_in import is_hold, seconds
from test.ros.ros_helpers import wait_until

PLAN_AGE_S = 0.8
PERIOD_S = 1.0 / 30.0
"""The period of the stand-in's controllers, s."""
LATE_S = 0.3
"""How long a busy machine may keep the stand-in waiting."""
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    parameters = robot_parameters(max_plan_age=PLAN_AGE_S)
    with running_policy_node(tmp_path, parameters, Options(slow_s=5.0)) as stand:
        stand.robot.wait_for_command("arm", time.time(), count=3)
        yield stand


def end_of(message: JointTrajectory) -> float:
    return seconds(message.header.stamp) + seconds(message.points[-1].time_from_start)


def newest_observation(stand: Stand, until: float) -> float:
    """The stamp of the newest observation whose chunk had come by the time `until`."""
    return max(seconds(each.message.header.stamp) for each in list(stand.robot.chunks) if each.time <= until)


def is_at_rest(stand: Stand) -> float:
    """Wait until the arm has not moved for a third of a second; gives the time at which it last moved."""
    last, moved = dict(stand.robot.positions), time.time()

    def still() -> bool:
        nonlocal last, moved
        if stand.robot.positions != last:
            last, moved = dict(stand.robot.positions), time.time()
        return time.time() - moved > 0.33

    wait_until(still, 10.0, "the arm is still moving")
    return moved


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_a_dead_node_leaves_the_arm_at_rest_within_the_age_of_a_plan(stand: Stand, fault: int) -> None:
    gone = time.time()
    if fault == signal.SIGKILL:
        stand.node.kill()
    else:
        stand.node.send(fault)
    try:
        moved = is_at_rest(stand)
        assert moved <= gone + PLAN_AGE_S + PERIOD_S + LATE_S
        # By the messages alone, whatever the machine's load: none reaches further than a plan may be followed. Before
        # the chunk of the last one was published, too, the node may have died.
        *others, last = list(stand.robot.commands["arm"])
        newest = newest_observation(stand, gone + 0.5)
        assert max(end_of(each.message) for each in others) <= newest + PLAN_AGE_S + 1e-3
        assert end_of(last.message) <= last.time + PLAN_AGE_S
    finally:
        stand.node.kill()


def test_a_hung_inference_leaves_the_arm_at_rest_within_the_age_of_a_plan(stand: Stand) -> None:
    with stand.robot.order("front", Behaviour.SLOW):
        status = stand.robot.wait_for_diagnosis("holding: plan too old")
        newest = newest_observation(stand, time.time())
    assert "a plan is followed for 0.80 s; an inference has taken 0." in status.message
    stream = stand.robot.commands["gripper"]
    moving = [each.time for each in stream if each.message.data != stream[-1].message.data]
    assert moving[-1] <= newest + PLAN_AGE_S + LATE_S
    ends = [end_of(message) for message in stand.robot.commanded("arm") if not is_hold(message)]
    assert max(ends) <= newest + PLAN_AGE_S + 1e-3


def test_a_frozen_arm_is_stopped_where_it_stands_and_goes_on_after_clearing_and_resuming(tmp_path: Path) -> None:
    with running_policy_node(tmp_path, robot_parameters(), Options(speed=0.0, ahead=0.6), wait=None) as stand:
        robot = stand.robot
        robot.frozen = True
        status = robot.wait_for_diagnosis("stopped: does not follow")
        last = robot.commanded("arm")[-1]
        assert status.level == DiagnosticStatus.ERROR
        # Within its limits back to where it is measured, and at rest there.
        assert list(last.points[-1].positions) == pytest.approx([0.0] * len(ARM), abs=1e-6)
        assert list(last.points[-1].velocities) == [0.0] * len(ARM)
        assert robot.commanded("gripper")[-1].data == pytest.approx([0.0], abs=1e-6)
        count = len(robot.commands["arm"])
        robot.wait_for_frames(20)
        assert len(robot.commands["arm"]) == count
        robot.frozen = False
        assert not stand.ask("resume").success
        assert stand.ask("clear_stop").success
        assert stand.ask("resume").success
        robot.wait_for_command("arm", time.time())


def test_another_publisher_on_a_command_topic_is_named_and_waited_for(stand: Stand) -> None:
    robot = stand.robot
    other = stand.participant.node.create_publisher(Float64MultiArray, "/gripper/command", 10)
    status = robot.wait_for_diagnosis("waiting: another publisher")
    assert "test_participant" in status.message
    count = len(robot.commands["arm"])
    robot.wait_for_frames(15)
    assert len(robot.commands["arm"]) == count
    stand.participant.node.destroy_publisher(other)
    robot.wait_for_command("arm", time.time())


def test_without_a_listener_nothing_is_commanded_and_inference_goes_on(tmp_path: Path) -> None:
    with running_policy_node(tmp_path, robot_parameters(), deaf=("gripper",)) as stand:
        status = stand.robot.wait_for_diagnosis("waiting: nobody listens")
        assert "gripper on /gripper/command" in status.message
        chunks = len(stand.robot.chunks)
        wait_until(lambda: len(stand.robot.chunks) > chunks + 3, 20.0, "no chunks")
        assert stand.robot.commands["arm"] == []
        listening = time.time()
        stand.robot.listen("gripper")
        for controller in ("arm", "gripper"):
            stand.robot.wait_for_command(controller, listening)
        first = stand.robot.commanded("gripper")[0]
        assert first.data == pytest.approx([0.0], abs=1e-6)


def test_the_enabling_topic_is_obeyed(tmp_path: Path) -> None:
    parameters = robot_parameters(**{"enable__topic": "/enable", "enable__timeout": 0.5})
    with running_policy_node(tmp_path, parameters) as stand:
        stand.robot.wait_for_diagnosis("waiting: not enabled")
        assert stand.robot.commands["arm"] == []
        enable = stand.participant.publisher(Bool, "/enable")
        timer = stand.participant.node.create_timer(0.1, lambda: enable.publish(Bool(data=True)))
        stand.robot.wait_for_command("arm", time.time())
        stand.participant.node.destroy_timer(timer)
        stand.robot.wait_for_diagnosis("waiting: not enabled")
        count = len(stand.robot.commands["arm"])
        stand.robot.wait_for_frames(15)
        assert len(stand.robot.commands["arm"]) == count


def test_a_shadow_commands_no_controller(tmp_path: Path) -> None:
    with running_policy_node(tmp_path, robot_parameters(shadow=True)) as stand:
        rehearsed = stand.participant.collect(JointTrajectory, "/policy_node/shadow/arm")
        statuses = stand.participant.collect(DiagnosticStatus, "/policy_node/status", LATCHED)
        wait_until(lambda: len(rehearsed) > 10, 20.0, "nothing is rehearsed")
        wait_until(lambda: statuses and statuses[-1].message == "commanding", 20.0, "it does not say that it commands")
        values = {pair.key: pair.value for pair in statuses[-1].values}
        assert values["shadow"] == "yes: commands go to no controller"  # else a recording would ascribe the operator's
        assert stand.robot.commands == {"arm": [], "gripper": []}


URDF = """<robot name="r"><link name="a"/><link name="b"/>
  <joint name="pan" type="revolute"><parent link="a"/><child link="b"/><axis xyz="0 0 1"/>
    <limit lower="-0.05" upper="0.05" effort="1" velocity="1"/></joint></robot>"""


def test_limits_come_from_the_robot_description_and_a_joint_without_any_is_refused(tmp_path: Path) -> None:
    unlimited = robot_parameters(joint__pan__min=None, joint__pan__max=None)
    (tmp_path / "refused").mkdir()
    with running_policy_node(tmp_path / "refused", unlimited, wait=None) as stand:
        assert stand.node.wait(60.0) == 2
        assert "joint.pan: no position limits" in stand.node.text
    with running_policy_node(tmp_path, unlimited, wait=None, description=URDF) as stand:
        stand.node.wait_for_line("active: waiting for")
        wait_until(lambda: pan_of(stand) == pytest.approx(0.05), 20.0, "the limit is not reached")
        assert max(pan_of(stand, message) for message in stand.robot.commanded("arm")) <= 0.05 + 1e-9


def pan_of(stand: Stand, message: Any = None) -> float:
    trajectories = stand.robot.commanded("arm")
    message = message or (trajectories[-1] if trajectories else None)
    return -1.0 if message is None else float(message.points[-1].positions[ARM.index("pan")])


def test_the_status_is_latched_repeated_and_has_a_deadline(stand: Stand) -> None:
    offered = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, deadline=Duration(seconds=1.0))
    latched = stand.participant.collect(DiagnosticStatus, "/policy_node/status", offered)
    wait_until(lambda: len(latched) >= 4, 20.0, "it is not repeated")
    values = {pair.key: pair.value for pair in latched[-1].values}
    assert latched[-1].message == "commanding"
    assert (values["who commands"], values["shadow"]) == ("policy", "")
    assert float(values["largest deviation"]) < 0.3
    assert stand.ask("pause").success
    wait_until(lambda: latched[-1].message == "paused", 5.0, "the change is not told")
    late = stand.participant.collect(DiagnosticStatus, "/policy_node/status", LATCHED)
    wait_until(lambda: late, 5.0, "it is not latched")
    assert np.isfinite(float({pair.key: pair.value for pair in late[0].values}["since"]))


def test_simulated_time_may_be_chosen_after_configure(stand: Stand) -> None:
    assert stand.set_parameters(use_sim_time=False).successful


def test_a_controller_is_asked_for_its_parameters_however_late_it_comes_and_again_when_it_comes_back(
    tmp_path: Path,
) -> None:
    def finding(expected: str) -> None:
        def is_found() -> bool:
            values = {pair.key: pair.value for pair in robot.wait_for_diagnosis("commanding").values}
            return expected in values.get("controller arm", "")

        wait_until(is_found, 15.0, f"no finding: {expected}")

    with running_policy_node(tmp_path, robot_parameters()) as stand:
        robot, absent = stand.robot, "it shows no parameters"
        stand.node.wait_for_line(f"controller arm: {absent}")
        finding(absent)
        controller = stand.participant.another_node("arm")  # its topic is /arm/command, so its services are in /arm
        controller.declare_parameter("joints", ARM)
        controller.declare_parameter("interpolate_from_desired_state", False)
        sentence = "each trajectory starts from where the arm is measured"
        stand.node.wait_for_line(f"controller arm: {sentence}")
        finding(sentence)
        assert stand.node.text.count(sentence) == 1
        stand.participant.remove(controller)
        finding(absent)
        controller = stand.participant.another_node("arm")
        controller.declare_parameter("joints", [*reversed(ARM), "another"])
        finding("it moves ")
