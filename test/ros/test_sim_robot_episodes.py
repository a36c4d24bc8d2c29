"""sim_robot's episodes: the policy is paused in between, the arm is blocked, the controllers show parameters."""

import functools
import json
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rcl_interfaces.srv import GetParameters
from rclpy.parameter import parameter_value_to_python
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from act_inference_ros.simulation.scene import DemoArm
from test.ros.robot_stand_in import seconds
from test.ros.ros_helpers import Participant, wait_until
from test.ros.sim_robot_stand import (
    ARM,
    ARM_TOPIC,
    GOAL,
    KEPT,
    LATCHED,
    StartRobot,
    is_at,
    positions_of,
    start_robot,
    trajectory,
)

__all__ = ["start_robot"]


class PolicyStandIn:
    """The part of the policy node that sim_robot uses: notes requests, and publishes the state that a test wants."""

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
    # Simulated time, because the wall clock runs on while a busy computer lets the robot wait.
    robot = start_robot(episodes=2, episode_time_s=0.5, publish_clock=True)
    outcomes = participant.collect(String, "/sim_robot/episode", KEPT)
    arm = participant.publisher(JointTrajectory, ARM_TOPIC)
    for episode in (1, 2):
        command = trajectory(ARM, GOAL)
        wait_until(
            lambda command=command, episode=episode: arm.publish(command) or len(outcomes) >= episode,  # type: ignore[misc]  # mypy infers no lambda with a default
            30.0,
            "no outcome",
        )
    robot.wait_for_line(r"^success: 0/2 \(0 %, 95 % interval 0..66 %\)$")
    assert robot.wait(10.0) == 0
    assert [json.loads(outcome.data)["index"] for outcome in outcomes] == [1, 2]
    first = json.loads(outcomes[0].data)
    assert first["success"] is False
    assert first["duration_s"] == pytest.approx(0.5, abs=0.02)
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
    still = seconds(states[end].header.stamp) - seconds(states[begin].header.stamp) - moves[begin:end].sum() * 0.02
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

    def names() -> list[str]:
        return [name for name, _ in participant.node.get_node_names_and_namespaces()]

    wait_until(lambda: "sim_robot" in names(), 20.0, "the robot's node is not found")
    assert "arm_controller" not in names()


def test_no_command_at_all_is_an_error_not_a_failed_episode(start_robot: StartRobot) -> None:
    robot = start_robot(episodes=1, first_command_timeout_s=1.0)
    assert robot.wait(10.0) == 1
    assert "no command came on /arm_controller/joint_trajectory" in robot.text
    assert "success:" not in robot.text
