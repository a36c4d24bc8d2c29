"""The tensors of a safetensors file as stored: names, types, shapes and bytes. Needs neither torch nor numpy.

Source of the format: a length (8 bytes, little-endian), a JSON object of that length, then the tensors' bytes. The JSON
object gives the place of each tensor by offsets from the object's end.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from act_inference_ros.policy import bounds
from act_inference_ros.policy.checkpoint_files import open_file
from act_inference_ros.policy.refusals import refusal

_METADATA = "__metadata__"
_WHOLE = "a whole safetensors file"


@dataclass(frozen=True)
class RawTensor:
    """One stored tensor: its type in safetensors' words (F32, BF16 ...), its shape, and its bytes, little-endian."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    content: memoryview


@contextmanager
def raw_tensors(path: Path) -> Iterator[list[RawTensor]]:
    """Yield the tensors of a file, mapped into memory: their bytes are valid only within the `with` block.

    Raises CheckpointError for a damaged file. The values of the tensors are not checked.
    """
    try:
        with open_file(path, _WHOLE) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            whole = memoryview(mapped)
            tensors: list[RawTensor] = []
            try:
                tensors += _tensors(path, whole)
                yield tensors
            finally:
                for tensor in tensors:
                    tensor.content.release()
                whole.release()
    except (OSError, ValueError) as error:  # ValueError: an empty file cannot be mapped
        raise refusal(path, _WHOLE, error) from error


def _tensors(path: Path, whole: memoryview) -> list[RawTensor]:
    length = int.from_bytes(whole[:8], "little")
    largest = min(bounds.HEADER_BYTES, len(whole) - 8)
    if length > largest:
        raise refusal(path, f"a header of at most {largest} bytes", length)
    start = 8 + length
    try:
        header = json.loads(bytes(whole[8:start]))
        entries = [_checked(name, entry, len(whole) - start) for name, entry in header.items() if name != _METADATA]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise refusal(path, "the header of a safetensors file", error) from error
    # Views of the contents exist only from here on: an error's traceback would keep them, and the file could not be
    # closed.
    return [RawTensor(name, dtype, shape, whole[start + a : start + b]) for name, dtype, shape, a, b in entries]


def _checked(name: str, entry: Any, size: int) -> tuple[str, str, tuple[int, ...], int, int]:
    """Name, type, shape, begin and end of one entry of the header."""
    begin, end = entry["data_offsets"]
    if not 0 <= begin <= end <= size:
        raise ValueError(f"{name} from {begin} to {end} of {size} bytes")
    return name, str(entry["dtype"]), tuple(int(length) for length in entry["shape"]), int(begin), int(end)
