"""A user's mistake ends the node with exit status 2 and one message that says what to do; never with a traceback."""

from pathlib import Path
from typing import Any

import pytest

from test.ros.policy_node_stand import robot_parameters, running_policy_node
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
        (["--ros-args", "--params-file", "/nowhere/robot.yaml"], "Error opening YAML file"),
        (["--ros-args", "-p", "nonsense"], "Couldn't parse parameter override rule"),
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
