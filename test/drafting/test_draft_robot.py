"""draft_robot as it is called: a checkpoint, a data set and a bag make a file that eval_policy then takes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from act_inference_ros.program.exit_status import MISTAKE, OK
from act_inference_ros.robot.parameter_file import read_configuration, read_parameters
from act_inference_ros.ros.draft import draft_robot
from test.checkpoints import write_checkpoint
from test.drafting.datasets import write_v21
from test.evaluation import bags

CAMERA = {"observation.images.top": {"type": "VISUAL", "shape": [3, bags.HEIGHT, bags.WIDTH]}}
INPUTS = {"observation.state": {"type": "STATE", "shape": [3]}, **CAMERA}
ACTION = {"action": {"type": "ACTION", "shape": [3]}}
TIMES = bags.START_S + np.arange(80) / bags.FPS


def robot_messages() -> Any:
    """What `bags.events` has, the arm's commands as trajectories."""
    for time, topic, kind, message in bags.events():
        if topic == "/arm/joint_trajectory":
            row = bags.motion([time])[0]
            command = bags.trajectory(["pan", "lift"], [0.1], [row[:2]], time)
            yield time, topic, "trajectory_msgs/msg/JointTrajectory", command
        else:
            yield time, topic, kind, message
    yield time, "/policy_node/action_chunk", "trajectory_msgs/msg/JointTrajectory", command
    yield time, "/depth/image", "sensor_msgs/msg/Image", bags.image(0, time, encoding="16UC1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("draft")
    (folder / "policy").mkdir()
    write_checkpoint(folder / "policy", INPUTS, outputs=ACTION)
    write_v21(folder / "set", [f"{joint}.pos" for joint in bags.JOINTS], [bags.motion(TIMES)], parquet=False)
    bags.write_bag(folder / "bag", robot_messages())
    return folder


def draft(folder: Path, out: Path, *arguments: str) -> int:
    common = ("--checkpoint", str(folder / "policy"), "--out", str(out))
    return draft_robot.main([*common, *arguments])


def test_a_bag_and_a_data_set_make_a_file_that_is_whole(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "robot.yaml"
    assert draft(folder, out, "--dataset", str(folder / "set"), "--bag", str(folder / "bag")) == OK
    assert "it is whole" in capsys.readouterr().out
    configuration = read_configuration(out)
    assert configuration.state_topics == ("/joint_states",)
    assert configuration.action.names == bags.JOINTS
    assert [(each.topic, each.transport) for each in configuration.cameras] == [("/top/image_raw", "raw")]
    assert {(each.interface.name, each.topic, each.joints) for each in configuration.controllers} == {
        ("joint_trajectory", "/arm/joint_trajectory", ("pan", "lift")),
        ("position_stream", "/gripper/commands", ("grip",)),
    }
    assert (configuration.fps, configuration.max_age) == (bags.FPS, 0.2)


def test_drivers_of_an_arm_and_a_gripper_are_found_in_a_bag(folder: Path, tmp_path: Path) -> None:
    drivers = {"/arm/joint_states": ("lift", "pan"), "/hand/joint_states": ("grip",)}
    bags.write_bag(tmp_path / "bag", bags.apart(robot_messages(), drivers))
    out = tmp_path / "robot.yaml"
    assert draft(folder, out, "--dataset", str(folder / "set"), "--bag", str(tmp_path / "bag")) == OK
    configuration = read_configuration(out)
    assert configuration.state_topics == tuple(drivers)
    assert [each.joints for each in configuration.controllers] == [("pan", "lift"), ("grip",)]


def test_the_data_set_is_found_by_train_config(folder: Path, tmp_path: Path) -> None:
    settings = folder / "policy" / "train_config.json"
    settings.write_text(json.dumps({"dataset": {"repo_id": "me/set", "root": str(folder / "set")}}))
    try:
        assert draft(folder, tmp_path / "robot.yaml") == OK
    finally:
        settings.unlink()
    values = read_parameters(tmp_path / "robot.yaml")
    assert values["state.joints"] == list(bags.JOINTS)  # the data set's names; no robot was looked at
    assert values["fps"] == bags.FPS


def test_with_the_checkpoint_alone_the_file_says_what_was_not_to_be_had(folder: Path, tmp_path: Path) -> None:
    assert draft(folder, tmp_path / "robot.yaml") == OK
    text = (tmp_path / "robot.yaml").read_text()
    assert "# data set: none; no train_config.json" in text
    assert "# robot: none; give --bag or --live" in text


def test_a_file_that_is_there_is_not_written_over(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "robot.yaml"
    out.write_text("mine")
    assert draft(folder, out) == MISTAKE
    assert out.read_text() == "mine"
    assert "is there already" in capsys.readouterr().err
    assert draft(folder, out, "--force") == OK
    assert out.read_text() != "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bag", "nowhere"], "bag nowhere: no such file or directory"),
        (["--dataset", "nowhere"], "data set nowhere: expected meta/info.json"),
        (["--out", "nowhere/robot.yaml"], "nowhere/robot.yaml: cannot be written: No such file or directory"),
        (["--joints", "a,b"], "--joints: expected 3 names"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert draft(folder, tmp_path / "robot.yaml", *arguments) == MISTAKE
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("draft_robot: ")
    assert message in line
    assert not (tmp_path / "robot.yaml").exists()


def test_two_bags_are_one_too_many(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "two").mkdir()
    bags.write_bag(tmp_path / "two" / "a", robot_messages())
    bags.write_bag(tmp_path / "two" / "b", robot_messages())
    assert draft(folder, tmp_path / "robot.yaml", "--bag", str(tmp_path / "two")) == MISTAKE
    assert "expected one bag, found 2" in capsys.readouterr().err
