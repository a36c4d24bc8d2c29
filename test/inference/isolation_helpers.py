"""For tests of the inference process: opening one around the engine stand-in, and looking at processes."""

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from act_inference_ros.errors import InferenceError, NotReadyError
from act_inference_ros.inference.backend import ISOLATION
from act_inference_ros.inference.local.isolation.backend import IsolatedBackend
from act_inference_ros.inference.local.options import LocalOptions
from act_inference_ros.interfaces import PROCESS
from test.inference.engine_stand_in import OPENER, expected_chunk, observation
from test.ros.ros_helpers import wait_until

DEADLINE_S = 60.0
"""Deadline for short operations, long enough for a busy machine."""


def options_for(checkpoint: str, **changes: Any) -> LocalOptions:
    return LocalOptions(checkpoint=checkpoint, isolation=PROCESS, **changes)


@contextlib.contextmanager
def isolated(checkpoint: str, **changes: Any) -> Iterator[IsolatedBackend]:
    """An inference process with the engine stand-in."""
    backend = IsolatedBackend(options_for(checkpoint, **changes), OPENER)
    try:
        yield backend
    finally:
        backend.close()


def pid_of(backend: IsolatedBackend) -> int:
    """The inference process's id, as soon as there is a process."""

    def found() -> int:
        match = re.match(r"process (\d+),", backend.facts[ISOLATION])
        return int(match[1]) if match else 0

    pid: int = wait_until(found, DEADLINE_S, "there is no inference process")
    return pid


def is_running(pid: int) -> bool:
    """Whether the process is there, and no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def stop_it(pid: int) -> None:
    """Stop a process with SIGSTOP, and wait until it is stopped."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: " (stopped)" in Path(f"/proc/{pid}/status").read_text(), DEADLINE_S, "it is not stopped")


def wait_until_gone(pid: int) -> None:
    wait_until(lambda: not is_running(pid), DEADLINE_S, f"process {pid} is still there")


def children_of(parent: int) -> set[int]:
    """The processes that `parent` has started, zombies included."""
    children = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            if int(stat.read_text(errors="replace").rpartition(")")[2].split()[1]) == parent:
                children.add(int(stat.parent.name))
    return children


def why_not_ready(backend: IsolatedBackend) -> str:
    """Return the error of an inference that fails; empty if it succeeds."""
    try:
        backend.infer(observation())
    except NotReadyError as error:
        return str(error)
    return ""


def wait_until_it_works(backend: IsolatedBackend) -> None:
    """Wait until a chunk is computed, and check it."""
    inputs = observation(value=0.25)

    def computed() -> Any:
        with contextlib.suppress(NotReadyError):
            return backend.infer(inputs)
        return None

    chunk = wait_until(lambda: computed() is not None, DEADLINE_S, "the inference process does not come back")
    assert chunk
    np.testing.assert_array_equal(backend.infer(inputs), expected_chunk(inputs))


def next_error(backend: IsolatedBackend, kind: type[InferenceError]) -> InferenceError:
    """The next error of that class."""

    def raised() -> InferenceError | None:
        try:
            backend.infer(observation())
        except kind as error:
            return error
        except NotReadyError:
            pass
        return None

    error: InferenceError = wait_until(raised, DEADLINE_S, f"no {kind.__name__}")
    return error
