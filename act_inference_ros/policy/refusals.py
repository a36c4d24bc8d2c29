"""The form of all messages about a checkpoint: the file, the part of it, what was expected and what was found."""

from __future__ import annotations

from pathlib import Path

from act_inference_ros.errors import CheckpointError

_LONGEST = 300


def refusal(path: Path, expected: str, found: object, thing: str = "") -> CheckpointError:
    """The error about `thing` in a file: one printable line, whatever the length or content of `found`."""
    about = f"{shown(thing)}: " if thing else ""
    return CheckpointError(f"{shown(path, 4096)}: {about}expected {expected}; found {shown(found)}")


def shown(value: object, longest: int = _LONGEST) -> str:
    """A value from a checkpoint in one line of at most about `longest` characters."""
    text = str(value)
    if len(text) > longest:
        text = f"{text[:longest]} ... ({len(text)} characters)"
    # A lone surrogate, which JSON can hold, cannot be printed.
    return " ".join(text.split()).encode("utf-8", "backslashreplace").decode()
