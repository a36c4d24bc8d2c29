"""Reads safetensors files strictly: a requested tensor exists, has its shape and is finite, or an error is raised.

Tensors are read one at a time and copied, so that a large file is never in memory as a whole, and a checkpoint that is
replaced on disk cannot change a running policy. Needs numpy and safetensors, but not torch.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from act_inference_ros.policy import bounds
from act_inference_ros.policy.checkpoint_files import open_file, unreadable
from act_inference_ros.policy.raw_tensors import RawTensor, raw_tensors
from act_inference_ros.policy.refusals import refusal
from act_inference_ros.policy.tensor_names import todays_name

_BFLOAT16 = "BF16"
_FLOATING_POINT = {"F64": "<f8", "F32": "<f4", "F16": "<f2", _BFLOAT16: "<u2"}
"""safetensors' type -> numpy's type of the stored bytes. numpy has no bfloat16: its bits are read as whole numbers."""
_LFS_POINTER = b"version https://git-lfs"
_WHOLE = "a whole safetensors file"


@dataclass(frozen=True)
class _Stored:
    """A tensor as stored in its file, and the path of the file."""

    path: Path
    tensor: RawTensor


class TensorFiles:
    """One safetensors file, or several with one policy's tensors, open for reading; a context manager.

    Names are the current ones, however old the files are. Raises CheckpointError for a damaged file, and for a name
    that occurs twice.
    """

    def __init__(self, *paths: Path) -> None:
        self.paths = paths
        self._stored: dict[str, _Stored] = {}
        with ExitStack() as files:
            for path in paths:
                _check_whole(path)
                for tensor in sorted(files.enter_context(raw_tensors(path)), key=lambda tensor: tensor.name):
                    name = todays_name(tensor.name)
                    if name in self._stored:
                        raise refusal(path, "once", f"{tensor.name} and {self._stored[name].tensor.name}", name)
                    self._stored[name] = _Stored(path, tensor)
            self._files = files.pop_all()

    def __enter__(self) -> TensorFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stored.clear()
        self._files.close()

    @property
    def names(self) -> Sequence[str]:
        """The names of the tensors in the files."""
        return tuple(self._stored)

    def check(self, name: str, *shapes: tuple[int, ...]) -> None:
        """Check a tensor's type and shape, which needs no memory. Raises CheckpointError if they differ."""
        expected = " or ".join(f"({', '.join(map(str, shape))})" for shape in shapes)
        if name not in self._stored:
            raise refusal(self.paths[0], f"a tensor of shape {expected}", "none", name)
        stored = self._stored[name]
        shape, dtype = stored.tensor.shape, stored.tensor.dtype
        if shape not in shapes or dtype not in _FLOATING_POINT:
            expected = f"floating-point numbers ({', '.join(_FLOATING_POINT)}) of shape {expected}"
            raise refusal(stored.path, expected, f"{dtype} {shape}", name)

    def read(self, name: str, *shapes: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """A float32 copy of a tensor of one of these shapes. Raises CheckpointError if this is impossible."""
        self.check(name, *shapes)
        stored = self._stored[name]
        try:
            values = _float32(stored.tensor)
        except (ValueError, MemoryError) as error:  # ValueError: the file was replaced after its check
            raise unreadable(stored.path, _WHOLE, error) from error
        finite = np.isfinite(values)
        if not finite.all():
            raise refusal(stored.path, "finite numbers", float(values[~finite][0]), name)
        return values


def _float32(tensor: RawTensor) -> npt.NDArray[np.float32]:
    """A copy of the tensor's numbers; numbers beyond float32 become infinite.

    No variable holds a view of the file: an error's traceback would keep the view, and the file could not be closed.
    """
    values = np.empty(tensor.shape, np.float32)
    stored_type = _FLOATING_POINT[tensor.dtype]
    if tensor.dtype == _BFLOAT16:  # the upper half of a float32
        bits = values.view(np.uint32)
        bits[...] = np.frombuffer(tensor.content, stored_type).reshape(tensor.shape)
        np.left_shift(bits, np.uint32(16), out=bits)
        return values
    with np.errstate(over="ignore"):
        values[...] = np.frombuffer(tensor.content, stored_type).reshape(tensor.shape)
    return values


def _check_whole(path: Path) -> None:
    """Refuse git-lfs pointers and files that are too large, then let safetensors check the header."""
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
        with safe_open(str(path), framework="numpy"):
            pass
    except (OSError, SafetensorError) as error:
        raise unreadable(path, _WHOLE, error) from error
