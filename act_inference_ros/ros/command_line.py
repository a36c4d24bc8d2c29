"""The common part of the executables' command lines: --help, ROS arguments, one line for a user's mistake."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import rclpy
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.robot.parameters import Parameter

_OF_FILE = re.compile(r"Couldn't parse params file: '--params-file (.*)'\. Error: (.*)")
"""The start of rcl's message about a parameter file that it cannot read."""


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
    for path in parameter_files(arguments):
        if not Path(path).is_file():
            problem = "is a directory, not a file" if Path(path).is_dir() else "there is no such file"
            raise ConfigurationError(f"parameter file {path}: {problem}")
    options_in(arguments, parser)
    initialise_rclpy(arguments)


def options_in(arguments: list[str], parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Return the program's own options; `arguments` begin with its name, and ROS's are left out.

    Raises ConfigurationError if ROS's are not as they must be.
    """
    with readable_ros_errors():
        return parser.parse_args(remove_ros_args(arguments)[1:])


def initialise_rclpy(arguments: list[str]) -> None:
    """Initialise rclpy without its signal handlers. Raises ConfigurationError if it does not accept the arguments."""
    with readable_ros_errors():
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)


def parameter_files(arguments: Sequence[str]) -> list[str]:
    """Return the parameter files that a command line names."""
    return [path for flag, path in pairwise(arguments) if flag == "--params-file"]


@contextmanager
def readable_ros_errors() -> Iterator[None]:
    """Turn rcl's errors about arguments and parameter files into a ConfigurationError of one line."""
    try:
        yield
    except RuntimeError as error:
        # What follows in rcl's message is a trace into its C code.
        message = " ".join(str(error).split()).partition(", at ")[0]
        of_file = _OF_FILE.search(message)
        raise ConfigurationError(f"parameter file {of_file[1]}: {of_file[2]}" if of_file else message) from error


def parameter_table(parameters: Sequence[Parameter]) -> str:
    """Return one indented line per parameter: name and default, description, allowed values."""
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
