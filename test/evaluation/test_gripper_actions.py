"""Gripper actions where no server is: simulated episodes refuse them, bags compare with the measured positions."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.bags.bag_evaluation import EvaluationOptions, evaluate_bags
from act_inference_ros.evaluation.results import EvaluationResult
from act_inference_ros.evaluation.run_settings import RunSettings
from act_inference_ros.evaluation.statistics import pooled
from act_inference_ros.interfaces import ACTIONS, COMMAND_INTERFACES, command_interface
from act_inference_ros.simulation.command_inputs import DEMO_INTERFACES, command_input, demo_topic
from test.evaluation import bags


def configuration(interface: str) -> Any:
    return bags.configuration(
        **{"controller.gripper.interface": interface, "controller.gripper.topic": "/g", "joint.grip.smooth": False}
    )


def evaluate(path: Path, interface: str, **options: Any) -> EvaluationResult:
    with bags.client() as client:
        return evaluate_bags(
            [path], configuration(interface), client, RunSettings("test", "test"), EvaluationOptions(**options)
        )


@pytest.mark.parametrize("interface", ACTIONS)
def test_a_bag_has_no_goals_so_the_measured_positions_are_the_truth_and_that_is_said(
    tmp_path: Path, interface: str
) -> None:
    result = evaluate(bags.write_bag(tmp_path / "bag", bags.events(2.0)), interface)
    episode = result.episodes[0]
    assert episode.truth == {"arm": "commands", "gripper": "state"}
    [note] = [note for note in episode.notes if "gripper" in note]
    assert f"commanded by goals of {command_interface(interface).action.type}, which no bag records" in note
    assert "compared with the measured positions that followed" in note
    assert pooled(result.total.chunk_error).count > 300


def test_with_truth_commands_a_gripper_without_recorded_goals_is_compared_with_nothing(tmp_path: Path) -> None:
    result = evaluate(bags.write_bag(tmp_path / "bag", bags.events(2.0)), "gripper_action", truth="commands")
    episode = result.episodes[0]
    assert episode.truth["gripper"] == "none"
    assert any("which no bag records" in reason for reason in episode.reasons)


@pytest.mark.parametrize("interface", ACTIONS)
def test_the_demo_robot_says_that_it_has_no_action_server(interface: str) -> None:
    with pytest.raises(ConfigurationError, match=f"interface {interface}: the demo robot does not have it"):
        command_input(interface, ("grip",))
    with pytest.raises(ConfigurationError, match="joint_trajectory, position_stream, joint_state"):
        demo_topic(interface, "gripper_controller")
    assert set(DEMO_INTERFACES) == set(COMMAND_INTERFACES) - set(ACTIONS)


def test_simulated_episodes_refuse_a_gripper_action_with_one_error() -> None:
    pytest.importorskip("mujoco")
    from act_inference_ros.evaluation.episodes.closed_loop import check_configuration
    from act_inference_ros.evaluation.episodes.expert_policy import EXPERT_SPEC
    from test.test_config_files import configured

    parameters = configured("sim_arm")
    check_configuration(parameters, EXPERT_SPEC)
    arm, gripper = parameters.controllers
    gripper = replace(gripper, interface=command_interface("gripper_action"))
    with pytest.raises(ConfigurationError) as refusal:
        check_configuration(replace(parameters, controllers=(arm, gripper)), EXPERT_SPEC)
    assert "does not have an action server for gripper (gripper_action)" in str(refusal.value)
