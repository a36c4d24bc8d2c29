"""Memory of a process that runs for days."""

from __future__ import annotations

import contextlib
import ctypes

ARENAS = 2
_M_ARENA_MAX = -8  # of glibc's malloc.h


def bound_heaps() -> None:
    """Have glibc use no more than ARENAS heaps; to be called before threads are started.

    Else each new thread may get a heap of its own, up to eight for each core, and in the course of hours all of them
    grow to the size of the largest. Other C libraries are left alone.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, ARENAS)
