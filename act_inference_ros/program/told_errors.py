"""Passes errors from one process to another, as plain JSON."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any

from act_inference_ros import errors
from act_inference_ros.errors import ActInferenceError

_LONGEST_MESSAGE = 10_000
"""Of an error, characters: a channel between processes takes no more than ten times as much."""


def told(error: Exception, unforeseen: type[ActInferenceError] = ActInferenceError) -> dict[str, Any]:
    """Return an error as a message; an unforeseen one is printed here with its traceback, and told as `unforeseen`."""
    if isinstance(error, ActInferenceError):
        return {"error": type(error).__name__, "message": str(error)[:_LONGEST_MESSAGE]}
    traceback.print_exception(error)
    lines = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return {"error": unforeseen.__name__, "message": text[:_LONGEST_MESSAGE]}


def heard(message: Mapping[str, Any], unknown: type[ActInferenceError] = ActInferenceError) -> ActInferenceError:
    """Return the error that `told` made a message of; `unknown` if it names none of the package's own."""
    kind = getattr(errors, str(message["error"]), None)
    if not (isinstance(kind, type) and issubclass(kind, ActInferenceError)):
        kind = unknown
    return kind(str(message.get("message", "")))
