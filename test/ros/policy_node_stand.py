"""A running policy_node with a robot stand-in around it, for tests that share one."""

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String
from std_srvs.srv import Trigger

from act_inference_ros.demo.domain import private_domain
from test.ros.policy_stand_in import Options
from test.ros.robot_stand_in import JOINTS, RobotStandIn
from test.ros.ros_helpers import NodeProcess, Participant, ros_environment

STAND_IN = Path(__file__).parent / "policy_stand_in.py"
ARM = ["roll", "pan", "wrist", "lift", "elbow"]
"""The trajectory controller's joints, in an order of its own."""
MAX_AGE_S = 0.4
LEAD_S = 0.02
TRANSITIONS = {
    "configure": Transition.TRANSITION_CONFIGURE,
    "activate": Transition.TRANSITION_ACTIVATE,
    "deactivate": Transition.TRANSITION_DEACTIVATE,
    "cleanup": Transition.TRANSITION_CLEANUP,
}


def robot_parameters(cameras: Mapping[str, str] | Any = None, **changes: Any) -> dict[str, Any]:
    """Parameters of a robot with a trajectory controller and a stream; `__` in a name of `changes` stands for a dot.

    A change to None takes a parameter out.
    """
    cameras = {"front": "raw"} if cameras is None else cameras
    parameters: dict[str, Any] = {
        "fps": 20.0, "inference_rate": 10.0, "max_age": MAX_AGE_S, "max_skew": 0.15, "coast_time": 0.3,
        "state.topic": "/joint_states", "state.joints": list(JOINTS), "cameras": list(cameras),
        "controllers": ["arm", "gripper"],
        "controller.arm.interface": "joint_trajectory", "controller.arm.topic": "/arm/command",
        "controller.arm.joints": ARM, "controller.arm.lead": LEAD_S,
        "controller.gripper.interface": "position_stream", "controller.gripper.topic": "/gripper/command",
        "controller.gripper.joints": ["grip"], "command_rate": 50.0,
    }  # fmt: skip
    for camera, transport in cameras.items():
        parameters |= {f"camera.{camera}.topic": f"/{camera}/image", f"camera.{camera}.transport": transport}
    for joint in JOINTS:
        parameters |= {f"joint.{joint}.min": -2.5, f"joint.{joint}.max": 2.5}
    parameters |= {name.replace("__", "."): value for name, value in changes.items()}
    return {name: value for name, value in parameters.items() if value is not None}


def write_parameters(directory: Path, parameters: Mapping[str, Any]) -> list[str]:
    """Command-line arguments that hand the parameters to the node."""
    path = directory / "robot.yaml"
    path.write_text(yaml.safe_dump({"policy_node": {"ros__parameters": dict(parameters)}}))
    return ["--ros-args", "--params-file", str(path)]


@dataclass
class Stand:
    """A robot stand-in and the policy node that commands it."""

    robot: RobotStandIn
    node: NodeProcess
    participant: Participant
    home: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(JOINTS, 0.0))

    def reset(self) -> None:
        assert self.participant.call(Trigger, "/policy_node/reset").success

    def set_parameters(self, **changes: Any) -> Any:
        """The node's answer; `__` in a name stands for a dot."""
        values = [Parameter(name.replace("__", "."), value=value) for name, value in changes.items()]
        request = SetParametersAtomically.Request(parameters=[value.to_parameter_msg() for value in values])
        return self.participant.call(SetParametersAtomically, "/policy_node/set_parameters_atomically", request).result

    def transition(self, name: str) -> bool:
        """Ask for a lifecycle transition; True if it was made."""
        request = ChangeState.Request(transition=Transition(id=TRANSITIONS[name]))
        return bool(self.participant.call(ChangeState, "/policy_node/change_state", request, once=True).success)

    def state(self) -> str:
        return str(self.participant.call(GetState, "/policy_node/get_state").current_state.label)

    def ask(self, request: str) -> Any:
        """The answer of one of the operator's services."""
        return self.participant.call(Trigger, f"/policy_node/{request}")

    def start_afresh(self, positions: dict[str, float] | None = None) -> float:
        """Reset an arm that stands at `positions` (home, unless given), and wait until both controllers are commanded.

        Gives the time at which the reset was done.
        """
        self.ask("clear_stop")
        self.ask("pause")
        self.robot.wait_for_rest()  # otherwise the rest of the hold would move the arm away from there
        self.robot.positions = dict(self.home if positions is None else positions)
        self.reset()
        at = time.time()
        self.ask("resume")
        self.robot.wait_for_command("arm", at, count=2)  # the first may have been sent before the reset
        self.robot.wait_for_command("gripper", at, count=2)
        return at


@contextlib.contextmanager
def running_policy_node(
    directory: Path,
    parameters: Mapping[str, Any] | None = None,
    policy: Options | Path | None = None,
    wait: str | None = "active: waiting for",
    deaf: Sequence[str] = (),
    description: str = "",
    drivers: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[Stand]:
    """Run a policy node in its own process, with a stand-in's policy or a real one from a checkpoint directory.

    The block begins when the node has printed the line `wait`. `drivers` is that of RobotStandIn.
    """
    given = robot_parameters() if parameters is None else dict(parameters)
    real = isinstance(policy, Path)
    with private_domain() as domain, pytest.MonkeyPatch.context() as patch:
        environment = ros_environment(directory, domain)
        for name in (
            "ROS_LOG_DIR",
            "ROS_AUTOMATIC_DISCOVERY_RANGE",
            "AMENT_PREFIX_PATH",
            "FASTDDS_DEFAULT_PROFILES_FILE",
        ):
            patch.setenv(name, environment[name])
        if real:
            given["checkpoint"] = str(policy)
        else:
            environment["POLICY_STAND_IN"] = json.dumps(asdict(policy or Options()))  # type: ignore[arg-type]  # no Path here
        program = ["-m", "act_inference_ros.ros.policy.policy_node"] if real else [str(STAND_IN)]
        command = [sys.executable, *program, *write_parameters(directory, given)]
        cameras = {name: given[f"camera.{name}.transport"] for name in given["cameras"]}
        controllers = {
            name: (given[f"controller.{name}.interface"], given[f"controller.{name}.joints"])
            for name in given["controllers"]
        }
        node = NodeProcess(command, environment, directory / "policy_node.txt")
        with (
            Participant(domain) as participant,
            RobotStandIn(participant, cameras, controllers, deaf=deaf, drivers=drivers) as robot,
        ):
            if description:
                latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
                participant.node.create_publisher(String, "/robot_description", latched).publish(
                    String(data=description)
                )
            with node:
                if wait:
                    node.wait_for_line(wait)
                yield Stand(robot, node, participant)
