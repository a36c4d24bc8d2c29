"""draft_robot on a live robot: real topics, a controller's parameters and a latched description over real DDS."""

from pathlib import Path

import numpy as np
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Float64MultiArray, String
from trajectory_msgs.msg import JointTrajectory

from act_inference_ros.drafting.draft import draft_file
from act_inference_ros.drafting.facts import DataSetFacts, PolicyFacts, Range, RobotFacts, StateTopic
from act_inference_ros.program.exit_status import MISTAKE, OK
from act_inference_ros.robot.parameter_file import read_configuration
from act_inference_ros.spec import PolicySpec
from test.ros.robot_stand_in import HEIGHT, JOINTS, WIDTH, RobotStandIn
from test.ros.ros_helpers import NodeProcess, Participant

pytest.importorskip("torch", reason="making a checkpoint needs PyTorch")
from test.checkpoints import write_checkpoint

IMAGE = {"type": "VISUAL", "shape": [3, HEIGHT, WIDTH]}
INPUTS = {
    "observation.state": {"type": "STATE", "shape": [6]},
    "observation.images.top": IMAGE,
    "observation.images.wrist": IMAGE,
}
LIMIT = '<limit lower="-1.25" upper="1.5" velocity="1.0" effort="1"/>'
TURNS = [f'<joint name="{joint}" type="revolute">{LIMIT}</joint>' for joint in JOINTS]
URDF = f'<robot name="lab">{"".join(TURNS)}</robot>'


def test_a_live_robot_is_drafted(tmp_path: Path, participant: Participant, environment: dict[str, str]) -> None:
    (tmp_path / "policy").mkdir()
    write_checkpoint(tmp_path / "policy", INPUTS, outputs={"action": {"type": "ACTION", "shape": [6]}})
    arm = participant.another_node("arm_controller")
    arm.declare_parameter("joints", list(JOINTS[:5]))
    arm.create_subscription(JointTrajectory, "~/joint_trajectory", lambda _: None, 1)
    gripper = participant.another_node("gripper_controller")
    gripper.declare_parameter("joints", [JOINTS[5]])
    heard: list[object] = []
    gripper.create_subscription(Float64MultiArray, "~/commands", heard.append, 1)
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    participant.node.create_publisher(String, "/robot_description", latched).publish(String(data=URDF))
    out = tmp_path / "robot.yaml"
    arguments = ["--checkpoint", str(tmp_path / "policy"), "--live", "--listen", "8", "--out", str(out)]
    arguments += ["--joints", ",".join(JOINTS)]
    module = "act_inference_ros.ros.draft.draft_robot"
    with (
        RobotStandIn(participant, {"top": "raw", "wrist": "compressed"}, {}) as robot,
        NodeProcess.module(module, *arguments, environment=environment, output=tmp_path / "log") as program,
    ):
        robot.positions = dict.fromkeys(JOINTS, 0.25)
        assert program.wait(120.0) == OK, program.text
    text = out.read_text()
    assert "the live graph: its name stands in the topic; 128x96" in text
    assert "by the parameters of /arm_controller" in text
    out.write_text(text.replace('fps: "???"', "fps: 20.0").replace('"???"', "rad"))
    configuration = read_configuration(out)
    assert configuration.state_topics == ("/joint_states",)
    assert [(each.name, each.topic, each.transport) for each in configuration.cameras] == [
        ("top", "/top/image", "raw"),
        ("wrist", "/wrist/image", "compressed"),
    ]
    assert {(each.topic, each.interface.name, each.joints) for each in configuration.controllers} == {
        ("/arm_controller/joint_trajectory", "joint_trajectory", JOINTS[:5]),
        ("/gripper_controller/commands", "position_stream", JOINTS[5:]),
    }
    limits = np.array([(joint.minimum, joint.maximum, joint.max_velocity) for joint in configuration.action.joints])
    np.testing.assert_allclose(limits, [[-1.25, 1.5, 1.0]] * 6)
    assert heard == []  # it looks, and says nothing to a controller


def test_the_node_refuses_what_is_left_to_fill_in_by_name(
    tmp_path: Path, domain: int, environment: dict[str, str]
) -> None:
    names = ("left.j0", "left.gripper")
    ends = np.zeros(2), np.ones(2)
    policy = PolicyFacts(
        "checkpoint", PolicySpec(10, 2, state_dim=2), {"action": Range(*ends, "the data set's action")}
    )
    dataset = DataSetFacts("set", 20.0, {"action": names}, {})
    robot = RobotFacts("the bag lab", states=(StateTopic("/joint_states", ("elbow", "left.gripper"), *ends, 50.0),))
    (tmp_path / "robot.yaml").write_text(draft_file(policy, dataset, "", robot).text)
    arguments = ["--ros-args", "--params-file", str(tmp_path / "robot.yaml")]
    module = "act_inference_ros.ros.policy.policy_node"
    with NodeProcess.module(module, *arguments, environment=environment, output=tmp_path / "log") as node:
        assert node.wait(60.0) == MISTAKE, node.text
        assert "state.joints is ???left.j0: fill it in; candidates stand beside it in the file" in node.text
        assert "controller.arm.interface is ???: fill it in; candidates: joint_trajectory" in node.text
        assert "joint.???left.j0.unit is ???: fill it in; candidates: rad" in node.text
        assert "Traceback" not in node.text
