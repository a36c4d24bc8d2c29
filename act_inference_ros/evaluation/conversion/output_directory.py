"""Writes a data set under another name beside its final path until it is complete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.datasets.description import INFO, is_dataset


def check_output(path: Path, force: bool) -> None:
    """Raise ConfigurationError if `path` exists and may not be replaced: only a data set may, and only with `force`."""
    if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
        return
    if not os.path.lexists(path):
        return
    if not force:
        raise ConfigurationError(f"--output {path}: exists; name another directory, or replace it with --force")
    if path.is_symlink() or not is_dataset(path):
        raise ConfigurationError(f"--output {path}: expected a LeRobot data set to replace, got no {INFO} in it")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give an empty directory beside `path`, which replaces `path` if the block succeeds, and is removed otherwise.

    Raises ConfigurationError if the directory cannot be made.
    """
    path = path.absolute()
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.mkdir()
    except OSError as error:
        raise ConfigurationError(f"--output {path}: cannot be made: {error.strerror}") from error
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    try:
        yield part
        if path.exists():
            path.rename(old)
        part.rename(path)
    except OSError as error:
        raise ConfigurationError(f"--output {path}: cannot be written: {error}") from error
    finally:
        if old.exists() and not path.exists():
            old.rename(path)
        for leftover in (part, old):
            shutil.rmtree(leftover, ignore_errors=True)
