"""Memory of a process that runs for days."""

from __future__ import annotations

import contextlib
import ctypes

LARGE_BYTES = 1 << 18
_M_MMAP_THRESHOLD = -3  # of glibc's malloc.h


def give_back_large_blocks() -> None:
    """Keep blocks of at least LARGE_BYTES, such as images, out of this process's heap: the system gets them back.

    glibc does so at first, but puts large blocks into the heap, too, once one of them was freed. Among them lie small
    blocks that live long; so the heap has more and more gaps, and grows for hours. Other C libraries are left alone.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
