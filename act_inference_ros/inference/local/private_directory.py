"""A directory that belongs to this user alone, and functions that open its files without following links."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from act_inference_ros.errors import ConfigurationError

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
LOCK_FILE = ".lock"


def private_directory(directory: Path) -> Path:
    """Make `directory` (0700) and its parent if they do not exist, and check both.

    Raises ConfigurationError if either is a link, belongs to another user, or may be written by others.
    """
    for each in (directory.parent, directory):
        try:
            each.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            each.mkdir(mode=0o700, exist_ok=True)
            os.close(open_directory(each))
        except OSError as error:
            raise ConfigurationError(
                f"{each}: expected a directory of this user's that nobody else may write: {error.strerror}; remove it, "
                "or set XDG_CACHE_HOME to another directory"
            ) from error
    return directory


def open_directory(path: Path) -> int:
    """Return a descriptor. Raises OSError, or PermissionError if it is not only this user's to write."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _check(os.fstat(descriptor))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def open_file(name: str, directory: int) -> BinaryIO:
    """Open a regular file in an open directory. Raises OSError, or PermissionError if it is not only ours to write."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    try:
        status = os.fstat(descriptor)
        _check(status)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise PermissionError(0, f"{name} is not a file of its own")
    except OSError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a lock against other processes that ask for the same lock; waits for it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(directory / LOCK_FILE, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _check(status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise PermissionError(0, f"it belongs to user {status.st_uid}, this is user {os.geteuid()}")
    if status.st_mode & _OTHERS_WRITE:
        raise PermissionError(0, f"others may write it (mode {stat.S_IMODE(status.st_mode):04o})")
