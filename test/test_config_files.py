"""The parameter files that come with the package are right: each fits the policy it is for, and no other."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from act_inference_ros.control.limiter.bounds import MotionLimits
from act_inference_ros.errors import ConfigurationError
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.spec import ImageSpec, PolicySpec

CONFIG = Path(__file__).parents[1] / "config"
POLICIES = {
    "sim_arm": (("front",), 6),
    "aloha": (("cam_high", "cam_low", "cam_left_wrist", "cam_right_wrist"), 14),
    "so101": (("front", "wrist"), 6),
    "ur5e_robotiq": (("front", "wrist"), 7),
}


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as ROS flattens them: names with dots."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


def configured(robot: str) -> RobotConfiguration:
    file = yaml.safe_load((CONFIG / f"{robot}.yaml").read_text())
    return RobotConfiguration.from_parameters(flat(file["/**/policy_node"]["ros__parameters"]))


def policy_of(robot: str) -> PolicySpec:
    cameras, joints = POLICIES[robot]
    images = tuple(ImageSpec(f"observation.images.{camera}", 480, 640) for camera in cameras)
    return PolicySpec(100, joints, images=images, state_dim=joints)


def test_every_file_is_tested() -> None:
    assert {path.stem for path in CONFIG.glob("*.yaml")} == set(POLICIES)


@pytest.mark.parametrize("robot", POLICIES)
def test_a_file_fits_its_policy_and_no_other(robot: str) -> None:
    configuration, spec = configured(robot), policy_of(robot)
    configuration.check_fits(spec)
    for other in (
        replace(spec, images=spec.images[1:]),
        replace(spec, state_dim=len(configuration.action) + 1),
        replace(spec, action_dim=len(configuration.action) - 1),
    ):
        with pytest.raises(ConfigurationError):
            configuration.check_fits(other)


@pytest.mark.parametrize("robot", POLICIES)
def test_every_joint_has_limits(robot: str) -> None:
    limits = MotionLimits.of(configured(robot).action.joints)
    assert np.isfinite([limits.lowest, limits.highest]).all()


def test_so101_converts_degrees_and_the_gripper_from_0_to_100() -> None:
    binding = configured("so101").state
    assert binding is not None
    open_and_turned = [math.pi / 2] * 5 + [1.75]
    turned = binding.to_policy(SimpleNamespace(name=binding.names, position=open_and_turned))
    np.testing.assert_allclose(turned, [90.0] * 5 + [100.0], rtol=1e-5)
    closed = binding.to_policy(SimpleNamespace(name=binding.names, position=[0.0] * 5 + [-0.17]))
    np.testing.assert_allclose(closed, [0.0] * 6, atol=1e-3)


def test_aloha_grippers_map_their_stroke_to_0_and_1() -> None:
    binding = configured("aloha").state
    assert binding is not None
    for position, expected in ((0.021, 0.0), (0.057, 1.0)):
        policy = binding.to_policy(SimpleNamespace(name=binding.names, position=[position] * 14))
        np.testing.assert_allclose(policy[[6, 13]], expected, atol=1e-4)
        np.testing.assert_allclose(policy[[0, 7]], position, rtol=1e-6)  # arms are in radians on both sides


def test_the_ur5es_gripper_has_a_driver_of_its_own_and_goes_from_0_to_1() -> None:
    configuration = configured("ur5e_robotiq")
    assert configuration.state_topics == ("/joint_states", "/robotiq/joint_states")
    assert configuration.state is not None
    arm, gripper = configuration.state.names[:6], configuration.state.names[6:]
    part = SimpleNamespace(name=[*gripper], position=[0.7929], velocity=[], effort=[])
    assert configuration.state.places_in(part) == (6,)
    np.testing.assert_allclose(configuration.state.part((6,)).to_policy(part), [1.0], rtol=1e-5)
    assert [controller.joints for controller in configuration.controllers] == [arm, gripper]
