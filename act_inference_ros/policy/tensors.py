"""Reading safetensors files strictly: a tensor asked for is there, has its shape and is finite, or an error says so.

Tensors are read one at a time and copied, so that a large file is never in memory as a whole and a checkpoint that is
replaced on disk cannot change a policy that runs.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from act_inference_ros.policy import bounds
from act_inference_ros.policy.checkpoint_files import open_file, unreadable
from act_inference_ros.policy.refusals import refusal
from act_inference_ros.policy.tensor_names import todays_name

_FLOATING_POINT = ("F64", "F32", "F16", "BF16")
_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class _Stored:
    """Where a tensor is: the file, open and by its path, and the name that it has there."""

    file: Any  # of a class without types
    path: Path
    name: str


class TensorFiles:
    """One safetensors file, or several with one policy's tensors, open for reading; a context manager.

    Names are today's, whatever the files' age. Raises CheckpointError for a file that is not whole, and for a name that
    is there twice.
    """

    def __init__(self, *paths: Path) -> None:
        self.paths = paths
        self._stored: dict[str, _Stored] = {}
        for path in paths:
            file = _opened(path)
            for stored in file.keys():  # noqa: SIM118  # not a mapping
                name = todays_name(stored)
                if name in self._stored:
                    raise refusal(path, "once", f"{stored} and {self._stored[name].name}", name)
                self._stored[name] = _Stored(file, path, stored)

    def __enter__(self) -> TensorFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stored.clear()  # with the last reference to a file goes the file

    @property
    def names(self) -> Sequence[str]:
        """The names of the tensors in the files."""
        return tuple(self._stored)

    def check(self, name: str, *shapes: tuple[int, ...]) -> None:
        """Look at a tensor's type and shape, which costs no memory. Raises CheckpointError if they are others."""
        expected = " or ".join(f"({', '.join(map(str, shape))})" for shape in shapes)
        if name not in self._stored:
            raise refusal(self.paths[0], f"a tensor of shape {expected}", "none", name)
        stored = self._stored[name]
        described = stored.file.get_slice(stored.name)
        shape, dtype = tuple(described.get_shape()), described.get_dtype()
        if shape not in shapes or dtype not in _FLOATING_POINT:
            expected = f"floating-point numbers ({', '.join(_FLOATING_POINT)}) of shape {expected}"
            raise refusal(stored.path, expected, f"{dtype} {shape}", name)

    def read(self, name: str, *shapes: tuple[int, ...]) -> Tensor:
        """A float32 copy of a tensor of one of these shapes. Raises CheckpointError if that cannot be had."""
        self.check(name, *shapes)
        stored = self._stored[name]
        try:
            tensor: Tensor = stored.file.get_tensor(stored.name).to(torch.float32, copy=True)
        except (OSError, SafetensorError, RuntimeError) as error:
            raise unreadable(stored.path, "a whole safetensors file", error) from error
        if not tensor.isfinite().all():
            bad = tensor[~tensor.isfinite()].flatten()[0].item()
            raise refusal(stored.path, "finite numbers", bad, name)
        return tensor


def _opened(path: Path) -> Any:
    """The file, open, after a look at what no library should be asked to read."""
    with open_file(path, "a safetensors file") as file:
        try:
            start, size = file.read(len(_LFS_POINTER)), file.seek(0, io.SEEK_END)
        except OSError as error:
            raise unreadable(path, "a safetensors file", error) from error
    if start == _LFS_POINTER:
        raise refusal(path, "a safetensors file", "a git-lfs pointer to it; run `git lfs pull` in its directory")
    if size > bounds.TENSOR_FILE_BYTES:
        raise refusal(path, f"a safetensors file of at most {bounds.TENSOR_FILE_BYTES} bytes", size)
    header_bytes = int.from_bytes(start[:8], "little")
    if header_bytes > bounds.HEADER_BYTES:
        raise refusal(path, f"a safetensors file with a header of at most {bounds.HEADER_BYTES} bytes", header_bytes)
    try:
        return cast(Any, safe_open(str(path), framework="pt"))
    except (OSError, SafetensorError, RuntimeError) as error:  # RuntimeError: torch cannot map it into memory
        raise unreadable(path, "a whole safetensors file", error) from error
