"""Which files make a checkpoint complete, and opening them with care. Imports neither torch nor safetensors."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from act_inference_ros.errors import CheckpointError
from act_inference_ros.policy.refusals import refusal

HUB_PREFIX = "hf:"
"""What an id of the Hugging Face hub begins with: hf:owner/name[@revision]."""
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
FILES = (CONFIG_FILE, WEIGHTS_FILE)
"""What every LeRobot checkpoint has, whatever its age; newer ones have processor files beside them."""


def is_complete(directory: Path) -> bool:
    """Return whether every file of a checkpoint is in `directory`; what the files hold is judged when they are read."""
    return all((directory / name).is_file() for name in FILES)


def open_file(path: Path, expected: str) -> BinaryIO:
    """Open a regular file of a checkpoint for reading bytes; `expected` says what it should be, for messages.

    Raises CheckpointError for what is no file, for a pipe would be waited on for ever, and for what cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise refusal(path, expected, "none") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise unreadable(path, expected, error) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise refusal(path, expected, "a directory" if path.is_dir() else "a pipe or a device")
    return os.fdopen(descriptor, "rb")


def unreadable(path: Path, expected: str, error: Exception) -> CheckpointError:
    """The error for a file that is there but cannot be read."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return refusal(path, f"{expected} that can be read", reason)


def sibling(path: Path, name: object) -> Path | None:
    """The file of that name beside `path`, as files of a checkpoint name each other; None if it is no plain name."""
    if not isinstance(name, str) or not 0 < len(name) <= 255 or not name.isprintable():
        return None
    return None if any(part in name for part in ("/", "\\", ":", "..")) else path.parent / name
