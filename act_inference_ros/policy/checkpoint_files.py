"""Which files make a checkpoint complete, and how they are opened safely. Imports neither torch nor safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from act_inference_ros.errors import CheckpointError
from act_inference_ros.policy.refusals import refusal
from act_inference_ros.program.regular_files import NotRegularFileError, open_regular

HUB_PREFIX = "hf:"
"""The prefix of an id of the Hugging Face hub: hf:owner/name[@revision]."""
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
FILES = (CONFIG_FILE, WEIGHTS_FILE)
"""The files of every LeRobot checkpoint, old or new; newer ones also have processor files."""


def is_complete(directory: Path) -> bool:
    """Return whether every file of a checkpoint is in `directory`; the contents are checked when the files are read."""
    return all((directory / name).is_file() for name in FILES)


def open_file(path: Path, expected: str) -> BinaryIO:
    """Open a regular file of a checkpoint for reading bytes; `expected` describes the file in messages.

    Raises CheckpointError for anything but a regular file (reading a pipe could block for ever), and for unreadable
    files.
    """
    try:
        return open_regular(path)
    except FileNotFoundError:
        raise refusal(path, expected, "none") from None
    except IsADirectoryError:
        raise refusal(path, expected, "a directory") from None
    except NotRegularFileError:
        raise refusal(path, expected, "a pipe or a device") from None
    except OSError as error:
        raise unreadable(path, expected, error) from error


def unreadable(path: Path, expected: str, error: Exception) -> CheckpointError:
    """The error for a file that exists but cannot be read."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return refusal(path, f"{expected} that can be read", reason)


def sibling(path: Path, name: object) -> Path | None:
    """The file `name` in the directory of `path`, as one checkpoint file names another; None for anything else."""
    if not isinstance(name, str) or not 0 < len(name) <= 255 or not name.isprintable():
        return None
    return None if any(part in name for part in ("/", "\\", ":", "..")) else path.parent / name
