"""A user's mistake ends the node with exit status 2 and one message that says what to do; never with a traceback."""

from pathlib import Path
from typing import Any

import pytest

from test.ros.policy_node_stand import robot_parameters, running_policy_node, write_parameters
from test.ros.policy_stand_in import Options
from test.ros.ros_helpers import NodeProcess

MISTAKES = [
    ({"max_aeg": 0.2}, ("max_aeg: no such parameter; did you mean max_age?",)),
    ({"max_age": "much"}, ("max_age: expected a number, got 'much'",)),
    ({"inference_rate": 0.0}, ("inference_rate: expected a number from 0.01 to 1000, got 0.0",)),
    ({"merge": "newest"}, ("merge: expected one of blend, temporal_ensemble, latest",)),
    ({"state__topic": None, "fps": "fast"}, ("fps: expected a number",)),
    ({"controller__gripper__joints": ["pan"]}, ("joint grip of the action is moved by none of them",)),
    ({"state__topic": "/joint states"}, ("state.topic", "/joint states")),
    (
        {"state__topic": None, "state__topics": ["/joint_states", "front/image"]},
        ("camera.front.topic and state.topics: one topic, /front/image; each needs its own",),
    ),
    (
        {"state__topic": None, "state__topics": ["/arm_states", "gripper/command"]},
        ("controller.gripper.topic and state.topics: one topic, /gripper/command; each needs its own",),
    ),
    (
        {"state__topic": None, "state__topics": ["/arm_states", "arm_states"]},
        ("state.topics: /arm_states named more than once",),
    ),
    ({"controller__arm__topic": "/arm//command"}, ("controller.arm.topic", "/arm//command")),
]


@pytest.mark.parametrize(("changes", "parts"), MISTAKES, ids=lambda value: next(iter(value)) if value else "")
def test_a_mistake_in_the_parameters(tmp_path: Path, changes: dict[str, Any], parts: tuple[str, ...]) -> None:
    text = refusal(tmp_path, robot_parameters(**changes))
    assert all(part in text for part in parts), text


def test_a_policy_that_reads_other_cameras_and_more_joints_is_refused_with_both_sides(tmp_path: Path) -> None:
    text = refusal(tmp_path, robot_parameters(), Options(cameras=("top", "wrist"), joints=7))
    assert "cameras: the policy reads ['top', 'wrist'], the parameters give ['front']" in text
    assert "the policy reads 7 numbers, state.joints has 6" in text
    assert "the policy commands 7 numbers, action.joints has 6" in text


def test_a_checkpoint_that_is_no_checkpoint(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    broken = tmp_path / "checkpoint"
    broken.mkdir()
    (broken / "config.json").write_text('{"type": "act"')
    assert "config.json" in refusal(tmp_path, robot_parameters(), broken)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--ros-args", "--params-file", "/nowhere/robot.yaml"],
            "parameter file /nowhere/robot.yaml: there is no such file",
        ),
        (["--ros-args", "--params-file", "/tmp"], "parameter file /tmp: is a directory, not a file"),  # noqa: S108
        (["--ros-args", "-p", "nonsense"], "Couldn't parse parameter override rule"),
        ([], "configure refused: no parameters were given; start it with --ros-args --params-file FILE"),
        (["--checkpoint", "there"], "unrecognized arguments: --checkpoint there"),
    ],
)
def test_a_mistake_on_the_command_line(
    tmp_path: Path, environment: dict[str, str], arguments: list[str], message: str
) -> None:
    output = tmp_path / "out.txt"
    module = "act_inference_ros.ros.policy.policy_node"
    with NodeProcess.module(module, *arguments, environment=environment, output=output) as node:
        assert node.wait(30.0) == 2
        assert message in node.text.splitlines()[-1]
        assert "Traceback" not in node.text


def test_a_file_that_ros_cannot_read_is_told_with_the_line(tmp_path: Path, environment: dict[str, str]) -> None:
    path = tmp_path / "robot.yaml"
    path.write_text("policy_node:\n  ros__parameters:\n    fps: 20.0\n    state.topic:\n")
    text = told_by_node(tmp_path, environment, "--params-file", str(path))
    assert f"policy_node: parameter file {path}: No value at line 4" in text


@pytest.mark.parametrize(
    ("key", "arguments", "sentence"),
    [
        ("other_node", [], "has nothing for this node, /policy_node, only for other_node"),
        ("/**/policy_node", ["-r", "__node:=arm"], "has nothing for this node, /arm, only for /**/policy_node"),
        ("policy_node", ["-r", "__ns:=/left"], "has nothing for this node, /left/policy_node, only for policy_node"),
    ],
)
def test_a_file_for_another_node_is_refused_as_such(
    tmp_path: Path, environment: dict[str, str], key: str, arguments: list[str], sentence: str
) -> None:
    path = tmp_path / "robot.yaml"
    path.write_text(f"{key}:\n  ros__parameters:\n    fps: 20.0\n")
    text = told_by_node(tmp_path, environment, "--params-file", str(path), *arguments)
    assert f"configure refused: parameter file {path} {sentence}; write" in text
    assert "action.joints" not in text  # what follows from that


@pytest.mark.parametrize(
    ("key", "arguments"),
    [
        ("/**", []),
        ("/**/policy_node", ["-r", "__ns:=/left"]),
        ("/*/policy_node", ["-r", "__ns:=/left"]),
        ("arm", ["-r", "__node:=arm"]),
    ],
)
def test_a_file_for_this_node_is_taken(
    tmp_path: Path, environment: dict[str, str], key: str, arguments: list[str]
) -> None:
    path = tmp_path / "robot.yaml"
    path.write_text(f"{key}:\n  ros__parameters:\n    fps: 20.0\n")
    text = told_by_node(tmp_path, environment, "--params-file", str(path), *arguments)
    assert "has nothing for" not in text
    assert "action.joints: empty" in text


def told_by_node(directory: Path, environment: dict[str, str], *arguments: str) -> str:
    """What the node says that refuses these ROS arguments."""
    module = "act_inference_ros.ros.policy.policy_node"
    output = directory / "out.txt"
    with NodeProcess.module(module, "--ros-args", *arguments, environment=environment, output=output) as node:
        assert node.wait(30.0) == 2
        assert "Traceback" not in node.text
        return str(node.text)


def test_topics_that_are_one_only_after_remapping_are_refused(tmp_path: Path, environment: dict[str, str]) -> None:
    _, *arguments = write_parameters(tmp_path, robot_parameters())
    text = told_by_node(tmp_path, environment, *arguments, "-r", "/front/image:=/joint_states")
    assert "camera.front.topic and state.topic: one topic, /joint_states; each needs its own" in text


def test_help_shows_every_parameter(tmp_path: Path, environment: dict[str, str]) -> None:
    output = tmp_path / "out.txt"
    module = "act_inference_ros.ros.policy.policy_node"
    with NodeProcess.module(module, "--help", environment=environment, output=output) as node:
        assert node.wait(30.0) == 0
        assert "max_age:=0.2" in node.text
        assert "controller.<controller>.interface:=joint_trajectory" in node.text


def refusal(directory: Path, parameters: dict[str, Any], policy: Options | Path | None = None) -> str:
    """What the node says, and nothing else, when it refuses to be configured."""
    with running_policy_node(directory, parameters, policy, wait=None) as stand:
        assert stand.node.wait(60.0) == 2, stand.node.text
        assert "Traceback" not in stand.node.text
        assert stand.node.text.count("configure refused: ") == 1
        return str(stand.node.text)
