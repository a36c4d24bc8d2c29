"""Imports pyarrow and PyAV, which read and write a data set, when needed; defines the error for a damaged file."""

from __future__ import annotations

from typing import Any

from act_inference_ros.errors import ConfigurationError, MissingDependencyError

INSTALL = "pip install 'act_inference_ros[datasets]', or pip install pyarrow av"


class Unreadable(Exception):
    """The rest of an episode cannot be read; the message says why. Becomes a reason of that episode."""


def dataset_error(what: object, expected: str, got: object) -> ConfigurationError:
    """The error for something in a data set's description: `what` names the file and the thing in it."""
    return ConfigurationError(f"{what}: expected {expected}, got {str(got)[:200]}")


def pyarrow() -> tuple[Any, Any]:
    """Return pyarrow and pyarrow.parquet. Raises MissingDependencyError where it is not installed."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:  # a build for another numpy raises an ImportError that is no ModuleNotFoundError
        raise MissingDependencyError(f"a LeRobot data set needs pyarrow: {INSTALL}") from error
    return pyarrow, parquet


def pyav() -> Any:
    """Return the module av (PyAV). Raises MissingDependencyError where it is not installed."""
    try:
        import av
    except ImportError as error:
        raise MissingDependencyError(f"the videos of a LeRobot data set need PyAV: {INSTALL}") from error
    return av


def one_line(told: BaseException | str) -> str:
    """Return a library's error message, or a text out of a file, as one printable line of bounded length."""
    line = " ".join(str(told).split())[:200] or type(told).__name__
    return "".join(each if each.isprintable() else "?" for each in line)
