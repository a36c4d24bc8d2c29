"""The node's parameter file, read without ROS: the same file, the same names, the same checks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from act_inference_ros.errors import ConfigurationError, MissingDependencyError
from act_inference_ros.robot.configuration import RobotConfiguration

NODE_NAME = "policy_node"
PARAMETERS_KEY = "ros__parameters"
_OF_RCLPY = ("use_sim_time", "qos_overrides.", "start_type_description_service")
_SCIENTIFIC = re.compile(r"[-+]?\d[\d_]*(?:\.\d*)?[eE][-+]?\d+")


def read_configuration(*paths: str | PathLike[str]) -> RobotConfiguration:
    """Read one or more parameter files, later ones overriding earlier ones, as `ros2 run ... --params-file` does.

    Raises ConfigurationError for a file that is not one, with every problem of its parameters in one message, and
    MissingDependencyError without PyYAML.
    """
    return RobotConfiguration.from_parameters(read_parameters(*paths))


def read_parameters(*paths: str | PathLike[str]) -> dict[str, Any]:
    """Name (nested keys joined by dots) -> value, of every section that is meant for policy_node. Raises as above."""
    if not paths:
        raise ConfigurationError("no parameter file given; the node's own file says which topics and joints to read")
    parameters: dict[str, Any] = {}
    for path in map(Path, paths):
        content = _load(path)
        sections = list(_sections(content)) if isinstance(content, dict) else []
        if not sections:
            raise ConfigurationError(
                f"{path}: not a parameter file of {NODE_NAME}: expected `/**/{NODE_NAME}:` with `{PARAMETERS_KEY}:` "
                "below it, as in config/sim_arm.yaml"
            )
        for section in sections:
            parameters.update(_flat(section))
    return {name: value for name, value in parameters.items() if not name.startswith(_OF_RCLPY)}


def _load(path: Path) -> Any:
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise MissingDependencyError("reading a parameter file needs PyYAML: pip install pyyaml") from error
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise ConfigurationError(f"parameter file {path}: {reason}") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"parameter file {path}: not YAML: {' '.join(str(error).split())}") from error


def _sections(content: Mapping[Any, Any], names: tuple[str, ...] = ()) -> Iterator[Mapping[Any, Any]]:
    """The parameters of every node name or pattern that policy_node has (ROS 2 design: parameter files)."""
    for key, value in content.items():
        if not isinstance(value, dict):
            continue
        if key == PARAMETERS_KEY:
            if _is_ours(names):
                yield value
        else:
            yield from _sections(value, (*names, *str(key).strip("/").split("/")))


def _is_ours(names: tuple[str, ...]) -> bool:
    return bool(names) and names[-1] in (NODE_NAME, "*", "**")


def _flat(section: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in section.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            flat.update(_flat(value, f"{name}."))
        else:
            flat[name] = _number_if_scientific(value)
    return flat


def _number_if_scientific(value: Any) -> Any:
    """ROS reads `1e-3` as a number, YAML 1.1 (and so PyYAML) as a string."""
    return float(value) if isinstance(value, str) and _SCIENTIFIC.fullmatch(value) else value


def unit_texts(configuration: RobotConfiguration) -> dict[str, str]:
    """Joint of the action -> how the policy counts it, as `policy = scale * ros + offset`."""
    return {
        joint.name: f"policy = {joint.scale:.6g} * ros + {joint.offset:.6g}" for joint in configuration.action.joints
    }
