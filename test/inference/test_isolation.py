"""Local inference in its own process: the same numbers and errors as in the calling process, and its facts."""

import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from act_inference_ros import errors
from act_inference_ros.errors import (
    ActInferenceError,
    BadOutputError,
    ConfigurationError,
    InferenceError,
    NotReadyError,
    ObservationError,
)
from act_inference_ros.inference.backend import ISOLATION, RESTARTS
from act_inference_ros.inference.local.isolation.backend import IsolatedBackend
from act_inference_ros.program import cores, shared_memory
from test.inference.engine_stand_in import (
    IMAGE,
    JOINTS,
    OPENER,
    STATE,
    EngineStandIn,
    Order,
    expected_chunk,
    observation,
    write_policy,
)
from test.inference.isolation_helpers import isolated, options_for, pid_of, wait_until_it_works


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IsolatedBackend]:
    with isolated(write_policy(tmp_path_factory.mktemp("policy")), niceness=7) as backend:
        yield backend


@pytest.fixture
def backend(shared: IsolatedBackend) -> Iterator[IsolatedBackend]:
    """One inference process for many tests; none of them may end it."""
    before = pid_of(shared)
    yield shared
    assert pid_of(shared) == before


def test_the_chunk_is_the_engines(backend: IsolatedBackend) -> None:
    for value in (0.1, -0.2, 1e30):
        inputs = observation(value=value)
        inputs[IMAGE] = np.roll(inputs[IMAGE], 7, axis=1)
        chunk = backend.infer(inputs)
        assert chunk.dtype == np.float32
        np.testing.assert_array_equal(chunk, expected_chunk(inputs))


def test_a_chunk_is_not_overwritten_by_the_next_one(backend: IsolatedBackend) -> None:
    first = backend.infer(observation(value=0.1))
    copy = first.copy()
    backend.infer(observation(value=0.2))
    np.testing.assert_array_equal(first, copy)


def test_a_jpeg_is_decoded(backend: IsolatedBackend) -> None:
    cv2 = pytest.importorskip("cv2")
    flat = np.full((8, 12, 3), 128, np.uint8)
    jpeg = cv2.imencode(".jpg", flat)[1].tobytes()
    chunk = backend.infer({**observation(), IMAGE: jpeg})
    np.testing.assert_allclose(chunk, backend.infer({**observation(), IMAGE: flat}), atol=2.0)


def test_callers_at_once_each_get_their_own_chunk(backend: IsolatedBackend) -> None:
    chunks: dict[int, list[bool]] = {}

    def infer_often(index: int) -> None:
        inputs = observation(value=float(index))
        chunks[index] = [bool((backend.infer(inputs) == expected_chunk(inputs)).all()) for _ in range(20)]

    threads = [threading.Thread(target=infer_often, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert chunks == {index: [True] * 20 for index in range(4)}


def test_its_facts_are_those_of_the_engine_and_its_process_id(backend: IsolatedBackend) -> None:
    assert backend.source == f"{EngineStandIn.source}, in a process of its own"
    assert backend.notes == EngineStandIn.notes
    assert backend.warm_up_s == EngineStandIn.warm_up_s
    assert backend.spec.policy_id == "a" * 64
    assert backend.facts[ISOLATION].startswith(f"process {pid_of(backend)}, niceness 7, started in ")
    assert backend.facts[RESTARTS] == "0"


def test_it_runs_at_a_lower_priority_than_the_calling_process(backend: IsolatedBackend) -> None:
    assert int(Path(f"/proc/{pid_of(backend)}/oom_score_adj").read_text()) >= 500
    assert backend.facts["niceness"] == str(min(19, os.nice(0) + 7))
    assert backend.facts["threads"] == str(cores.automatic_threads())


def test_threads_that_are_given_are_kept(tmp_path: Path) -> None:
    with isolated(write_policy(tmp_path), threads=3) as backend:
        assert backend.facts["threads"] == "3"


def test_its_shared_memory_has_no_name(backend: IsolatedBackend) -> None:
    assert shared_memory.in_use_by(pid_of(backend)) == set()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_that_ask_a_program_to_end_are_left_to_the_calling_process(
    backend: IsolatedBackend, number: int
) -> None:
    os.kill(pid_of(backend), number)
    wait_until_it_works(backend)


def test_a_refused_observation_leaves_the_process_as_it_is(backend: IsolatedBackend) -> None:
    with pytest.raises(ObservationError, match=r"^not this one$"):
        backend.infer(observation(Order.REFUSE_THE_OBSERVATION))
    np.testing.assert_array_equal(backend.infer(observation()), expected_chunk(observation()))


@pytest.mark.parametrize("name", ["CheckpointError", "ConfigurationError", "MissingDependencyError", "BadOutputError"])
def test_an_error_while_opening_reaches_the_caller_unchanged(tmp_path: Path, name: str) -> None:
    checkpoint = write_policy(tmp_path, error=name, message="what is wrong, and what to do: ä")
    with pytest.raises(ActInferenceError, match=r"^what is wrong, and what to do: ä$") as caught:
        IsolatedBackend(options_for(checkpoint), OPENER)
    assert type(caught.value) is getattr(errors, name)


def test_a_very_long_error_is_cut(tmp_path: Path) -> None:
    checkpoint = write_policy(tmp_path, error="CheckpointError", message="x" * 200_000)
    with pytest.raises(errors.CheckpointError, match=r"^x{1000,10000}$"):
        IsolatedBackend(options_for(checkpoint), OPENER)


@pytest.mark.parametrize(
    ("loading", "message"),
    [
        (Order.RAISE_UNFORESEEN, "^RuntimeError: the device is gone$"),
        (Order.EXIT, "^the inference process ended with exit status 7 before it was ready$"),
        (Order.BE_KILLED, "^the inference process was killed by SIGKILL, perhaps because memory ran out before it was"),
    ],
)
def test_a_first_start_that_fails_says_why(tmp_path: Path, loading: Order, message: str) -> None:
    with pytest.raises(InferenceError, match=message):
        IsolatedBackend(options_for(write_policy(tmp_path, loading=loading)), OPENER)


def test_an_opener_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(InferenceError, match=r"ModuleNotFoundError: No module named 'act_inference_ros\.nothing'"):
        IsolatedBackend(options_for(write_policy(tmp_path)), "act_inference_ros.nothing:open_engine")


@pytest.mark.parametrize(
    ("raised", "kind"), [(OSError(11, "no more processes"), NotReadyError), (ValueError("odd"), ValueError)]
)
def test_a_process_that_cannot_be_started_is_an_error_and_not_a_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception, kind: type[Exception]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr("act_inference_ros.inference.local.isolation.running.subprocess.Popen", refuse)
    with pytest.raises(kind, match=r"no more processes|odd"):
        IsolatedBackend(options_for(write_policy(tmp_path)), OPENER)


def test_wrong_options_are_refused_before_a_process_is_started(tmp_path: Path) -> None:
    options = options_for(write_policy(tmp_path, loading=Order.EXIT))
    with pytest.raises(ConfigurationError, match="niceness"):
        IsolatedBackend(replace(options, niceness=20), OPENER)


def test_other_systems_than_linux_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    with pytest.raises(ConfigurationError, match="Linux only; set isolation: thread"):
        IsolatedBackend(options_for(write_policy(tmp_path)), OPENER)


def test_a_chunk_of_another_shape_is_refused(tmp_path: Path) -> None:
    with (
        isolated(write_policy(tmp_path)) as backend,
        pytest.raises(BadOutputError, match=rf"expected a chunk of shape \(4, {JOINTS}\), got \(3, {JOINTS}\)"),
    ):
        backend.infer(observation(Order.MISSHAPE))


def test_files_of_the_working_directory_are_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("ctypes", "socket", "numpy", "act_inference_ros"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    with isolated(write_policy(tmp_path)) as backend:
        np.testing.assert_array_equal(backend.infer(observation()), expected_chunk(observation()))


def test_after_close_there_is_no_process_and_no_chunk(tmp_path: Path) -> None:
    with isolated(write_policy(tmp_path)) as backend:
        pid = pid_of(backend)
        backend.close()
        backend.close()
        assert not Path(f"/proc/{pid}").exists()
        with pytest.raises(NotReadyError, match=r"^the inference client is closed; create another one$"):
            backend.infer(observation())
        assert backend.spec.vectors == {STATE: JOINTS}
