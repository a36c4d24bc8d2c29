"""sim_robot over real topics: it publishes, obeys, refuses and ends as a ros2_control robot would."""

import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from builtin_interfaces.msg import Time
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.qos import qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from act_inference_ros.simulation.scene import DemoArm
from test.ros.robot_stand_in import seconds
from test.ros.ros_helpers import NodeProcess, Participant, wait_until
from test.ros.sim_robot_stand import ARM, ARM_TOPIC, GOAL, GRIPPER_TOPIC, StartRobot, is_at, start_robot, trajectory

__all__ = ["start_robot"]


def image_array(message: Any) -> npt.NDArray[Any]:
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)


def test_publishes_joints_by_name_in_another_order_than_the_policy(
    start_robot: StartRobot, participant: Participant
) -> None:
    start_robot()
    states = participant.collect(JointState, "/joint_states")
    wait_until(lambda: len(states) > 5, 20.0)
    assert sorted(states[-1].name) == sorted(DemoArm.JOINTS)
    assert list(states[-1].name) != list(DemoArm.JOINTS)
    assert len(states[-1].velocity) == len(DemoArm.JOINTS)
    assert is_at(states, list(DemoArm.JOINTS), list(DemoArm.HOME))


def test_follows_trajectories_of_both_controllers_to_their_ends(
    start_robot: StartRobot, participant: Participant
) -> None:
    start_robot()
    states = participant.collect(JointState, "/joint_states")
    arm = participant.publisher(JointTrajectory, ARM_TOPIC)
    gripper = participant.publisher(JointTrajectory, GRIPPER_TOPIC)
    stamp = participant.node.get_clock().now().to_msg()
    arm.publish(trajectory(ARM[::-1], [0.2, 1.6, 1.5, -0.6, 0.3], GOAL[::-1], stamp=stamp))
    gripper.publish(trajectory(["grip"], [0.01]))
    wait_until(lambda: is_at(states, [*ARM, "grip"], [*GOAL, 0.01]), 20.0, "the goal is not reached")
    assert max(abs(v) for state in states for v in state.velocity) > 0.1


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (trajectory(ARM, GOAL, stamp=Time(sec=1000)), "ends in the past"),
        (trajectory([*ARM[:-1], "grip"], GOAL), "got joints"),
        (trajectory(ARM), "empty trajectory"),
    ],
)
def test_refuses_a_wrong_trajectory_and_says_why(
    start_robot: StartRobot, participant: Participant, command: Any, reason: str
) -> None:
    robot = start_robot()
    states = participant.collect(JointState, "/joint_states")
    arm = participant.publisher(JointTrajectory, ARM_TOPIC)
    gripper = participant.publisher(JointTrajectory, GRIPPER_TOPIC)
    arm.publish(command)
    robot.wait_for_line(f"command refused: {ARM_TOPIC}: .*{reason}")
    # What the gripper does afterwards shows that the refused command would have been obeyed by now.
    gripper.publish(trajectory(["grip"], [0.01], step_s=1.0))
    wait_until(lambda: is_at(states, ["grip"], [0.01]), 20.0)
    assert is_at(states, ARM, list(DemoArm.HOME[:5]))


def test_obeys_position_vectors(start_robot: StartRobot, participant: Participant) -> None:
    start_robot(interface="position_stream")
    states = participant.collect(JointState, "/joint_states")
    participant.publisher(Float64MultiArray, "/arm_controller/commands").publish(Float64MultiArray(data=GOAL))
    participant.publisher(Float64MultiArray, "/gripper_controller/commands").publish(Float64MultiArray(data=[0.01]))
    wait_until(lambda: is_at(states, [*ARM, "grip"], [*GOAL, 0.01]), 20.0)


def test_obeys_joint_state_commands(start_robot: StartRobot, participant: Participant) -> None:
    start_robot(interface="joint_state")
    states = participant.collect(JointState, "/joint_states")
    arm, gripper = JointState(name=ARM[::-1], position=GOAL[::-1]), JointState(name=["grip"], position=[0.01])
    participant.publisher(JointState, "/arm_controller/joint_commands").publish(arm)
    participant.publisher(JointState, "/gripper_controller/joint_commands").publish(gripper)
    wait_until(lambda: is_at(states, [*ARM, "grip"], [*GOAL, 0.01]), 20.0)


def test_raw_and_compressed_show_the_same_and_a_covered_camera_shows_black(
    start_robot: StartRobot, participant: Participant
) -> None:
    start_robot(image_width=64, image_height=48)
    raw = participant.collect(Image, "/front/image_raw", qos_profile_sensor_data)
    compressed = participant.collect(CompressedImage, "/front/image_raw/compressed", qos_profile_sensor_data)
    wait_until(lambda: raw and compressed, 20.0)
    image = image_array(raw[-1])
    jpeg = cv2.cvtColor(cv2.imdecode(np.frombuffer(compressed[-1].data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert image.shape == jpeg.shape == (48, 64, 3)
    assert raw[-1].encoding == "rgb8"
    assert image.std() > 10
    assert np.abs(image.astype(int) - jpeg).mean() < 5
    value = ParameterValue(type=ParameterType.PARAMETER_BOOL, bool_value=True)
    request = SetParameters.Request(parameters=[Parameter(name="cover_camera", value=value)])
    assert participant.call(SetParameters, "/sim_robot/set_parameters", request).results[0].successful
    wait_until(lambda: image_array(raw[-1]).max() == 0, 20.0, "no black image")


def test_reset_brings_the_arm_home_and_the_cube_elsewhere(start_robot: StartRobot, participant: Participant) -> None:
    start_robot()
    states = participant.collect(JointState, "/joint_states")
    images = participant.collect(Image, "/front/image_raw", qos_profile_sensor_data)
    participant.publisher(JointTrajectory, ARM_TOPIC).publish(trajectory(ARM, GOAL))
    wait_until(lambda: images and is_at(states, ARM, GOAL), 20.0)
    before = image_array(images[0])
    assert participant.call(Trigger, "/sim_robot/reset").success
    seen = len(images)
    wait_until(lambda: is_at(states, ARM, list(DemoArm.HOME[:5])), 5.0, "not at home")
    wait_until(lambda: len(images) > seen + 3, 5.0)
    red = [np.argwhere((i[..., 0] > 120) & (i[..., 1] < 60)).mean(axis=0) for i in (before, image_array(images[-1]))]
    assert np.linalg.norm(red[0] - red[1]) > 3, "the cube is where it was"


def test_a_command_stamped_before_the_reset_is_not_obeyed(start_robot: StartRobot, participant: Participant) -> None:
    start_robot()
    states = participant.collect(JointState, "/joint_states")
    arm = participant.publisher(JointTrajectory, ARM_TOPIC)
    gripper = participant.publisher(JointTrajectory, GRIPPER_TOPIC)
    wait_until(lambda: states, 20.0)
    old = participant.node.get_clock().now().to_msg()
    assert participant.call(Trigger, "/sim_robot/reset").success
    wait_until(lambda: _reached_after_publishing(gripper, states, 0.01), 20.0, "takes no commands again")
    arm.publish(trajectory(ARM, GOAL, GOAL, step_s=5.0, stamp=old))
    gripper.publish(trajectory(["grip"], [0.03], step_s=1.0))
    wait_until(lambda: is_at(states, ["grip"], [0.03]), 20.0)
    assert is_at(states, ARM, list(DemoArm.HOME[:5]))


def test_the_simulated_clock_keeps_to_its_speed_and_stamps_the_joint_states(
    start_robot: StartRobot, participant: Participant
) -> None:
    start_robot(publish_clock=True, real_time_factor=0.5)
    clock = participant.collect(Clock, "/clock")
    states = participant.collect(JointState, "/joint_states")
    wall = participant.node.get_clock()
    wait_until(lambda: clock and states, 20.0)
    start_wall, start = wall.now().nanoseconds, clock[-1].clock
    wait_until(lambda: seconds(clock[-1].clock) - seconds(start) > 1.0, 20.0)
    elapsed_wall_s = (wall.now().nanoseconds - start_wall) * 1e-9
    assert elapsed_wall_s > 1.5, "faster than half of real time"
    assert abs(seconds(states[-1].header.stamp) - seconds(clock[-1].clock)) < 0.5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_quickly_and_without_a_traceback(start_robot: StartRobot, number: int) -> None:
    robot = start_robot(episodes=3)
    assert robot.stop(number, deadline_s=5.0) == 0
    assert "Traceback" not in robot.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ros-args", "-p", "camera_rate:=900.0"], "camera_rate: expected a number from 1 to 60, got 900.0"),
        (["--ros-args", "-p", "interface:=telepathy"], "interface: expected one of joint_trajectory"),
        (["--ros-args", "-p", "nonsense"], "Couldn't parse parameter override rule"),
        (["--fast"], "unrecognized arguments: --fast"),
    ],
)
def test_a_mistake_is_answered_with_one_line_and_status_2(
    tmp_path: Path, environment: dict[str, str], arguments: list[str], message: str
) -> None:
    output = tmp_path / "out.txt"
    with NodeProcess.module(
        "act_inference_ros.ros.sim.sim_robot", *arguments, environment=environment, output=output
    ) as robot:
        assert robot.wait(30.0) == 2
        assert message in robot.text.splitlines()[-1]
        assert "Traceback" not in robot.text


def _reached_after_publishing(gripper: Any, states: list[Any], position: float) -> bool:
    gripper.publish(trajectory(["grip"], [position], step_s=0.1))
    try:
        return bool(wait_until(lambda: is_at(states, ["grip"], [position]), 1.0))
    except AssertionError:
        return False
