"""The dumps in a directory: their names, how one is recognised, and a limit on the disk space."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.program.regular_files import read_regular

ABOUT = "black_box.json"
"""File in the bag's directory that describes the dump. Only a directory with this file is a dump."""
PARAMETERS = "parameters.yaml"
"""File in the bag's directory with the parameters in force, as a parameter file."""
MOST_ABOUT_BYTES = 2**20
"""Largest description that is read; the node writes a few kilobytes."""
KEEP_DUMPS = 20
KEEP_BYTES = 2**30
"""How many dumps a directory has at most, and how many bytes; the oldest are removed for a new one."""
_NAME = re.compile(r"\d{8}T\d{6}\.\d{3}Z_[\w-]+")
_PARTIAL = re.compile(r"\.partial-(\d+)")


def dump_name(reason: str, when: datetime) -> str:
    """Return the name of a dump: `20260131T101500.250Z_stopped-operator`; names sort by time."""
    utc = when.astimezone(timezone.utc)
    words = re.sub(r"[^A-Za-z0-9]+", "-", reason).strip("-")[:60]
    return f"{utc:%Y%m%dT%H%M%S}.{utc.microsecond // 1000:03d}Z_{words or 'dump'}"


def is_dump(path: Path) -> bool:
    """Whether this directory is a dump of a black box."""
    return (path / ABOUT).is_file()


def is_partial(path: Path) -> bool:
    """Whether this path is in a directory of an incomplete dump, whose writer is running or was killed."""
    return any(_PARTIAL.fullmatch(part) for part in path.parts)


def read_about(path: Path) -> Mapping[str, Any]:
    """Return the description of the dump in this directory. Raises ConfigurationError if it cannot be read."""
    try:
        about = json.loads(read_regular(path / ABOUT, MOST_ABOUT_BYTES).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(f"{path / ABOUT}: cannot be read: {why}") from error
    if not isinstance(about, dict):
        raise ConfigurationError(f"{path / ABOUT}: expected an object of names and values")
    return about


def partial_directory(directory: Path) -> Path:
    """Return the directory for this process's incomplete dumps."""
    return directory / f".partial-{os.getpid()}"


def remove_leftovers(directory: Path) -> None:
    """Remove the incomplete dumps of processes that have ended."""
    for path in directory.iterdir():
        match = _PARTIAL.fullmatch(path.name)
        if match and not Path("/proc", match[1]).exists() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)


def make_room(directory: Path, size: int, keep: int = KEEP_DUMPS, keep_bytes: int = KEEP_BYTES) -> None:
    """Remove the oldest dumps, so that one more of `size` bytes is within the limits. Raises OSError.

    Only directories with the name and the description file of a dump are removed.
    """
    dumps = sorted(each for each in directory.iterdir() if _NAME.fullmatch(each.name) and is_dump(each))
    dumps = [each for each in dumps if not each.is_symlink()]
    total = sum(map(size_of, dumps))
    while dumps and (len(dumps) >= keep or total + size > keep_bytes):
        oldest = dumps.pop(0)
        total -= size_of(oldest)
        shutil.rmtree(oldest)


def size_of(path: Path) -> int:
    """Return how many bytes the files of a directory have."""
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
