"""Memory of a process that runs for days."""

from __future__ import annotations

import contextlib
import ctypes

LARGE_BYTES = 1 << 18
ARENAS = 2
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # of glibc's malloc.h


def bound_heap() -> None:
    """Have glibc keep the heap of this process small; to be called before threads are started.

    Blocks of at least LARGE_BYTES, such as images, go back to the system when they are freed. glibc does so at first,
    but puts large blocks into the heap, too, once one of them was freed; among them lie small blocks that live long, so
    the heap gets more and more gaps. And all threads share ARENAS heaps: else each new thread may get one of its own,
    up to eight for each core, and all of them grow to the same size in the course of hours. Other C libraries are left
    alone.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
        library.mallopt(_M_ARENA_MAX, ARENAS)
