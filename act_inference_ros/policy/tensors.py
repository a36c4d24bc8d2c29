"""Reading safetensors files strictly: a tensor asked for is there, has its shape and is finite, or an error says so.

Tensors are read one at a time and copied, so that a large file is never in memory as a whole and a checkpoint that is
replaced on disk cannot change a policy that runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from act_inference_ros.errors import CheckpointError
from act_inference_ros.policy.tensor_names import todays_name


class TensorFile:
    """One safetensors file, open for reading; a context manager. Names are today's, whatever the file's age."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = cast(Any, safe_open(str(path), framework="pt"))  # its methods are untyped
        except FileNotFoundError:
            raise CheckpointError(f"{path}: expected a safetensors file, found none") from None
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{path}: expected a whole safetensors file, found: {error}") from error
        self._stored_names: dict[str, str] = {}
        for stored in self._file.keys():  # noqa: SIM118  # not a mapping
            name = todays_name(stored)
            if name in self._stored_names:
                raise CheckpointError(f"{path}: {name}: expected once, found {stored} and {self._stored_names[name]}")
            self._stored_names[name] = stored

    def __enter__(self) -> TensorFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self._file

    @property
    def names(self) -> Sequence[str]:
        """The names of the tensors in the file."""
        return tuple(self._stored_names)

    def read(self, name: str, *shapes: tuple[int, ...]) -> Tensor:
        """A float32 copy of a tensor of one of these shapes. Raises CheckpointError if that cannot be had."""
        expected = " or ".join(f"({', '.join(map(str, shape))})" for shape in shapes)
        if name not in self._stored_names:
            raise CheckpointError(f"{self.path}: {name}: expected a tensor of shape {expected}, found none")
        stored = self._file.get_tensor(self._stored_names[name])
        if tuple(stored.shape) not in shapes or not stored.is_floating_point():
            found = f"{str(stored.dtype).removeprefix('torch.')} {tuple(stored.shape)}"
            raise CheckpointError(f"{self.path}: {name}: expected floating-point numbers {expected}, found {found}")
        tensor: Tensor = stored.to(torch.float32, copy=True)
        if not tensor.isfinite().all():
            bad = tensor[~tensor.isfinite()].flatten()[0].item()
            raise CheckpointError(f"{self.path}: {name}: expected finite numbers, found {bad}")
        return tensor
