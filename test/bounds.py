"""Bounds for what a test reads: a hang or a flood of memory becomes one failed test, and no pipe is waited for."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from act_inference_ros.errors import ActInferenceError
from test.fuzz.target import LONGEST_ON_BUSY_MACHINE_S, MIB, Target
from test.fuzz.watch import Breach, Watch

DEADLINE_S = 20.0
"""On a busy machine; what is read here should take less than a second."""
_WAITS_S = 3.0
"""Time, s, after which a reader that waits for a pipe is let go on."""


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


def breach(read: Callable[[], object], memory_bytes: int = 256 * MIB) -> Breach | None:
    """Call a reader; return the bound that it broke: an error that is not the package's own, time or memory."""
    target = Target("", lambda _: read(), (), lambda data, _: data, (ActInferenceError,), memory_bytes)
    return Watch(target, LONGEST_ON_BUSY_MACHINE_S).run(b"")


@contextlib.contextmanager
def pipe_instead_of(path: Path) -> Iterator[None]:
    """Put a pipe in the place of a file, and fail if the block waits until somebody writes to it."""
    path.unlink()
    os.mkfifo(path)
    waited = threading.Event()

    def let_go_on() -> None:
        waited.set()
        os.close(os.open(path, os.O_RDWR))

    timer = threading.Timer(_WAITS_S, let_go_on)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
    assert not waited.is_set(), f"{path}: a pipe was waited for"
