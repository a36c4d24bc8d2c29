"""The node's parameter file without ROS: sections, flattening, overriding, mistakes."""

from pathlib import Path

import pytest

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.robot.parameter_file import read_configuration, read_parameters

CONFIG = Path(__file__).parents[2] / "config"


@pytest.mark.parametrize("name", ["sim_arm", "so101", "aloha"])
def test_the_packages_own_files_are_read(name: str) -> None:
    configuration = read_configuration(CONFIG / f"{name}.yaml")
    assert configuration.cameras
    assert len(configuration.action) >= 6


@pytest.mark.parametrize(
    "head",
    ["/**/policy_node:", "/**:", "policy_node:", "/policy_node:", "/arm_1/policy_node:", "arm_1:\n policy_node:"],
)
def test_every_way_of_naming_the_node_is_understood(tmp_path: Path, head: str) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(f"{head}\n  ros__parameters:\n    fps: 20\n    state: {{topic: /js}}\n    state.joints: [a]\n")
    assert read_parameters(file) == {"fps": 20, "state.topic": "/js", "state.joints": ["a"]}


def test_other_nodes_are_skipped_and_later_files_override(tmp_path: Path) -> None:
    one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
    one.write_text(
        "camera_driver: {ros__parameters: {fps: 1}}\n"
        "/**: {ros__parameters: {fps: 20.0, max_age: 2e-1, use_sim_time: true}}"
    )
    other.write_text("policy_node: {ros__parameters: {fps: 30.0}}")
    assert read_parameters(one, other) == {"fps": 30.0, "max_age": 0.2}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not a parameter file of policy_node"),
        ("a: 1", "not a parameter file of policy_node"),
        ("camera: {ros__parameters: {fps: 1}}", "not a parameter file of policy_node"),
        ("a: [", "not YAML"),
        ("policy_node: {ros__parameters: {fpss: 1.0}}", "did you mean fps"),
    ],
)
def test_mistakes_are_one_clear_error(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(content)
    with pytest.raises(ConfigurationError, match=message):
        read_configuration(file)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nothing\.yaml: No such file"):
        read_configuration(tmp_path / "nothing.yaml")
    with pytest.raises(ConfigurationError, match="no parameter file given"):
        read_configuration()
