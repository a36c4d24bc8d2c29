"""The launch files' arguments, which are texts: each is checked before anything is started.

An error that comes later, from within a launch action, ends `ros2 launch` but not the nodes that run already.
"""

from __future__ import annotations

from collections.abc import Sequence

from act_inference_ros.errors import ConfigurationError

MODES = ("local", "triton")


def boolean(name: str, text: str) -> bool:
    """True or false, in any case of letters. Raises ConfigurationError for anything else."""
    if text.lower() not in ("true", "false"):
        raise ConfigurationError(f"{name}: expected true or false, got {text!r}")
    return text.lower() == "true"


def whole_number(name: str, text: str, highest: int | None = None) -> int:
    """A whole number from 0, to `highest` if that is given. Raises ConfigurationError for anything else."""
    if not (text.isascii() and text.isdecimal()) or (highest is not None and int(text) > highest):
        upper = "" if highest is None else f" to {highest}"
        raise ConfigurationError(f"{name}: expected a whole number from 0{upper}, got {text!r}")
    return int(text)


def number(name: str, text: str, lowest: float, highest: float) -> float:
    """A number from `lowest` to `highest`. Raises ConfigurationError for anything else."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not lowest <= value <= highest:
        raise ConfigurationError(f"{name}: expected a number from {lowest:g} to {highest:g}, got {text!r}")
    return value


def one_of(name: str, text: str, choices: Sequence[str]) -> str:
    """One of `choices`, as it is. Raises ConfigurationError for anything else."""
    if text not in choices:
        raise ConfigurationError(f"{name}: expected {' or '.join(filter(None, choices))}, got {text!r}")
    return text
