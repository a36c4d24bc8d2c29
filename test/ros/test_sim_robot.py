"""sim_robot over real topics: it publishes, obeys, refuses and ends as a ros2_control robot would."""

import functools
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Duration, Time
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.parameter import parameter_value_to_python
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from act_inference_ros.simulation.scene import DemoArm
from test.ros.ros_helpers import NodeProcess, Participant, wait_until

ARM = ["pan", "shoulder", "elbow", "wrist", "roll"]
ARM_TOPIC = "/arm_controller/joint_trajectory"
GRIPPER_TOPIC = "/gripper_controller/joint_trajectory"
GOAL = [0.6, -0.8, 1.4, 1.5, 0.4]
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
KEPT = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
TOLERANCE = {"grip": 0.005}

StartRobot = Callable[..., NodeProcess]


@pytest.fixture
def start_robot(tmp_path: Path, environment: dict[str, str]) -> Iterator[StartRobot]:
    running: list[NodeProcess] = []

    def start(**parameters: object) -> NodeProcess:
        arguments = ["--ros-args"]
        for name, value in parameters.items():
            arguments += ["-p", f"{name}:={str(value).lower() if isinstance(value, bool) else value}"]
        robot = NodeProcess.module(
            "act_inference_ros.ros.sim.sim_robot",
            *arguments,
            environment=environment,
            output=tmp_path / f"sim_robot_{len(running)}.txt",
        )
        robot.__enter__()
        running.append(robot)
        robot.wait_for_line("listening to")
        return robot

    yield start
    for robot in running:
        robot.__exit__(None, None, None)


def trajectory(joints: list[str], *points: list[float], step_s: float = 0.3, stamp: Time | None = None) -> Any:
    """Points `step_s` apart, from `step_s` after the stamp on; without a stamp, from now."""
    message = JointTrajectory(joint_names=joints)
    message.header.stamp = stamp or Time()
    for index, positions in enumerate(points):
        nanoseconds = round((index + 1) * step_s * 1e9)
        duration = Duration(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)
        message.points.append(JointTrajectoryPoint(positions=positions, time_from_start=duration))
    return message


def positions_of(joint_state: Any, joints: list[str]) -> list[float]:
    by_name = dict(zip(joint_state.name, joint_state.position, strict=True))
    return [by_name[joint] for joint in joints]


def is_at(states: list[Any], joints: list[str], goal: list[float]) -> bool:
    tolerance = [TOLERANCE.get(joint, 0.06) for joint in joints]
    return bool(states) and bool((np.abs(np.subtract(positions_of(states[-1], joints), goal)) < tolerance).all())


def image_array(message: Any) -> np.ndarray:
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


class PolicyStandIn:
    """The policy node as far as sim_robot knows it: notes what is asked of it, and says whatever state is wanted."""

    def __init__(self, participant: Participant, *services: str) -> None:
        self.asked: list[str] = []
        self._status = participant.node.create_publisher(DiagnosticStatus, "/policy_node/status", LATCHED)
        for name in services:
            participant.node.create_service(Trigger, f"/policy_node/{name}", functools.partial(self._answer, name))

    def say(self, state: str, reason: str, since: str = "1.000") -> None:
        values = {"reason": reason, "detail": "elbow", "since": since}
        pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
        self._status.publish(DiagnosticStatus(message=state, values=pairs))

    def _answer(self, name: str, _: Any, response: Any) -> Any:
        self.asked.append(name)
        response.success = True
        return response


ALL_SERVICES = ("pause", "resume", "reset", "clear_stop")


@pytest.mark.parametrize(
    ("services", "asked"),
    [(ALL_SERVICES, ["pause", "reset", "resume"]), (("reset",), ["reset"]), ((), [])],
    ids=["all", "reset only", "none"],
)
def test_reports_each_episode_has_the_policy_pause_and_forget_and_ends_with_the_summary(
    start_robot: StartRobot, participant: Participant, services: tuple[str, ...], asked: list[str]
) -> None:
    policy = PolicyStandIn(participant, *services)
    robot = start_robot(episodes=2, episode_time_s=0.5)
    outcomes = participant.collect(String, "/sim_robot/episode", KEPT)
    arm = participant.publisher(JointTrajectory, ARM_TOPIC)
    for episode in (1, 2):
        command = trajectory(ARM, GOAL)
        wait_until(
            lambda command=command, episode=episode: arm.publish(command) or len(outcomes) >= episode,
            30.0,
            "no outcome",
        )
    robot.wait_for_line(r"^success: 0/2 \(0 %, 95 % interval 0..66 %\)$")
    assert robot.wait(10.0) == 0
    assert [json.loads(outcome.data)["index"] for outcome in outcomes] == [1, 2]
    first = json.loads(outcomes[0].data)
    assert first["success"] is False
    assert first["duration_s"] == pytest.approx(0.5, abs=0.1)
    assert policy.asked == asked * 2


def test_the_arm_is_put_home_only_when_the_policy_pauses(start_robot: StartRobot, participant: Participant) -> None:
    moved: list[list[float]] = []
    states = participant.collect(JointState, "/joint_states")

    def pause(_: Any, response: Any) -> Any:
        moved.append(positions_of(states[-1], ARM))
        response.success = True
        return response

    participant.node.create_service(Trigger, "/policy_node/pause", pause)
    start_robot()
    arm = participant.publisher(JointTrajectory, ARM_TOPIC)
    arm.publish(trajectory(ARM, GOAL))
    wait_until(lambda: is_at(states, ARM, GOAL), 20.0)
    assert participant.call(Trigger, "/sim_robot/reset").success
    wait_until(lambda: is_at(states, ARM, list(DemoArm.HOME[:5])), 5.0, "not at home")
    assert moved == [pytest.approx(GOAL, abs=0.06)]


def test_a_pause_that_somebody_wanted_stays(start_robot: StartRobot, participant: Participant) -> None:
    policy = PolicyStandIn(participant, *ALL_SERVICES)
    policy.say("paused", "operator")
    robot = start_robot(episodes=1, episode_time_s=0.5)
    participant.publisher(JointTrajectory, ARM_TOPIC).publish(trajectory(ARM, GOAL))
    robot.wait_for_line("^success: 0/1 ")
    assert robot.wait(10.0) == 0
    assert policy.asked == ["pause", "reset"]


@pytest.mark.parametrize(
    ("clear_stops", "reason", "cleared"),
    [(True, "does not follow", True), (True, "operator", False), (False, "does not follow", False)],
)
def test_a_stop_is_told_and_cleared_only_if_so_wanted_and_the_arm_was_the_cause(
    start_robot: StartRobot, participant: Participant, clear_stops: bool, reason: str, cleared: bool
) -> None:
    policy = PolicyStandIn(participant, *ALL_SERVICES)
    robot = start_robot(episodes=1, episode_time_s=2.0, clear_stops=clear_stops, block_after_s=0.1, block_for_s=0.5)
    states = participant.collect(JointState, "/joint_states")
    participant.publisher(JointTrajectory, ARM_TOPIC).publish(trajectory(ARM, GOAL, step_s=1.5))
    wait_until(lambda: states and states[-1].velocity[0] and not is_at(states, ARM, list(DemoArm.HOME[:5])), 20.0)
    policy.say("stopped", reason)
    robot.wait_for_line(rf"^/policy_node stopped: {reason} \(elbow\)$")
    robot.wait_for_line(r"^episode 1/1: not lifted in 2\.\d s, the policy stopped once$")
    assert robot.wait(10.0) == 0
    assert policy.asked[: 2 if cleared else 1] == (["clear_stop", "resume"] if cleared else ["pause"])


def test_a_blocked_arm_stands_still_while_it_is_commanded_and_goes_on_afterwards(
    start_robot: StartRobot, participant: Participant
) -> None:
    start_robot(episodes=1, episode_time_s=60.0, block_after_s=0.3, block_for_s=0.8, publish_clock=True)
    states = participant.collect(JointState, "/joint_states")
    far = [1.2, *GOAL[1:]]
    participant.publisher(JointTrajectory, ARM_TOPIC).publish(trajectory(ARM, far, step_s=1.5))
    wait_until(lambda: is_at(states, ARM, far), 30.0, "the arm does not go on")
    pan = np.array([positions_of(state, ["pan"])[0] for state in states])
    moves = np.abs(np.diff(pan)) > 1e-4
    begin, end = np.flatnonzero(moves)[[0, -1]]
    still = _seconds(states[end].header.stamp) - _seconds(states[begin].header.stamp) - moves[begin:end].sum() * 0.02
    assert still == pytest.approx(0.8, abs=0.2)


@pytest.mark.parametrize(
    ("distro", "last_command", "final_velocity"),
    [("humble", "open_loop_control", True), ("kilted", "interpolate_from_desired_state", False)],
)
def test_its_controllers_tell_their_parameters_as_the_distributions_do(
    start_robot: StartRobot, participant: Participant, distro: str, last_command: str, final_velocity: bool
) -> None:
    start_robot(distro=distro, interpolate_from_desired_state=True)

    def value(name: str, controller: str = "arm_controller") -> Any:
        answer = participant.call(GetParameters, f"/{controller}/get_parameters", GetParameters.Request(names=[name]))
        return parameter_value_to_python(answer.values[0]) if answer.values else None

    assert value("joints") == ARM
    assert value("joints", "gripper_controller") == ["grip"]
    assert value(last_command) is True
    assert value("allow_nonzero_velocity_at_trajectory_end") is final_velocity
    assert value("constraints.elbow.trajectory") == 0.0
    assert value("use_sim_time") is False
    assert value("allow_trajectory_replacement") is None


def test_only_trajectory_controllers_have_parameters(start_robot: StartRobot, participant: Participant) -> None:
    start_robot(interface="position_stream")
    participant.publisher(Float64MultiArray, "/arm_controller/commands")
    names = [name for name, _ in participant.node.get_node_names_and_namespaces()]
    assert "sim_robot" in names
    assert "arm_controller" not in names


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
    wait_until(lambda: _seconds(clock[-1].clock) - _seconds(start) > 1.0, 20.0)
    elapsed_wall_s = (wall.now().nanoseconds - start_wall) * 1e-9
    assert elapsed_wall_s > 1.5, "faster than half of real time"
    assert abs(_seconds(states[-1].header.stamp) - _seconds(clock[-1].clock)) < 0.5


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


def test_no_command_at_all_is_an_error_not_a_failed_episode(start_robot: StartRobot) -> None:
    robot = start_robot(episodes=1, first_command_timeout_s=1.0)
    assert robot.wait(10.0) == 1
    assert "no command came on /arm_controller/joint_trajectory" in robot.text
    assert "success:" not in robot.text


def _reached_after_publishing(gripper: Any, states: list[Any], position: float) -> bool:
    gripper.publish(trajectory(["grip"], [position], step_s=0.1))
    try:
        return bool(wait_until(lambda: is_at(states, ["grip"], [position]), 1.0))
    except AssertionError:
        return False


def _seconds(time: Any) -> float:
    return float(time.sec + time.nanosec * 1e-9)
