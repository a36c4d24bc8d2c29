"""The scheduling of this process's threads: the priority that a user asks for, and what a library has done to it."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

from act_inference_ros.errors import ConfigurationError

_TASKS = Path("/proc/self/task")


def give_priority(priority: int) -> None:
    """Make all threads of this process real-time threads (SCHED_FIFO) of `priority`, 1 to 99.

    Threads and processes that are started later do not inherit it; call this again when there are new threads. 0 takes
    back what an earlier call gave.

    Raises ConfigurationError where the system does not allow the priority.
    """
    threads = _policies()
    if not threads:
        if priority:
            raise ConfigurationError(f"thread_priority: {priority} needs Linux; set it to 0")
        return
    given = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
    try:
        for thread, policy in threads.items():
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                if priority:
                    os.sched_setscheduler(thread, given, os.sched_param(priority))
                elif policy == given:
                    os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))
    except OSError as refused:
        allowed = resource.getrlimit(resource.RLIMIT_RTPRIO)[0]
        raise ConfigurationError(
            f"thread_priority: {priority} is not allowed here ({refused.strerror}, the limit rtprio is {allowed}); "
            "raise that limit, for example in /etc/security/limits.conf, or set thread_priority to 0"
        ) from refused


@contextlib.contextmanager
def ordinary_threads() -> Iterator[None]:
    """Undo, after the block, the real-time scheduling that code in it gave to threads of this process.

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
    return policy & ~os.SCHED_RESET_ON_FORK in (os.SCHED_FIFO, os.SCHED_RR)


def _policies() -> dict[int, int]:
    """Thread -> scheduling policy, of all threads of this process; empty where the system does not tell."""
    policies: dict[int, int] = {}
    with contextlib.suppress(OSError):
        for task in _TASKS.iterdir():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                policies[int(task.name)] = os.sched_getscheduler(int(task.name))
    return policies
