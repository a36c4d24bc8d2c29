"""Checks that a reader keeps its bounds: of time and memory, and that it waits for no pipe."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from act_inference_ros.errors import ActInferenceError
from test.fuzz.target import LONGEST_ON_BUSY_MACHINE_S, MIB, Target
from test.fuzz.watch import Breach, Watch

_WAITS_S = 3.0
"""Time, s, after which a reader that waits for a pipe is let go on."""


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
