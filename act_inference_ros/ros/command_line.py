"""What the executables' command lines have in common: --help, ROS arguments, one line for a user's mistake."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import rclpy
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.robot.parameters import Parameter


def initialise(arguments: list[str], description: str, parameters: Sequence[Parameter]) -> None:
    """Answer --help, refuse arguments that are not ROS's, initialise rclpy without its signal handlers.

    `arguments` begin with the program's name. Raises ConfigurationError if rclpy does not accept them.
    """
    program = arguments[0].rsplit("/", 1)[-1]
    parser = argparse.ArgumentParser(
        prog=program,
        usage=f"{program} [--ros-args --params-file FILE -p NAME:=VALUE ...]",
        description=description,
        epilog=f"parameters and their defaults:\n{parameter_table(parameters)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    with readable_ros_errors():
        parser.parse_args(remove_ros_args(arguments)[1:])
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)


@contextmanager
def readable_ros_errors() -> Iterator[None]:
    """Turn rcl's errors about arguments and parameter files into a ConfigurationError of one line."""
    try:
        yield
    except RuntimeError as error:
        # What follows in rcl's message is a trace into its C code.
        message = " ".join(str(error).split()).partition(", at ")[0]
        raise ConfigurationError(message) from error


def parameter_table(parameters: Sequence[Parameter]) -> str:
    """One indented line per parameter: name and default, description, what values there are."""
    names = [f"{parameter.name}:={_yaml(parameter.default)}" for parameter in parameters]
    width = max(map(len, names))
    return "\n".join(
        f"  {name:<{width}}  {parameter.description}{_values(parameter)}"
        for name, parameter in zip(names, parameters, strict=True)
    )


def _values(parameter: Parameter) -> str:
    values = ", ".join(choice for choice in parameter.choices if choice) or parameter.range_text
    return f" ({values})" if values else ""


def _yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
