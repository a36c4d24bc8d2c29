"""An inference process that dies, hangs or answers nonsense: the error says so, and a new process is started."""

import contextlib
import os
import resource
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

from act_inference_ros.errors import (
    AnotherPolicyError,
    BadOutputError,
    EngineEndedError,
    EngineHungError,
    InferenceError,
    InferenceTimeoutError,
)
from act_inference_ros.inference.backend import RESTARTS
from act_inference_ros.inference.local.isolation import backend as backend_module
from act_inference_ros.inference.local.isolation import keeper as keeper_module
from act_inference_ros.inference.local.isolation.backend import IsolatedBackend
from test.inference.engine_stand_in import (
    MORE_MEMORY,
    Order,
    expected_chunk,
    let_in,
    observation,
    write_policy,
)
from test.inference.isolation_helpers import (
    DEADLINE_S,
    children_of,
    is_running,
    next_error,
    pid_of,
    stop_it,
    wait_until_gone,
    wait_until_it_works,
    why_not_ready,
)
from test.ros.ros_helpers import wait_until


@pytest.mark.parametrize(
    ("order", "kind", "message"),
    [
        (Order.EXIT, EngineEndedError, r"^the inference process ended with exit status 7; it is being started again$"),
        (
            Order.BE_KILLED,
            EngineEndedError,
            r"process was killed by SIGKILL, perhaps because memory ran out; it is being",
        ),
        (
            Order.BE_STOPPED,
            EngineHungError,
            r"^the inference process was ended: it had been stopped for \d\.\d s; it is",
        ),
        (Order.BE_WRONG, BadOutputError, r"^not finite$"),
        (Order.MISSHAPE, BadOutputError, r"^expected a chunk of shape"),
        (Order.RAISE_UNFORESEEN, InferenceError, r"^RuntimeError: the device is gone$"),
    ],
)
def test_a_fault_fails_its_inference_and_a_new_process_continues(
    backend: IsolatedBackend, order: Order, kind: type[InferenceError], message: str
) -> None:
    before = pid_of(backend)
    with pytest.raises(InferenceError, match=message) as caught:
        backend.infer(observation(order))
    assert type(caught.value) is kind
    wait_until_it_works(backend)
    assert not is_running(before)
    assert pid_of(backend) != before
    assert backend.facts[RESTARTS] == "1"


def test_an_inference_out_of_memory_fails_and_a_new_process_continues(backend: IsolatedBackend) -> None:
    before = pid_of(backend)
    used = int(Path(f"/proc/{before}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(before, resource.RLIMIT_AS, (used + MORE_MEMORY // 2, resource.RLIM_INFINITY))
    with pytest.raises(InferenceError, match=r"MemoryError: Unable to allocate"):
        backend.infer(observation(Order.RUN_OUT_OF_MEMORY))
    wait_until_it_works(backend)
    assert pid_of(backend) != before
    np.testing.assert_array_equal(
        backend.infer(observation(Order.RUN_OUT_OF_MEMORY)), expected_chunk(observation(Order.RUN_OUT_OF_MEMORY))
    )


def test_until_a_new_process_is_ready_each_inference_fails_with_the_reason(
    backend: IsolatedBackend, tmp_path: Path
) -> None:
    write_policy(tmp_path, gated=True)
    with pytest.raises(InferenceError, match="the device is gone"):
        backend.infer(observation(Order.RAISE_UNFORESEEN))
    for _ in range(2):
        why = why_not_ready(backend)
        assert "ended because an inference failed: RuntimeError: the device is gone; it is being started again" in why
    let_in(tmp_path)
    wait_until_it_works(backend)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGKILL, "the inference process was killed by SIGKILL, perhaps because memory ran out"),
        (signal.SIGSTOP, "the inference process was ended: it had been stopped for"),
    ],
)
def test_a_process_that_is_killed_or_stopped_between_two_inferences_is_replaced(
    backend: IsolatedBackend, tmp_path: Path, number: signal.Signals, words: str
) -> None:
    write_policy(tmp_path, gated=True)
    before = pid_of(backend)
    os.kill(before, number)
    wait_until_gone(before)
    assert words in why_not_ready(backend)
    let_in(tmp_path)
    wait_until_it_works(backend)
    assert pid_of(backend) != before


def test_a_hang_has_its_own_error_and_a_new_process_continues(
    backend: IsolatedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_module, "HANG_S", 0.3)
    before = pid_of(backend)
    with pytest.raises(EngineHungError, match=r"process was ended: an inference took longer than 0\.3 s; it is being "):
        backend.infer(observation(Order.HANG))
    monkeypatch.undo()
    assert not is_running(before)
    wait_until_it_works(backend)


def test_an_engine_whose_warm_up_is_slow_may_take_ten_times_as_long(
    backend: IsolatedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_module, "HANG_S", 0.0)
    with pytest.raises(InferenceTimeoutError, match=r"longer than 0\.1 s"):  # ten warm-ups of 0.01 s
        backend.infer(observation(Order.HANG))


@pytest.mark.parametrize(
    ("loading", "message"),
    [
        (Order.EXIT, "the inference process ended with exit status 7 before it was ready"),
        (Order.RAISE_UNFORESEEN, "RuntimeError: the device is gone"),
    ],
)
def test_a_restart_that_fails_is_reported_and_tried_again(
    backend: IsolatedBackend, tmp_path: Path, loading: Order, message: str
) -> None:
    write_policy(tmp_path, loading=loading)
    os.kill(pid_of(backend), signal.SIGKILL)
    expected = f"the inference process could not be started: {message}; it is being started again"
    wait_until(lambda: expected in why_not_ready(backend), DEADLINE_S, expected)
    write_policy(tmp_path)
    wait_until_it_works(backend)


def test_a_process_that_is_stopped_while_it_is_started_is_replaced(backend: IsolatedBackend, tmp_path: Path) -> None:
    write_policy(tmp_path, gated=True)
    stop_it(restarting(backend))
    expected = "the inference process was ended: it had been stopped for "
    wait_until(lambda: expected in why_not_ready(backend), DEADLINE_S, expected)
    let_in(tmp_path)
    wait_until_it_works(backend)


def test_a_start_that_hangs_is_ended_and_tried_again(
    backend: IsolatedBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "START_S", 0.2)
    monkeypatch.setattr(keeper_module, "STARTS", 0.0)
    write_policy(tmp_path, gated=True)
    os.kill(pid_of(backend), signal.SIGKILL)
    expected = "the inference process was ended: its start took longer than 0.2 s; it is being started again"
    wait_until(lambda: expected in why_not_ready(backend), DEADLINE_S, expected)
    monkeypatch.undo()
    let_in(tmp_path)
    wait_until_it_works(backend)


def restarting(backend: IsolatedBackend) -> int:
    """Kill the process; returns the id of the one that is being started in its place."""
    others = children_of(os.getpid())
    os.kill(pid_of(backend), signal.SIGKILL)

    def started() -> list[int]:
        # Not one that is still a copy of this process: the thread that starts it waits until it has become a program.
        return [pid for pid in children_of(os.getpid()) - others if b"engine_process" in command_of(pid)]

    (pid,) = wait_until(started, DEADLINE_S, "there is no other process")
    return int(pid)


def command_of(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


class Impatient(threading.Event):
    """Notes the pauses between two starts, and does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        if timeout == keeper_module.LOOK_S:
            return super().wait(timeout)
        self.pauses.append(timeout or 0.0)
        return super().wait(0.0)


def test_the_pauses_between_failed_starts_grow_up_to_half_a_minute(backend: IsolatedBackend, tmp_path: Path) -> None:
    clock = Impatient()
    backend._keeper._closing = clock
    write_policy(tmp_path, loading=Order.EXIT)
    os.kill(pid_of(backend), signal.SIGKILL)
    wait_until(lambda: len(clock.pauses) >= 10, DEADLINE_S, "too few starts")
    assert clock.pauses[:10] == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_a_replaced_checkpoint_is_another_policy_until_somebody_accepts_it(
    backend: IsolatedBackend, tmp_path: Path
) -> None:
    write_policy(tmp_path, policy_id="b" * 64)
    os.kill(pid_of(backend), signal.SIGKILL)
    error = next_error(backend, AnotherPolicyError)
    assert isinstance(error, AnotherPolicyError)
    assert error.policy_id == "b" * 64
    assert "the checkpoint holds policy bbbbbbbbbbbbbbbb now, it began with aaaaaaaaaaaaaaaa" in str(error)
    with pytest.raises(AnotherPolicyError, match=r"not the accepted policy c{16}, but b{16}"):
        backend.accept_policy("c" * 64)
    assert backend.spec.policy_id == "a" * 64
    backend.accept_policy("b" * 64)
    assert backend.spec.policy_id == "b" * 64
    wait_until_it_works(backend)


def test_a_replaced_checkpoint_with_another_kind_of_policy_cannot_be_accepted(
    backend: IsolatedBackend, tmp_path: Path
) -> None:
    write_policy(tmp_path, policy_id="b" * 64, joints=2)
    os.kill(pid_of(backend), signal.SIGKILL)
    error = next_error(backend, AnotherPolicyError)
    assert isinstance(error, AnotherPolicyError)
    assert error.policy_id == ""
    assert "which reads or writes something else" in str(error)
    with pytest.raises(AnotherPolicyError, match="create another client"):
        backend.accept_policy("b" * 64)
