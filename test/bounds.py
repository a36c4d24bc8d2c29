"""Bounds for what a test reads: a hang or a flood of memory becomes one failed test."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

DEADLINE_S = 20.0
"""On a busy machine; what is read here should take less than a second."""


class DeadlineMissed(BaseException):
    """Raised in the block by `bounded`. No Exception, because readers of damaged files catch any of their parser."""


@contextlib.contextmanager
def bounded(memory_bytes: int = 2**30, deadline_s: float = DEADLINE_S) -> Iterator[None]:
    """Interrupt the block after `deadline_s` (wall), and refuse it more than `memory_bytes` of additional memory.

    A system call that waits is interrupted, too. For the main thread.
    """

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise DeadlineMissed(f"not done after {deadline_s} s")

    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")
    limits = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGALRM, interrupt)
    resource.setrlimit(resource.RLIMIT_AS, (used + memory_bytes, limits[1]))
    signal.setitimer(signal.ITIMER_REAL, deadline_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        resource.setrlimit(resource.RLIMIT_AS, limits)
        signal.signal(signal.SIGALRM, before)
