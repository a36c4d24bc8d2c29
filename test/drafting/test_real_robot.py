"""A real robot, two arms of seven joints and three cameras: nothing but names and units is left to a person."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.cli import eval_policy
from act_inference_ros.program.exit_status import MISTAKE, OK
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.robot.parameter_file import read_configuration, read_parameters
from act_inference_ros.ros.draft import draft_robot
from test import checkpoints
from test.drafting import agilex
from test.evaluation import bags

pytestmark = pytest.mark.skipif(not agilex.DATA.is_dir(), reason="the real robot's data set is not beside the project")

OTHER_NAMES = tuple(f"{side}_joint{i + 1}" for side in ("fl", "fr") for i in range(7))
FRAMES = 398
IMAGES = 40


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy for this robot: its weights are arbitrary, its statistics are those of the data set."""
    directory = tmp_path_factory.mktemp("checkpoint")
    image = {"type": "VISUAL", "shape": [3, agilex.HEIGHT, agilex.WIDTH]}
    inputs: dict[str, Any] = {"observation.state": {"type": "STATE", "shape": [14]}}
    inputs |= {f"observation.images.{camera}": image for camera in agilex.CAMERAS}
    outputs = {"action": {"type": "ACTION", "shape": [14]}}
    checkpoints.write_checkpoint(directory, inputs, outputs=outputs, chunk_size=30, n_action_steps=30)
    statistics = checkpoints.statistics_of({**inputs, **outputs})
    for key, column in (("observation.state", "observation.qpos"), ("action", "action")):
        rows = agilex.vectors(column)
        found = {"min": rows.min(axis=0), "max": rows.max(axis=0), "mean": rows.mean(axis=0), "std": rows.std(axis=0)}
        statistics |= {f"{key}.{name}": value.astype(np.float32) for name, value in found.items()}
    for name in ("pre_step_3", "post_step_0"):
        save_file(statistics, directory / f"{name}.safetensors")
    return directory


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bag with the data set's names of the joints, in another punctuation."""
    return bags.write_bag(tmp_path_factory.mktemp("bag") / "real", agilex.events(FRAMES, images=IMAGES))


@pytest.fixture(scope="module")
def bag_of_other_names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    events = agilex.events(FRAMES, OTHER_NAMES, images=2)
    return bags.write_bag(tmp_path_factory.mktemp("bag") / "other", events)


def drafted(checkpoint: Path, bag: Path, out: Path, *more: str) -> dict[str, Any]:
    arguments = ["--checkpoint", str(checkpoint), "--dataset", str(agilex.DATA), "--bag", str(bag), "--out", str(out)]
    assert draft_robot.main([*arguments, *more]) == OK
    return read_parameters(out)


def left(values: dict[str, Any]) -> set[str]:
    """The parameters that are to be filled in, and those of joints without a name."""
    return {name for name, value in values.items() if "???" in name or "???" in str(value)}


def test_the_draft_leaves_units_only_and_runs_once_they_are_filled_in(
    checkpoint: Path, bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = drafted(checkpoint, bag, tmp_path / "robot.yaml")
    open_units = left(values)
    assert len(values) > 80
    # These five joints stood still at 0 or nearly so.
    assert open_units == {f"joint.right_{joint}.unit" for joint in ("j0", "j1", "j2", "j5", "gripper")}
    evaluate = [
        "--bag",
        str(bag),
        "--mode",
        "local",
        "--checkpoint",
        str(checkpoint),
        "--out",
        str(tmp_path / "result"),
    ]
    assert eval_policy.main([*evaluate, "--params", str(tmp_path / "robot.yaml")]) == MISTAKE
    assert "joint.right_j0.unit is ???: fill it in; candidates: rad, deg" in capsys.readouterr().err
    filled = tmp_path / "filled.yaml"
    text = (tmp_path / "robot.yaml").read_text().replace('"???"', "rad")
    filled.write_text(text.replace("# start_pose: [", "start_pose: ["))
    configuration = read_configuration(filled)
    configuration.check_limits()
    assert configuration.action.names == agilex.JOINTS
    assert len(configuration.start_pose) == 14
    assert eval_policy.main([*evaluate, "--params", str(filled), "--limit-s", "1", "--stride", "5"]) == OK


def test_every_number_of_the_draft_lies_where_the_robot_went(checkpoint: Path, bag: Path, tmp_path: Path) -> None:
    drafted(checkpoint, bag, tmp_path / "robot.yaml")
    (tmp_path / "robot.yaml").write_text((tmp_path / "robot.yaml").read_text().replace('"???"', "rad"))
    joints = read_configuration(tmp_path / "robot.yaml").action.joints
    for positions in (agilex.vectors("action"), agilex.vectors("observation.qpos")):
        assert (positions >= [joint.minimum for joint in joints]).all()
        assert (positions <= [joint.maximum for joint in joints]).all()
    widths = np.array([joint.maximum - joint.minimum for joint in joints])
    assert (widths <= 1.2 * np.ptp(agilex.vectors("action"), axis=0) + 0.12).all()


def test_joints_of_other_names_leave_names_and_units(
    checkpoint: Path, bag_of_other_names: Path, tmp_path: Path
) -> None:
    out = tmp_path / "robot.yaml"
    values = drafted(checkpoint, bag_of_other_names, out)
    named = {re.sub(r"\?\?\?[\w.]*?(j\d|gripper)\.", "<joint>.", name) for name in left(values)}
    assert named == {"state.joints"} | {
        f"joint.<joint>.{field}" for field in ("unit", "min", "max", "max_velocity", "smooth")
    }
    with pytest.raises(ConfigurationError, match=r"state\.joints is \?\?\?left\.j0, .*: fill it in"):
        RobotConfiguration.from_parameters(values)
    text = out.read_text()
    assert "fl_joint1 went where it went in the data set" in text
    for entry, name in zip(agilex.JOINTS, OTHER_NAMES, strict=True):
        text = text.replace(f'"???{entry.replace("_", ".")}"', name)
    out.write_text(text.replace('"???"', "rad"))
    assert read_configuration(out).action.names == OTHER_NAMES


def test_with_the_names_given_units_are_told_by_the_motion(
    checkpoint: Path, bag_of_other_names: Path, tmp_path: Path
) -> None:
    values = drafted(checkpoint, bag_of_other_names, tmp_path / "robot.yaml", "--joints", ",".join(OTHER_NAMES))
    assert left(values) == {f"joint.fr_joint{i}.unit" for i in (1, 2, 3, 6, 7)}
