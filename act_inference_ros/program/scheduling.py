"""Undoes what a library has done to the scheduling of this process's threads."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_TASKS = Path("/proc/self/task")


@contextlib.contextmanager
def ordinary_threads() -> Iterator[None]:
    """Have no more real-time threads after the block than before it.

    The video encoder SVT-AV1 makes itself, and the thread that opens it, a real-time thread of the highest priority
    where it runs as root. Every thread and process that is started later inherits that, and keeps all other programs
    off the processor.
    """
    before = _policies()
    try:
        yield
    finally:
        for thread, policy in _policies().items():
            if _is_real_time(policy) and not _is_real_time(before.get(thread, os.SCHED_OTHER)):
                with contextlib.suppress(OSError):  # it has ended meanwhile
                    os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


def _is_real_time(policy: int) -> bool:
    return policy in (os.SCHED_FIFO, os.SCHED_RR)


def _policies() -> dict[int, int]:
    """Thread -> scheduling policy, of all threads of this process; empty where the system does not tell."""
    policies: dict[int, int] = {}
    with contextlib.suppress(OSError):
        for task in _TASKS.iterdir():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                policies[int(task.name)] = os.sched_getscheduler(int(task.name))
    return policies
