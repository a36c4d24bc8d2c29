"""Bounds for what a test reads: a hang or a flood of memory becomes one failed test, and no pipe is waited for."""

from __future__ import annotations

import contextlib
import os
import resource
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from act_inference_ros.errors import ActInferenceError
from test.fuzz.target import LONGEST_ON_BUSY_MACHINE_S, MIB, Target
from test.fuzz.watch import Breach, Watch, interrupted_after

DEADLINE_S = 20.0
"""On a busy machine; what is read here should take less than a second."""
_WAITS_S = 3.0
"""Time, s, after which a reader that waits for a pipe is let go on."""


@contextlib.contextmanager
def bounded(memory_bytes: int = 2**30, deadline_s: float = DEADLINE_S) -> Iterator[None]:
    """Interrupt the block after `deadline_s` (wall), and refuse it more than `memory_bytes` of additional memory.

    A system call that waits is interrupted, too. For the main thread.
    """
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + memory_bytes, limits[1]))
    try:
        with interrupted_after(deadline_s, wall=True):
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


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
