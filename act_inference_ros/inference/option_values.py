"""Checks for single options of a client, shared by both modes. Imports no package of either mode."""

from __future__ import annotations

import math
import reprlib
from numbers import Real
from os import PathLike, fspath
from typing import Any

from act_inference_ros.errors import ConfigurationError

MAX_TEXT = 4096
"""Longest option, characters: the longest path in Linux."""


def check_number(name: str, value: Any, least: float, most: float, above: bool = False) -> None:
    """Raise ConfigurationError unless `value` is a finite number from `least` (or above it) to `most`."""
    known = isinstance(value, Real) and not isinstance(value, bool)
    if not known or not least <= value <= most or (above and value == least) or not math.isfinite(value):
        raise _refused(name, f"a number {'above' if above else 'from'} {least:g}, at most {most:g}", value)


def check_whole_number(name: str, value: Any, least: int, most: int) -> None:
    """Raise ConfigurationError unless `value` is an int from `least` to `most`."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise _refused(name, f"a whole number of at least {least}, at most {most}", value)


def check_flag(name: str, value: Any) -> None:
    """Raise ConfigurationError unless `value` is True or False: a text such as "no" would count as true."""
    if not isinstance(value, bool):
        raise _refused(name, "True or False", value)


def check_text(name: str, value: Any) -> None:
    """Raise ConfigurationError unless `value` is text that can name a file or a server; empty is allowed."""
    if not isinstance(value, str) or len(value) > MAX_TEXT or not _is_plain(value):
        raise _refused(name, f"text of at most {MAX_TEXT} characters without control characters", value)


def text_of(name: str, given: str | int | PathLike[str] | None) -> str:
    """Return an argument as text, empty for None. Raises ConfigurationError for any other type."""
    if isinstance(given, PathLike):
        given = fspath(given)
    if given is not None and not isinstance(given, (str, int)):
        raise _refused(name, "text or a path", given)
    return str(given or "")


def _is_plain(text: str) -> bool:
    """Whether the text has neither control characters nor surrogates."""
    return all(character >= " " and not "\ud800" <= character <= "\udfff" for character in text)


def _refused(name: str, expected: str, got: Any) -> ConfigurationError:
    return ConfigurationError(f"{name}: expected {expected}, got {reprlib.repr(got)}")
