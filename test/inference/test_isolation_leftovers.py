"""However an inference process or its caller ends, no process, file or memory is left behind."""

import contextlib
import gc
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from act_inference_ros.errors import (
    InferenceError,
    NotReadyError,
)
from act_inference_ros.inference.local.isolation.backend import IsolatedBackend
from test.inference.engine_stand_in import (
    COMPUTING,
    OPENER,
    Order,
    expected_chunk,
    observation,
    write_policy,
)
from test.inference.isolation_helpers import (
    DEADLINE_S,
    children_of,
    is_running,
    isolated,
    options_for,
    pid_of,
    stop_it,
    wait_until_gone,
    wait_until_it_works,
)
from test.ros.ros_helpers import wait_until


def test_closing_ends_an_inference_under_way(backend: IsolatedBackend, tmp_path: Path) -> None:
    raised: list[Exception] = []

    def hang() -> None:
        try:
            backend.infer(observation(Order.HANG))
        except InferenceError as error:
            raised.append(error)

    pid = pid_of(backend)
    thread = threading.Thread(target=hang)
    thread.start()
    wait_until((tmp_path / COMPUTING).exists, DEADLINE_S, "it does not compute")
    backend.close()
    thread.join(DEADLINE_S)
    assert [(type(error), str(error)) for error in raised] == [
        (NotReadyError, "the inference client is closed; create another one")
    ]
    assert not is_running(pid)


def test_closing_while_a_new_process_is_being_started_leaves_no_process(
    backend: IsolatedBackend, tmp_path: Path
) -> None:
    write_policy(tmp_path, gated=True)
    before = children_of(os.getpid()) - {pid_of(backend)}
    os.kill(pid_of(backend), signal.SIGKILL)
    wait_until(lambda: len(children_of(os.getpid()) - before) == 1, DEADLINE_S, "there is no other process")
    backend.close()
    assert children_of(os.getpid()) <= before


def test_a_backend_without_references_leaves_no_process(tmp_path: Path) -> None:
    backend = IsolatedBackend(options_for(write_policy(tmp_path)), OPENER)
    pid = pid_of(backend)
    del backend
    gc.collect()
    assert not Path(f"/proc/{pid}").exists()


def test_nothing_is_left_however_often_it_is_opened_closed_and_fails(tmp_path: Path) -> None:
    def once() -> None:
        with isolated(write_policy(tmp_path)) as backend, contextlib.suppress(InferenceError):
            wait_until_it_works(backend)
            backend.infer(observation(Order.BE_WRONG))
            wait_until_it_works(backend)
        for loading in (Order.EXIT, Order.RAISE_UNFORESEEN):
            with pytest.raises(InferenceError):
                IsolatedBackend(options_for(write_policy(tmp_path, loading=loading)), OPENER)

    once()
    before = left_in_this_process()
    for _ in range(3):
        once()
    assert left_in_this_process() == before


def left_in_this_process() -> tuple[list[str], set[int], int]:
    """Its open files, its children, and how many threads it has."""
    gc.collect()
    files = [os.readlink(f"/proc/self/fd/{number}") for number in numbers_of_files()]
    anonymous = [file.split(":")[0] for file in files]
    return sorted(anonymous), children_of(os.getpid()), threading.active_count()


def numbers_of_files() -> Iterator[int]:
    for number in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):  # what the directory was read with
            os.fstat(number)
            yield number


def test_a_program_with_many_open_files_can_have_one(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2048:
        pytest.skip("this system allows no more than 2048 open files")
    with contextlib.ExitStack() as restored:
        restored.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (2048, hard))
        end, other = os.pipe()
        for number in (end, other, *(os.dup(end) for _ in range(1100))):
            restored.callback(os.close, number)
        with isolated(write_policy(tmp_path)) as backend:
            np.testing.assert_array_equal(backend.infer(observation()), expected_chunk(observation()))


PROGRAM = """
    import os, sys
    from test.inference.engine_stand_in import OPENER, Order, observation
    from test.inference.isolation_helpers import options_for, pid_of
    from act_inference_ros.inference.local.isolation.backend import IsolatedBackend
    backend = IsolatedBackend(options_for(sys.argv[1]), OPENER)
    print(pid_of(backend))
"""


@contextlib.contextmanager
def program(checkpoint: str, body: str) -> Iterator[Any]:
    """Another program with an inference process; it prints that process's id."""
    code = textwrap.dedent(PROGRAM) + body
    command = [sys.executable, "-u", "-c", code, checkpoint]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def leave_it(_: int) -> None:
    pass


@pytest.mark.parametrize("befalls_it", [leave_it, stop_it])
@pytest.mark.parametrize("body", ["sys.stdin.read()", "backend.infer(observation(Order.HANG))"], ids=["idle", "busy"])
def test_the_process_ends_with_a_program_that_is_killed(
    tmp_path: Path, befalls_it: Callable[[int], None], body: str
) -> None:
    with program(write_policy(tmp_path), body) as process:
        pid = int(process.stdout.readline())
        befalls_it(pid)
        process.kill()
        process.wait()
        wait_until_gone(pid)


def test_a_process_that_is_being_started_ends_with_a_program_that_is_killed(tmp_path: Path) -> None:
    with program(write_policy(tmp_path, gated=True), "") as process:
        wait_until(lambda: children_of(process.pid), DEADLINE_S, "there is no process")
        (pid,) = children_of(process.pid)
        process.kill()
        process.wait()
        wait_until_gone(pid)


@pytest.mark.parametrize(
    ("body", "status"),
    [("", 0), ("sys.exit(5)", 5), ("raise KeyboardInterrupt", -signal.SIGINT), ("os._exit(6)", 6)],
    ids=["end", "exit", "interrupt", "at once"],
)
def test_the_process_ends_with_a_program_that_forgets_to_close_it(tmp_path: Path, body: str, status: int) -> None:
    with program(write_policy(tmp_path), body) as process:
        pid = int(process.stdout.readline())
        assert process.wait(DEADLINE_S) == status
        wait_until_gone(pid)
