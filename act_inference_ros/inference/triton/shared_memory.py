"""Regions of POSIX shared memory for the images of requests to a server on this machine.

A region is a file in /dev/shm that its owner keeps locked (flock). The kernel releases the lock whenever the process
ends, so an unlocked file was left behind by a crash. Process ids would not show that across containers.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.inference.triton.contract import SharedImage
from act_inference_ros.program.shared_memory import CLIENT_REGION_PREFIX, DIRECTORY, create_locked
from act_inference_ros.spec import ImageSpec

PREFIX = CLIENT_REGION_PREFIX


class Region:
    """Space for one observation's images. Raises OSError if the machine has no (more) shared memory.

    `name` is the region's name for the server, `key` the argument of shm_open. Not thread-safe.
    """

    def __init__(self, images: tuple[ImageSpec, ...]) -> None:
        self.images: dict[str, SharedImage] = {}
        self.registered_at: int | None = None
        """The number of the server on which the region is registered; see `Regions`."""
        self.size = 0
        self._descriptor, self.name = create_locked(DIRECTORY, f"{PREFIX}{os.getpid()}_")
        for image in images:
            size = image.height * image.width * 3
            self.images[image.key] = SharedImage(self.name, self.size, size)
            self.size += size
        try:
            # Reserved now: writing to a sparse file when the memory is full would end the process (SIGBUS).
            os.posix_fallocate(self._descriptor, 0, self.size)
            self._map = mmap.mmap(self._descriptor, self.size)
        except OSError:
            self._unlink()
            raise
        self._views: dict[str, npt.NDArray[np.uint8]] = {
            image.key: np.frombuffer(self._map, np.uint8, place.size, place.offset).reshape(image.shape)
            for image, place in zip(images, self.images.values(), strict=True)
        }

    @property
    def key(self) -> str:
        """The name for shm_open."""
        return f"/{self.name}"

    def write(self, inputs: Mapping[str, Any]) -> None:
        """Copy the images into the region."""
        for key, view in self._views.items():
            np.copyto(view, inputs[key])

    def close(self) -> None:
        """Release the memory, which is freed when the server has released it too; a second call does nothing."""
        if self._views:
            self._views = {}
            self._map.close()
            self._unlink()

    def _unlink(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(DIRECTORY / self.name)
        os.close(self._descriptor)


def is_stale(name: str) -> bool:
    """Whether `name`, which a server knows, is a region of ours whose file no longer exists."""
    return name.startswith(PREFIX) and not (DIRECTORY / name).exists()
