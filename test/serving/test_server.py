"""TritonProcess and triton_server: a ready server answers, a stopped one is gone, a mistake gives one line."""

import fcntl
import importlib.metadata
import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from act_inference_ros.errors import ConfigurationError, NotReadyError
from act_inference_ros.program.shared_memory import DIRECTORY as shared_memory_directory
from act_inference_ros.program.shared_memory import in_use_by
from act_inference_ros.serving.export import export_policy
from act_inference_ros.serving.exporting import load_policy
from act_inference_ros.serving.model_config import MAX_QUEUE_SIZE as MAX_QUEUE
from act_inference_ros.serving.remains import remove_abandoned
from act_inference_ros.serving.triton_process import TritonProcess
from test.serving.serving_helpers import (
    DEADLINE_S,
    children_of,
    eventually,
    infer_inputs,
    is_running,
    left_behind,
    needs_triton,
    observation,
    server_of,
    shared_memory,
    small_checkpoint,
    stubs_of,
)

FIRST_THAT_PROTECTS = (2, 59)
"""Triton 25.07: it refuses clients that ask for the Python backend's memory."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return small_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def repository(checkpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("repository")
    export_policy(checkpoint, repository)
    return repository


@pytest.fixture
def command(repository: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The executable, on free ports."""
    arguments = ["--model-repository", str(repository), "--grpc-port", "0", "--http-port", "0"]
    arguments += ["--log-file", str(tmp_path / "server.log")]
    process = subprocess.Popen(
        [sys.executable, "-m", "act_inference_ros.serving.triton_server", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    yield process
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=DEADLINE_S)


def regions_of(server: int) -> set[str]:
    return {name for name in in_use_by(server) if name in shared_memory()}


def is_locked(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def ready_line(command: subprocess.Popen[str]) -> str:
    watchdog = threading.Timer(DEADLINE_S, command.kill)  # readline takes no deadline
    watchdog.start()
    try:
        return command.stdout.readline()
    finally:
        watchdog.cancel()


@needs_triton
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_says_when_it_is_ready_and_ends_with_all_its_processes(
    command: subprocess.Popen[str], number: signal.Signals
) -> None:
    line = ready_line(command)
    found = re.search(r"ready at (\S+):(\d+) \(gRPC\): act_policy 1", line)
    assert found, line
    socket.create_connection((found[1], int(found[2])), timeout=5).close()
    server = server_of(command.pid)
    processes = [*children_of(command.pid), *stubs_of(server)]
    assert len(processes) >= 3
    regions = regions_of(server)
    assert regions
    command.send_signal(number)
    assert command.wait(DEADLINE_S) == 0
    assert [pid for pid in processes if is_running(pid)] == []
    assert regions & shared_memory() == set()


@needs_triton
def test_the_servers_memory_is_named_as_triton_protects_it_from_clients(repository: Path) -> None:
    import tritonclient.grpc as grpc

    with TritonProcess(repository) as server:
        server.wait_ready(DEADLINE_S)
        regions = {name for name in in_use_by(server.process.pid) if not name.startswith("sem.")}
        assert regions
        assert {name for name in regions if not name.startswith("triton_python_backend_shm_region_")} == set()
        with grpc.InferenceServerClient(server.address) as client:  # the server's own rule, where it has it
            version = tuple(int(part) for part in client.get_server_metadata().version.split(".")[:2])
            if version >= FIRST_THAT_PROTECTS:
                with pytest.raises(grpc.InferenceServerException, match="reserved"):
                    client.register_system_shared_memory("peek", f"/{min(regions)}", 16)


LAUNCHER = """
import sys, time
from act_inference_ros.serving.remains import remove_abandoned
from act_inference_ros.serving.triton_process import TritonProcess
server = TritonProcess(sys.argv[1])
server.wait_ready()
print(server.process.pid, flush=True)
time.sleep(300)
"""


@needs_triton
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_launcher_that_is_killed_leaves_no_server_and_no_memory(repository: Path, number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", LAUNCHER, str(repository)], stdout=subprocess.PIPE, text=True) as it:
        server = int(ready_line(it))
        processes = [*children_of(it.pid), *stubs_of(server)]
        regions = regions_of(server)
        assert regions
        it.send_signal(number)
    assert eventually(lambda: not any(is_running(pid) for pid in processes))
    assert eventually(lambda: regions & shared_memory() == set())


@needs_triton
def test_what_was_left_although_the_guard_was_killed_too_is_removed_by_the_next_server(repository: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", LAUNCHER, str(repository)], stdout=subprocess.PIPE, text=True) as it:
        server = int(ready_line(it))
        regions = regions_of(server)
        guards = [pid for pid in children_of(it.pid) if pid != server]
        for pid in (*guards, it.pid):
            os.kill(pid, signal.SIGKILL)
    try:
        remove_abandoned()
        assert regions <= shared_memory()  # the server lives and uses them
    finally:
        os.killpg(server, signal.SIGKILL)
    (lock,) = [name for name in regions if name.endswith("_lock")]
    assert eventually(lambda: not is_locked(shared_memory_directory / lock))
    with TritonProcess(repository) as other:
        other.wait_ready(DEADLINE_S)
        assert regions & shared_memory() == set()
        assert regions_of(other.process.pid)  # its own stay


@needs_triton
def test_a_model_whose_process_died_is_not_ready_whatever_triton_says(repository: Path) -> None:
    with TritonProcess(repository) as server:
        server.wait_ready(DEADLINE_S)
        for stub in stubs_of(server.process.pid):
            os.kill(stub, signal.SIGKILL)
        with pytest.raises(NotReadyError, match="act_policy"):
            server.wait_ready(3.0)
        server.stop(deadline_s=0.5)  # it would wait for the dead process


@needs_triton
def test_a_stopped_server_is_ended_too(repository: Path) -> None:
    server = TritonProcess(repository)
    try:
        server.wait_ready(DEADLINE_S)
        stubs = stubs_of(server.process.pid)
        os.kill(server.process.pid, signal.SIGSTOP)
    finally:
        server.stop()
    assert [pid for pid in (server.process.pid, *stubs) if is_running(pid)] == []


@needs_triton
def test_a_model_that_cannot_be_loaded_is_named_with_the_reason(repository: Path, tmp_path: Path) -> None:
    version = tmp_path / "broken" / "1"
    version.mkdir(parents=True)
    config = (repository / "act_policy" / "config.pbtxt").read_text().replace('"act_policy"', '"broken"')
    (version.parent / "config.pbtxt").write_text(config)
    (version / "model.py").write_text((repository / "act_policy" / "1" / "model.py").read_text())
    (version / "model.onnx").write_bytes(b"not a graph")
    with TritonProcess(tmp_path) as server, pytest.raises(NotReadyError, match=r"broken.*model\.onnx failed"):
        server.wait_ready(DEADLINE_S)


@needs_triton
def test_a_new_version_takes_over_without_a_failed_request(checkpoint: str, repository: Path, tmp_path: Path) -> None:
    import tritonclient.grpc as grpc

    spec = load_policy(checkpoint).spec
    inputs = infer_inputs([observation(spec)])
    export_policy(checkpoint, tmp_path)
    served_by, failures, done = set(), [], threading.Event()
    flags = ["--model-control-mode=poll", "--repository-poll-secs=1"]
    with TritonProcess(tmp_path, extra_flags=flags) as server:
        server.wait_ready(DEADLINE_S)

        def ask() -> None:
            with grpc.InferenceServerClient(server.address) as client:
                while not done.is_set():
                    done.wait(0.01)
                    try:
                        served_by.add(
                            client.infer("act_policy", inputs, client_timeout=10).get_response().model_version
                        )
                    except Exception as error:  # any failure is one too many
                        failures.append(error)

        askers = [threading.Thread(target=ask) for _ in range(2)]
        for asker in askers:
            asker.start()
        try:
            export_policy(checkpoint, tmp_path)
            assert eventually(lambda: "2" in served_by)
        finally:
            done.set()
            for asker in askers:
                asker.join(DEADLINE_S)
    assert failures == []
    assert served_by == {"1", "2"}


@needs_triton
def test_a_port_in_use_is_refused(repository: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"gRPC port {port} on 127.0.0.1: Address already in use"):
            TritonProcess(repository, grpc_port=port)


@needs_triton
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such directory"),
        (lambda path: path.mkdir(), "no model in it; export one: export_policy"),
    ],
)
def test_a_repository_without_models_is_refused(make: Callable[..., Any], message: str, tmp_path: Path) -> None:
    make(tmp_path / "models")
    with pytest.raises(ConfigurationError, match=message):
        TritonProcess(tmp_path / "models")


@needs_triton
def test_the_models_as_committed_ask_for_an_export() -> None:
    with pytest.raises(ConfigurationError, match="no policy exported into it yet: export_policy"):
        TritonProcess(Path(__file__).parents[2] / "model_repository")


@needs_triton
@pytest.mark.skipif(importlib.util.find_spec("pytriton") is None, reason="nvidia-pytriton is not here")
def test_numpy_2_is_refused_with_the_wheels_triton(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.1.0")
    with pytest.raises(ConfigurationError, match=r"silently corrupts tensors with numpy 2.*here is numpy 2\.1\.0"):
        TritonProcess(repository)


def test_a_machine_without_triton_is_told_what_to_install(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"no Triton on this machine.*pip install --no-deps nvidia-pytriton"):
        TritonProcess(repository)


def test_a_mistake_on_the_command_line_is_one_line_and_status_2(tmp_path: Path) -> None:
    arguments = ["--model-repository", str(tmp_path / "nowhere")]
    command = [sys.executable, "-m", "act_inference_ros.serving.triton_server", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: ")
    assert len(ended.stderr.splitlines()) == 1


@needs_triton
def test_the_policy_without_cameras_is_served_right(checkpoint: str, repository: Path) -> None:
    import tritonclient.grpc as grpc

    from act_inference_ros import InferenceClient

    with TritonProcess(repository) as server, InferenceClient.create(mode="local", checkpoint=checkpoint) as local:
        server.wait_ready(DEADLINE_S)
        one = observation(local.spec)
        with grpc.InferenceServerClient(server.address) as client:
            got = client.infer("act_policy", infer_inputs([one])).as_numpy("action")[0]
        np.testing.assert_allclose(got, local.predict(one), rtol=1e-4, atol=1e-4)


@needs_triton
def test_a_signal_before_the_server_is_ready_leaves_nothing_behind(command: subprocess.Popen[str]) -> None:
    before = left_behind()
    assert eventually(lambda: len(children_of(command.pid)) == 2)
    processes = children_of(command.pid)
    command.send_signal(signal.SIGTERM)
    assert command.wait(DEADLINE_S) is not None
    assert [pid for pid in processes if is_running(pid)] == []
    assert eventually(lambda: left_behind() <= before)


@needs_triton
def test_under_explicit_control_models_come_when_they_are_asked_for(repository: Path) -> None:
    with TritonProcess(repository, extra_flags=["--model-control-mode=explicit"]) as server:
        assert server.wait_ready(DEADLINE_S) == []


@needs_triton
def test_a_policy_that_hangs_refuses_requests_instead_of_piling_them_up(checkpoint: str, repository: Path) -> None:
    import tritonclient.grpc as grpc

    one = infer_inputs([observation(load_policy(checkpoint).spec)])
    refused: list[str] = []
    late: list[str] = []
    done = threading.Event()
    with TritonProcess(repository) as server:
        server.wait_ready(DEADLINE_S)
        with grpc.InferenceServerClient(server.address) as client:
            (stub,) = stubs_of(server.process.pid)

            def note(result: Any, error: Any) -> None:
                if error is not None:
                    (refused if "maximum queue size" in error.message() else late).append(error.message())
                if refused:
                    done.set()

            os.kill(stub, signal.SIGSTOP)
            try:
                calls = [client.async_infer("act_policy", one, note, timeout=30_000_000) for _ in range(2 * MAX_QUEUE)]
                assert done.wait(DEADLINE_S)
                assert len(refused) <= MAX_QUEUE
            finally:
                for call in calls:
                    call.cancel()
        server.stop(deadline_s=0.5)
