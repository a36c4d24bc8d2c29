"""Finds bags: directories with metadata.yaml, and storage files without."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path

from act_inference_ros.errors import ConfigurationError

METADATA = "metadata.yaml"
STORAGE_SUFFIXES = (".mcap", ".db3", ".mcap.zstd", ".db3.zstd")
DEEPEST = 32
"""Most directories in one another below a given path."""
_PART = re.compile(r"(?P<stem>.*)_(?P<number>\d+)")


def find_bags(paths: Sequence[str | PathLike[str]]) -> list[Path]:
    """Return every bag in the given bags, storage files and directories of bags, each once, in order.

    Below one path a directory is looked into once, whatever symbolic links lead to it. Raises ConfigurationError for a
    path that does not exist, cannot be read, or holds no bag, and for directories that are nested too deeply.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        try:
            if not path.exists():
                raise ConfigurationError(f"bag {path}: no such file or directory")
            bags = list(_bags_below(path, set(), 0))
        except OSError as error:
            raise ConfigurationError(f"bag {path}: cannot be read: {error}") from error
        if not bags:
            raise ConfigurationError(
                f"bag {path}: no rosbag2 bag here; expected a directory with {METADATA}, or .mcap or .db3 files"
            )
        found += bags
    return list(dict.fromkeys(found))


def storage_files(directory: Path) -> list[Path]:
    """Return the storage files of a bag's directory; the parts of a split bag are in the order of writing."""
    files = [file for file in directory.iterdir() if file.name.endswith(STORAGE_SUFFIXES) and file.is_file()]
    return sorted(files, key=lambda file: (_stem(file), _part(file), file.name))


def _bags_below(path: Path, seen: set[tuple[int, int]], depth: int) -> Iterator[Path]:
    if path.is_file():
        if path.name.endswith(STORAGE_SUFFIXES):
            yield path
        return
    status = path.stat()
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    if depth > DEEPEST:
        raise ConfigurationError(
            f"bag {path.parents[depth - 1]}: expected at most {DEEPEST} directories in one another, got more"
        )
    files = storage_files(path)
    if (path / METADATA).exists() or (files and len({_stem(file) for file in files}) == 1):
        yield path
        return
    yield from files
    for below in sorted(path.iterdir()):
        if below.is_dir():
            yield from _bags_below(below, seen, depth + 1)


def _stem(file: Path) -> str:
    part = _PART.fullmatch(file.name.split(".")[0])
    return part["stem"] if part else file.name


def _part(file: Path) -> int:
    part = _PART.fullmatch(file.name.split(".")[0])
    return int(part["number"]) if part else 0
