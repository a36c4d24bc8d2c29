"""The node's parameter file, read without ROS: the same file, the same names, the same checks."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from act_inference_ros.errors import ConfigurationError, MissingDependencyError
from act_inference_ros.program.regular_files import read_regular
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.robot.plain_yaml import NotPlain, read_plain
from act_inference_ros.robot.topic_names import DEFAULT_NODE, NODE_NAME

PARAMETERS_KEY = "ros__parameters"
MOST_BYTES = 2**16
"""Largest parameter file. That of a robot with two arms has about six kilobytes."""
_LONGEST_TEXT = 500
_OF_RCLPY = ("use_sim_time", "qos_overrides.", "start_type_description_service")
_SCIENTIFIC = re.compile(r"[-+]?\d+(?:_\d+)*(?:\.\d*)?[eE][-+]?\d+")


def read_configuration(*paths: str | PathLike[str], node: str = DEFAULT_NODE) -> RobotConfiguration:
    """Read one or more parameter files; later files override earlier ones, as with `ros2 run ... --params-file`.

    The topics in the result have full names; relative names are resolved for `node`, the node's full name.

    Raises ConfigurationError for a file that is no parameter file, or with all problems of its parameters in one
    message, and MissingDependencyError without PyYAML.
    """
    return RobotConfiguration.from_parameters(read_parameters(*paths), node=node)


def read_parameters(*paths: str | PathLike[str]) -> dict[str, Any]:
    """Return name (nested keys joined by dots) -> value for all sections for policy_node. Raises as above."""
    if not paths:
        raise ConfigurationError("no parameter file given; the node's own file says which topics and joints to read")
    parameters: dict[str, Any] = {}
    for path in map(Path, paths):
        content = _load(path)
        found = _sections(content) if isinstance(content, dict) else ()
        sections = [section for names, section in found if _is_ours(names)]
        if not sections:
            raise ConfigurationError(
                f"{path}: not a parameter file of {NODE_NAME}: expected `/**/{NODE_NAME}:` with `{PARAMETERS_KEY}:` "
                "below it, as in config/sim_arm.yaml"
            )
        for section in sections:
            parameters.update(_flat(section))
    return {name: value for name, value in parameters.items() if not name.startswith(_OF_RCLPY)}


def why_nothing_applies(path: str | PathLike[str], node: str) -> str | None:
    """Say in a sentence that a parameter file has nothing for the node with that full name, and which nodes it is for.

    None if the file has parameters for the node, or for no node at all. Raises as above.
    """
    content = _load(Path(path))
    keys = [names for names, _ in _sections(content)] if isinstance(content, dict) else []
    if not keys or any(_matches(names, tuple(node.strip("/").split("/"))) for names in keys):
        return None
    others = ", ".join(_shown_key(names) for names in keys)
    return (
        f"parameter file {path} has nothing for this node, {node}, only for {_one_line(others)}; "
        f"write `/**/{node.rpartition('/')[2]}:` there, or start the node under that name"
    )


def parameter_file_text(values: Mapping[str, Any]) -> str:
    """Return a parameter file with these values, which `read_parameters` and ROS read back as they are.

    An empty list is left out, because a ROS parameter file cannot state the type of its elements.
    """
    lines = [f"/**/{NODE_NAME}:", f"  {PARAMETERS_KEY}:"]
    lines += [f"    {name}: {_yaml(value)}" for name, value in sorted(values.items()) if _is_sayable(value)]
    return "\n".join(lines) + "\n"


def _is_sayable(value: Any) -> bool:
    return not isinstance(value, (list, tuple)) or len(value) > 0


def _yaml(value: Any) -> str:
    """Return one value in YAML's flow style."""
    if isinstance(value, (bool, str)):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float):
        if not math.isfinite(value):
            return ".nan" if math.isnan(value) else ".inf" if value > 0.0 else "-.inf"
        text = repr(value)
        return text if "." in text else text.replace("e", ".0e")  # 1e-06 would be a string to some readers
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_yaml, value))}]"
    return str(value)


def _load(path: Path) -> Any:
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise MissingDependencyError("reading a parameter file needs PyYAML: pip install pyyaml") from error
    try:
        text = read_regular(path, MOST_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise ConfigurationError(f"parameter file {path}: {reason}") from error
    try:
        return read_plain(text)  # ROS refuses aliases, too
    except NotPlain as error:
        raise ConfigurationError(f"parameter file {path}: {_one_line(error)}") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"parameter file {path}: not YAML: {_one_line(error)}") from error
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        # A value whose tag says what it is not, such as a date of month 99, may raise any of these.
        raise ConfigurationError(f"parameter file {path}: a value that is none: {_one_line(error)}") from error


def _one_line(told: object) -> str:
    line = " ".join(str(told).split())
    return "".join(each if each.isprintable() else "?" for each in line[:_LONGEST_TEXT])


def _sections(
    content: Mapping[Any, Any], names: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Mapping[Any, Any]]]:
    """Give each node name or pattern, split into its parts, with its parameters (ROS 2 design: parameter files)."""
    for key, value in content.items():
        if not isinstance(value, dict):
            continue
        if key == PARAMETERS_KEY:
            yield names, value
        else:
            yield from _sections(value, (*names, *str(key).strip("/").split("/")))


def _shown_key(names: tuple[str, ...]) -> str:
    """Return the key of a section as the file has it."""
    if not names:
        return f"no node, because {PARAMETERS_KEY} stands below no name"
    return "/".join(("", *names) if names[0].startswith("*") else names)


def _is_ours(names: tuple[str, ...]) -> bool:
    return bool(names) and names[-1] in (NODE_NAME, "*", "**")


def _matches(pattern: tuple[str, ...], name: tuple[str, ...]) -> bool:
    """Whether a pattern matches a full name, by rcl's rules: `*` matches one part, `**` any number of parts."""
    if not pattern or not name:
        return not name and all(part == "**" for part in pattern)
    if pattern[0] == "**":
        while pattern[1:2] == ("**",):  # several mean the same as one, and would take long
            pattern = pattern[1:]
        return _matches(pattern[1:], name) or _matches(pattern, name[1:])
    return pattern[0] in ("*", name[0]) and _matches(pattern[1:], name[1:])


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
    """Convert text such as `1e-3`: ROS reads it as a number, but YAML 1.1 (and so PyYAML) as a string."""
    return float(value) if isinstance(value, str) and _SCIENTIFIC.fullmatch(value) else value


def unit_texts(configuration: RobotConfiguration) -> dict[str, str]:
    """Return joint of the action -> its units in the policy, as `policy = scale * ros + offset`."""
    return {
        joint.name: f"policy = {joint.scale:.6g} * ros + {joint.offset:.6g}" for joint in configuration.action.joints
    }
