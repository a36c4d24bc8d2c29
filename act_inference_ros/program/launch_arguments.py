"""The launch files' arguments, which are texts: each is checked before anything is started.

An error that comes later, from within a launch action, ends `ros2 launch` but not the nodes that run already.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from act_inference_ros.errors import ConfigurationError

_ALMOST = 0.75
"""Of difflib's ratio: two letters swapped in a word of four."""


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


def existing_file(name: str, text: str) -> str:
    """The full path of a file; empty for an empty text. Raises ConfigurationError where there is no such file."""
    return _existing(name, text, "file", Path.is_file) if text else ""


def existing_directory(name: str, text: str) -> str:
    """The full path of a directory. Raises ConfigurationError where there is none."""
    return _existing(name, text, "directory", Path.is_dir)


def existing_path(name: str, text: str) -> str:
    """The full path of a file or a directory. Raises ConfigurationError where there is none."""
    return _existing(name, text, "file or directory", Path.exists)


def _existing(name: str, text: str, kind: str, is_one: Callable[[Path], bool]) -> str:
    path = Path(text).expanduser().absolute()
    if not is_one(path):
        raise ConfigurationError(f"{name}: {path}: {f'not a {kind}' if path.exists() else f'no such {kind}'}")
    return str(path)


def refuse_misspelt(given: Iterable[str], known: Sequence[str]) -> None:
    """Raise ConfigurationError for an argument that is almost one of `known`; launch ignores what it does not know.

    Others are left alone: they may belong to the launch file that includes this one.
    """
    for name in given:
        near = difflib.get_close_matches(name, known, n=1, cutoff=_ALMOST)
        if name not in known and near:
            raise ConfigurationError(f"{name}: there is no such launch argument; did you mean {near[0]}?")
