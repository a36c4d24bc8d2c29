"""A data set with a parameter file: the same frames, judged in that robot's units and with its limits."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.bags.bag_options import EvaluationOptions
from act_inference_ros.evaluation.datasets.dataset_evaluation import OWN_UNITS, evaluate_dataset
from act_inference_ros.evaluation.datasets.description import read_info
from act_inference_ros.evaluation.datasets.index import read_episodes
from act_inference_ros.evaluation.results import EvaluationResult
from act_inference_ros.evaluation.run_settings import RunSettings
from act_inference_ros.robot.configuration import RobotConfiguration
from test.evaluation.datasets import FPS, JOINTS, Floats, actions, client, write_dataset

OFF = np.array([0.02, 0.03, 0.01])
"""By how much the policy is wrong, in the data set's units."""


def wrong(episode: int, frames: npt.ArrayLike) -> Floats:
    return actions(episode, frames) + OFF


def robot(**changes: Any) -> RobotConfiguration:
    """The data set's joints under the robot's own names, in degrees but for the gripper."""
    names = ["base", "shoulder", "hand"]
    given: dict[str, Any] = {
        "fps": float(FPS),
        "inference_rate": float(FPS),
        "state.topic": "joint_states",
        "state.joints": names,
        "cameras": ["top"],
        "camera.top.topic": "top",
        "joint.base.unit": "deg",
        "joint.shoulder.unit": "deg",
        "joint.hand.scale": -2.0,
        "joint.hand.offset": 0.5,
        "controllers": ["arm", "hand"],
        "controller.arm.topic": "arm/joint_trajectory",
        "controller.arm.joints": names[:2],
        "controller.hand.topic": "hand/commands",
        "controller.hand.interface": "position_stream",
        "controller.hand.joints": names[2:],
    }
    given |= {name.replace("__", "."): value for name, value in changes.items()}
    return RobotConfiguration.from_parameters(given)


def evaluate(root: Path, configuration: RobotConfiguration | None, function: Any = wrong) -> EvaluationResult:
    info = read_info(root)
    with client(function=function) as policy:
        settings = RunSettings("test", "test")
        return evaluate_dataset(info, read_episodes(info), policy, settings, EvaluationOptions(), robot=configuration)


def errors(result: EvaluationResult) -> list[float]:
    """The mean error of each joint."""
    return [error.mae_ros_units for error in result.total.chunk_error.values()]


def test_errors_are_in_the_robots_units(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "set")
    raw, given = evaluate(root, None), evaluate(root, robot())
    in_ros_units = OFF * [math.radians(1.0), math.radians(1.0), 0.5]
    assert errors(raw) == pytest.approx(OFF, rel=1e-3)
    assert errors(given) == pytest.approx(in_ros_units, rel=1e-3)
    assert all(OWN_UNITS in episode.notes for episode in raw.episodes)
    assert not any(OWN_UNITS in episode.notes for episode in given.episodes)
    assert list(given.total.chunk_error) == ["base", "shoulder", "hand"]
    assert given.status == raw.status


def test_the_plan_keeps_the_robots_limits(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "set")
    free = evaluate(root, robot(), actions).total.by_merge["blend"]
    limited = evaluate(root, robot(joint__hand__max_velocity=0.001), actions).total.by_merge["blend"]
    for joint in ("base", "shoulder"):
        assert limited.executed[joint] == free.executed[joint]
    assert free.executed["hand"].mae_ros_units < 1e-3
    assert limited.executed["hand"].mae_ros_units > 0.01
    assert limited.limits["hand"].smoothed > free.limits["hand"].smoothed


def test_another_rate_is_refused_with_both_sides(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "set")
    with pytest.raises(ConfigurationError, match=f"fps: the data set has {FPS}, the parameter file 30"):
        evaluate(root, robot(fps=30.0))


def test_the_same_joints_in_another_order_are_refused(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "set")
    swapped = [JOINTS[1], JOINTS[0], JOINTS[2]]
    configuration = RobotConfiguration.from_parameters(
        {
            "fps": float(FPS),
            "state.topic": "joint_states",
            "state.joints": swapped,
            "cameras": ["top"],
            "camera.top.topic": "top",
            "controllers": ["arm"],
            "controller.arm.topic": "arm/joint_trajectory",
            "controller.arm.joints": swapped,
        }
    )
    with pytest.raises(ConfigurationError, match=r"action\.joints: another order: action is \['pan', 'lift', 'grip'\]"):
        evaluate(root, configuration)
