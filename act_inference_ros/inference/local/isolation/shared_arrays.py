"""SharedArrays: space for one observation and one chunk, in memory that two processes have mapped.

The memory has no name (memfd_create), so nothing is left in /dev/shm whichever process is killed first: the kernel
frees it when the last process that uses it ends.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import BadOutputError, ConfigurationError, InferenceError
from act_inference_ros.spec import PolicySpec

_ALIGNMENT = 64
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL if hasattr(fcntl, "F_SEAL_SEAL") else 0
"""The size must not change: reading beyond the end of a file that shrank would end the process."""


class SharedArrays:
    """The inputs of `spec.keys` and the chunk at fixed places of one file in memory. Its descriptor may be closed.

    The places depend on the spec alone, so both processes agree on them.
    """

    def __init__(self, spec: PolicySpec, descriptor: int) -> None:
        places, size = _layout(spec)
        if os.fstat(descriptor).st_size != size:
            raise InferenceError(f"expected {size} bytes of shared memory, got {os.fstat(descriptor).st_size}")
        self._map = mmap.mmap(descriptor, size)
        self.inputs: dict[str, npt.NDArray[Any]] = {}
        for key, (offset, shape, kind) in places.items():
            count = int(np.prod(shape))
            self.inputs[key] = np.frombuffer(self._map, kind, count, offset).reshape(shape)
        self._chunk = self.inputs.pop(_CHUNK)

    @classmethod
    def make(cls, spec: PolicySpec) -> tuple[SharedArrays, int]:
        """Make the memory; returns it and a descriptor for the other process, which the caller must close.

        Raises ConfigurationError if no memory is available.
        """
        try:
            descriptor = os.memfd_create("act_inference_ros", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            size = _layout(spec)[1]
            # Reserved now: writing to a sparse file when the memory is full would end the process (SIGBUS).
            os.posix_fallocate(descriptor, 0, size)
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
            return cls(spec, descriptor), descriptor
        except OSError as error:
            raise ConfigurationError(f"isolation process: no shared memory: {error}; set isolation: thread") from error

    def write(self, inputs: Mapping[str, npt.NDArray[Any]]) -> None:
        """Copy an observation into the memory, each input in its spec's shape."""
        for key, place in self.inputs.items():
            np.copyto(place, inputs[key])

    def write_chunk(self, chunk: Any) -> None:
        """Copy a chunk into the memory. Raises BadOutputError if it has another shape."""
        computed = np.asarray(chunk, np.float32)
        if computed.shape != self._chunk.shape:
            raise BadOutputError(f"expected a chunk of shape {self._chunk.shape}, got {computed.shape}")
        np.copyto(self._chunk, computed)

    def read_chunk(self) -> npt.NDArray[np.float32]:
        """Return a copy of the chunk."""
        return self._chunk.copy()


_CHUNK = ""
"""The key of the chunk beside the inputs' keys, none of which is empty."""


def _layout(spec: PolicySpec) -> tuple[dict[str, tuple[int, tuple[int, ...], Any]], int]:
    """The offset, shape and type of each array; and the size of all, bytes."""
    images = {image.key: image.shape for image in spec.images}
    shapes: dict[str, tuple[tuple[int, ...], Any]] = {
        key: (images[key], np.uint8) if key in images else ((spec.vectors[key],), np.float32) for key in spec.keys
    }
    shapes[_CHUNK] = ((spec.chunk_size, spec.action_dim), np.float32)
    places, size = {}, 0
    for key, (shape, kind) in shapes.items():
        places[key] = size, shape, kind
        size += -(-int(np.prod(shape)) * np.dtype(kind).itemsize // _ALIGNMENT) * _ALIGNMENT
    return places, size
