"""Memory of a process that runs for days."""

from __future__ import annotations

import contextlib
import ctypes

ARENAS = 2
LARGE = 32 * 1024
"""From this size on, bytes, a block may be mapped on its own."""
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # of glibc's malloc.h


def bound_heaps() -> None:
    """Have glibc use no more than ARENAS heaps; to be called before threads are started.

    Else each new thread may get a heap of its own, up to eight for each core, and in the course of hours all of them
    grow to the size of the largest. Other C libraries are left alone.
    """
    _set(_M_ARENA_MAX, ARENAS)


def map_large_blocks() -> None:
    """Have glibc map a block of LARGE bytes or more on its own, if the heap has no hole for it, and give it back later.

    Else it maps only blocks that are larger than any before. A store of images of all sizes then leaves holes in the
    heap, which grows for hours. Mapping takes time: this is for programs that get few blocks a second.
    """
    _set(_M_MMAP_THRESHOLD, LARGE)


def _set(parameter: int, value: int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(parameter, value)
