"""The parameters of act_inference_ros.robot.parameters on a ROS node: declared with types, ranges and descriptions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.robot.given_parameters import concrete_parameters, raise_problems
from act_inference_ros.robot.parameters import Parameter
from act_inference_ros.robot.parts import shared_topics

_RCLPY_PREFIXES = ("use_sim_time", "qos_overrides.", "start_type_description_service")


def declare_all(node: Node) -> None:
    """Declare the policy node's parameters, including those of each camera, joint and controller named so far."""
    declare(node, concrete_parameters(in_force(node)).values())


def declare(node: Node, parameters: Iterable[Parameter]) -> None:
    """Declare parameters on a node that was made with `automatically_declare_parameters_from_overrides`.

    A value of the wrong type or out of range keeps its untyped declaration: `given` returns it, and `complete` reports
    it together with the other problems.
    """
    values = given(node)
    for parameter in parameters:
        if parameter.name in values:
            try:
                value = parameter.converted(values[parameter.name])
            except ConfigurationError:
                continue
            node.undeclare_parameter(parameter.name)
        else:
            value = parameter.default
        node.declare_parameter(parameter.name, value, descriptor(parameter), ignore_override=True)


def given(node: Node) -> dict[str, Any]:
    """Return name -> value of all parameters of the node except rclpy's own."""
    parameters: Mapping[str, RosParameter] = node.get_parameters_by_prefix("")
    return {
        name: parameter.value
        for name, parameter in parameters.items()
        if not is_of_rclpy(name) and parameter.type_ != RosParameter.Type.NOT_SET
    }


def in_force(node: Node) -> dict[str, Any]:
    """Return name -> value of the policy node's parameters, as `given` does, without leftover ones.

    A parameter of a camera, joint or controller is left over when no list names that thing any more. A declared
    parameter cannot be deleted, so this is no mistake; its value applies again when a list names the thing again.
    """
    values = given(node)
    concrete = concrete_parameters(values)
    return {
        name: value
        for name, value in values.items()
        if name in concrete or not node.describe_parameter(name).description  # rclpy's own declaration has none
    }


def is_of_rclpy(name: str) -> bool:
    """Whether a parameter belongs to rclpy itself, such as use_sim_time."""
    return name.startswith(_RCLPY_PREFIXES)


def descriptor(parameter: Parameter) -> ParameterDescriptor:
    """Describe a parameter to ROS tools; the type and range are enforced by rclpy from then on."""
    choices = f" One of: {', '.join(choice or '(empty)' for choice in parameter.choices)}." if parameter.choices else ""
    when = "" if parameter.live else " Cannot be changed while running."
    made = ParameterDescriptor(name=parameter.name, description=parameter.description + choices + when)
    # A list may be empty, and ROS 2 parameter files cannot give an empty list a type.
    made.dynamic_typing = isinstance(parameter.default, list)
    if parameter.minimum is not None and parameter.maximum is not None:
        if isinstance(parameter.default, float):
            made.floating_point_range = [FloatingPointRange(from_value=parameter.minimum, to_value=parameter.maximum)]
        else:
            made.integer_range = [IntegerRange(from_value=int(parameter.minimum), to_value=int(parameter.maximum))]
    return made


def check_topics(node: Node, configuration: RobotConfiguration) -> None:
    """Raise one ConfigurationError for invalid topic names, and for topics that remapping makes the same."""
    problems, resolved = [], []
    for name, topic in configuration.topics:
        try:
            resolved.append((name, node.resolve_topic_name(topic)))
        except RuntimeError as error:  # rcl's message ends with a line of its C code
            problems.append(f"{name}: {topic!r}: {str(error).partition('name: ')[2].partition(', at ')[0]}")
    raise_problems("parameters", problems + shared_topics(resolved))


def live_names(values: Mapping[str, Any]) -> set[str]:
    """Names of the parameters that take effect while the node runs."""
    return {name for name, parameter in concrete_parameters(values).items() if parameter.live}
