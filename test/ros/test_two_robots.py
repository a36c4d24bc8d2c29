"""Two robots on one network, each in its own namespace, with the same parameter file."""

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from act_inference_ros.simulation.command_inputs import ARM_JOINTS
from test.ros.policy_node_stand import STAND_IN
from test.ros.policy_stand_in import Options
from test.ros.ros_helpers import PROJECT, NodeProcess, Participant, wait_until
from test.ros.sim_robot_stand import KEPT, positions_of

SIDES = ("left", "right")
SPEED = {"left": 0.05, "right": -0.05}
PATIENT = 3.0
"""max_deviation, rad: large, because a busy machine plays the arm's motion late."""
DEADLINE_S = 60.0


class Watcher:
    """Listens to one robot: its joints, what its arm is told, what its policy node says."""

    def __init__(self, participant: Participant, namespace: str) -> None:
        node = participant.node
        self.states: list[Any] = []
        self.commands: list[Any] = []
        self.statuses: list[Any] = []
        node.create_subscription(JointState, f"/{namespace}/joint_states", self.states.append, 10)
        arm = f"/{namespace}/arm_controller/joint_trajectory"
        node.create_subscription(JointTrajectory, arm, self.commands.append, 10)
        node.create_subscription(DiagnosticStatus, f"/{namespace}/policy_node/status", self.statuses.append, KEPT)

    @property
    def state(self) -> str:
        return self.statuses[-1].message if self.statuses else ""

    def pan(self) -> float:
        return positions_of(self.states[-1], ["pan"])[0] if self.states else 0.0


def arguments(namespace: str, **parameters: Any) -> list[str]:
    given = [f"{name.replace('__', '.')}:={json.dumps(value)}" for name, value in parameters.items()]
    return ["--ros-args", "-r", f"__ns:=/{namespace}", *(part for each in given for part in ("-p", each))]


@contextlib.contextmanager
def robots(directory: Path, environment: dict[str, str], sides: Sequence[str]) -> Iterator[None]:
    """A simulated robot and a policy node for each side."""
    with contextlib.ExitStack() as stack:
        for side in sides:
            policy = environment | {"POLICY_STAND_IN": json.dumps(asdict(Options(speed=SPEED[side])))}
            patience = {f"joint__{joint}__max_deviation": PATIENT for joint in ARM_JOINTS}
            given = arguments(side, max_age=1.0, inference_rate=5.0, max_plan_age=3.0, **patience)
            parameter_file = ["--params-file", str(PROJECT / "config" / "sim_arm.yaml")]
            node = NodeProcess(
                [sys.executable, str(STAND_IN), *given, *parameter_file], policy, directory / f"{side}_node.txt"
            )
            stack.enter_context(node).wait_for_line("active: waiting for")
            robot = NodeProcess.module(
                "act_inference_ros.ros.sim.sim_robot",
                *arguments(side, image_width=128, camera_rate=10.0),
                environment=environment,
                output=directory / f"{side}_robot.txt",
            )
            stack.enter_context(robot).wait_for_line("listening to")
        yield


def test_two_robots_are_driven_at_once_and_one_is_stopped_alone(
    tmp_path: Path, environment: dict[str, str], participant: Participant
) -> None:
    left, right = (Watcher(participant, side) for side in SIDES)
    with robots(tmp_path, environment, SIDES):
        wait_until(lambda: left.state == right.state == "commanding", DEADLINE_S, "one is not commanded")
        begun = left.pan(), right.pan()
        wait_until(lambda: left.pan() > begun[0] + 0.1, DEADLINE_S, "the left arm did not go its way")
        wait_until(lambda: right.pan() < begun[1] - 0.1, DEADLINE_S, "the right arm did not go its way")
        assert participant.call(Trigger, "/left/policy_node/stop").success
        wait_until(lambda: left.state == "stopped", DEADLINE_S, "the left arm was not stopped")
        stood = right.pan()
        wait_until(lambda: right.pan() < stood - 0.1, DEADLINE_S, "the right arm did not go on")
        assert (left.state, right.state) == ("stopped", "commanding")
    last = np.array([point.positions for point in left.commands[-1].points])
    assert np.ptp(last, axis=0).max() < 0.1  # it only came to rest
