"""Makes a robot configuration for a data set, after checking its features against the policy.

A data set needs no parameter file. The policy's inputs are features with the same names (a policy that renames its
inputs uses the names of the robot's side), and the numbers of `action` are joints of one controller. Limits and units
are unknown: the joints have no limits, and positions stay in the data set's own units.

With a parameter file the joints come from the file, in ROS units and with their limits, and the plan is executed as in
that robot's node: with its merge and its rates. The frames still come from the data set.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from act_inference_ros.evaluation.datasets.description import DatasetInfo
from act_inference_ros.evaluation.datasets.features import INTERVENTION, VIDEO, Feature
from act_inference_ros.interfaces import BY_RECEIPT, COMPRESSED, RAW
from act_inference_ros.joints import Joint, JointBinding, StateBinding
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.robot.given_parameters import raise_problems
from act_inference_ros.spec import STATE_KEY, PolicySpec

ACTION_KEY = "action"
CONTROLLER = ACTION_KEY
NO_LIMIT = 1e6
"""Limit of velocity, per s, and acceleration, per s2: larger than any step of a data set in any unit."""
AGE_IN_FRAMES, SKEW_IN_FRAMES = 1.5, 0.5
"""A frame's data is valid until the next frame, and is never combined with another frame's."""


def check_fits(info: DatasetInfo, spec: PolicySpec) -> None:
    """Raise one ConfigurationError that shows both sides of everything in which data set and policy differ."""
    problems = [
        problem
        for key, length in spec.vectors.items()
        if (problem := _vector_problem(info, key, length, "reads")) is not None
    ]
    for image in spec.images:
        feature = info.features.get(image.key)
        if feature is None or not feature.is_image or feature.image_shape != image.shape:
            problems.append(f"{image.key}: the policy reads images {image.shape}, {_what_there_is(info, image.key)}")
    action = _vector_problem(info, ACTION_KEY, spec.action_dim, "commands")
    if action is not None:
        problems.append(action)
    raise_problems(f"the data set {info.root} does not fit the policy", problems)


def read_keys(info: DatasetInfo, spec: PolicySpec) -> list[str]:
    """Return the features to read: the policy's inputs, the action, the commander, and the state at motion starts."""
    state = state_feature(info, spec)
    marks = [INTERVENTION] if marked(info) else []
    return list(dict.fromkeys([*spec.keys, ACTION_KEY, *marks, *([state.key] if state is not None else [])]))


def marked(info: DatasetInfo) -> bool:
    """Whether the data set says of each frame whether a person or a policy commanded."""
    feature = info.features.get(INTERVENTION)
    return feature is not None and feature.is_vector and feature.shape == (1,)


def state_feature(info: DatasetInfo, spec: PolicySpec) -> Feature | None:
    """Return the state that the policy reads, else the data set's, which gives a motion's start; None without any."""
    feature = info.features.get(spec.state_key if spec.state_dim is not None else STATE_KEY)
    return feature if feature is not None and feature.is_vector else None


def stand_in_robot(info: DatasetInfo, spec: PolicySpec, robot: RobotConfiguration | None = None) -> RobotConfiguration:
    """Check the data set against the policy, and return a configuration that `spec` fits. Raises ConfigurationError.

    `robot` is a parameter file's configuration, if there is one; it is checked against the policy and the data set.
    """
    check_fits(info, spec)
    if robot is None:
        return _replayed(info, spec)
    robot.check_fits(spec)
    _check_robot(info, spec, robot)
    replayed = _replayed(info, spec)
    controllers = tuple(replace(each, joints=robot.action.names) for each in replayed.controllers)
    given: dict[str, Any] = {name: getattr(robot, name) for name in _OF_THE_ROBOT}
    return replace(replayed, controllers=controllers, inference_rate=min(info.fps, robot.inference_rate), **given)


_OF_THE_ROBOT = (
    "state",
    "action",
    "unlimited_joints",
    "command_rate",
    "merge",
    "blend_time",
    "ensemble_coeff",
    "coast_time",
    "max_plan_age",
)


def _check_robot(info: DatasetInfo, spec: PolicySpec, robot: RobotConfiguration) -> None:
    """Raise one ConfigurationError that shows both sides of everything in which data set and parameter file differ."""
    problems = []
    if robot.fps != info.fps:
        problems.append(f"fps: the data set has {info.fps:g}, the parameter file {robot.fps:g}")
    pairs = [(ACTION_KEY, "action.joints", robot.action.names)]
    if robot.state is not None and spec.state_dim is not None:
        pairs.append((spec.state_key, "state.joints", robot.state.names))
    for key, parameter, ours in pairs:
        theirs = info.features[key].names
        if any(name in theirs and theirs[place] != name for place, name in enumerate(ours)):
            problems.append(f"{parameter}: another order: {key} is {list(theirs)}, the parameter file has {list(ours)}")
    raise_problems(f"the data set {info.root} does not fit the parameter file", problems)


def _replayed(info: DatasetInfo, spec: PolicySpec) -> RobotConfiguration:
    """Return a configuration for the replay: features are topics and joints, and a frame's data comes together."""
    cameras = {image.camera: info.features[image.key] for image in spec.images}
    state = info.features[spec.state_key].names if spec.state_dim is not None else ()
    joints = info.features[ACTION_KEY].names
    # A data set's names are put in later, because a parameter such as `lift/velocity` would be more than a name.
    placeholders = [f"action{i}" for i in range(len(joints))]
    configuration = RobotConfiguration.from_parameters(
        {
            "fps": info.fps,
            "inference_rate": info.fps,
            "command_rate": max(1.0, info.fps),
            "stamps": BY_RECEIPT,
            "max_age": AGE_IN_FRAMES / info.fps,
            "max_skew": SKEW_IN_FRAMES / info.fps,
            "state.topic": spec.state_key,
            "environment_state.topic": spec.environment_state_key,
            "cameras": list(cameras),
            **{f"camera.{name}.topic": feature.key for name, feature in cameras.items()},
            **{
                f"camera.{name}.transport": RAW if feature.dtype == VIDEO else COMPRESSED
                for name, feature in cameras.items()
            },
            "action.joints": placeholders,
            "controllers": [CONTROLLER],
            f"controller.{CONTROLLER}.topic": ACTION_KEY,
            f"controller.{CONTROLLER}.joints": placeholders,
            f"controller.{CONTROLLER}.interface": "position_stream",
        }
    )
    return replace(
        configuration,
        state=StateBinding.of_positions([Joint(name) for name in state]) if state else None,
        action=JointBinding([Joint(name, max_velocity=NO_LIMIT, max_acceleration=NO_LIMIT) for name in joints]),
        controllers=tuple(replace(each, joints=tuple(joints)) for each in configuration.controllers),
        unlimited_joints=tuple(joints),
    )


def _vector_problem(info: DatasetInfo, key: str, length: int, verb: str) -> str | None:
    feature = info.features.get(key)
    if feature is not None and feature.is_vector and feature.shape == (length,):
        return None
    near = [each.key for each in info.features.values() if each.is_vector and each.shape == (length,)]
    hint = f"; so many numbers have {', '.join(near)}" if near and feature is None else ""
    return f"{key}: the policy {verb} {length} numbers, {_what_there_is(info, key)}{hint}"


def _what_there_is(info: DatasetInfo, key: str) -> str:
    feature = info.features.get(key)
    if feature is None:
        return f"the data set has no such feature, but {', '.join(info.features)}"
    return f"the data set has {feature.text}"
