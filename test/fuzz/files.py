"""A target whose reader opens one of several files on the disk: the first byte of an input says which it replaces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from act_inference_ros.errors import ConfigurationError
from test.fuzz.mutation import with_selector
from test.fuzz.target import Mutate, Target


def file_target(
    name: str,
    files: Sequence[Path],
    opened: Sequence[Path],
    read: Callable[[Path], object],
    seeds: Sequence[bytes],
    mutate: Sequence[Mutate],
    memory_bytes: int,
) -> Target:
    """The target that puts an input in the place of one of `files`, and gives the one of `opened` to `read`.

    Afterwards the file is again what it was. The reader may raise a ConfigurationError.
    """
    whole = [path.read_bytes() if path.exists() else b"" for path in files]

    def check(data: bytes) -> None:
        kind = data[0] % len(files) if data else 0
        files[kind].write_bytes(data[1:])
        try:
            read(opened[kind])
        finally:
            files[kind].write_bytes(whole[kind])

    return Target(name, check, seeds, with_selector(mutate), (ConfigurationError,), memory_bytes)
