"""Servers that are not started yet, die, freeze or lose their model: one error each, and the client recovers."""

import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from act_inference_ros.errors import (
    AnotherPolicyError,
    ConfigurationError,
    InferenceError,
    InferenceTimeoutError,
    NotReadyError,
)
from act_inference_ros.inference.client import InferenceClient
from test.inference.relay import Relay
from test.inference.triton_models import observation, policy_spec, write_model
from test.inference.triton_process import RunningTriton, free_port, wait_until

SPEC = policy_spec(height=96, width=128)
TIMEOUT_S = 0.5
BACK_WITHIN_S = 1.0


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models"), SPEC)


@pytest.fixture(scope="module")
def shared(repository: Path) -> Iterator[RunningTriton]:
    flags = ("--model-control-mode=explicit", "--load-model=*")
    with RunningTriton(repository, *flags) as process:
        yield process.wait_ready()


@pytest.fixture
def server(shared: RunningTriton) -> Iterator[RunningTriton]:
    """A working server, whatever the test before did to it."""
    yield shared
    shared.kill()
    shared.start().wait_ready()


@pytest.fixture(params=["auto", "off"])
def client(request: pytest.FixtureRequest, server: RunningTriton) -> Iterator[InferenceClient]:
    options = {"server": server.address, "timeout_s": TIMEOUT_S, "shared_memory": request.param}
    with InferenceClient.create("triton", **options) as client:
        yield client


def seconds_until_answered(client: InferenceClient, deadline_s: float = 10.0) -> float:
    began = time.monotonic()

    def answered() -> bool:
        try:
            return client.predict(observation(SPEC, 7.0))[0, 0] == 7.0
        except InferenceError:
            return False

    wait_until(answered, deadline_s, "no answer")
    return time.monotonic() - began


def test_create_waits_for_a_server_that_is_not_there_yet(repository: Path) -> None:
    with RunningTriton(repository, started=False) as process:
        starter = threading.Timer(0.5, process.start)
        starter.start()
        with InferenceClient.create("triton", server=process.address, wait_s=30.0) as client:
            assert client.predict(observation(SPEC, 1.0))[0, 0] == 1.0
        starter.join()


def test_create_gives_up_and_says_what_it_tried() -> None:
    ports = free_port(), free_port()
    server = ",".join(f"localhost:{port}" for port in ports)
    began = time.monotonic()
    with pytest.raises(NotReadyError, match="not reachable") as caught:
        InferenceClient.create("triton", server=server, wait_s=0.5)
    assert time.monotonic() - began < 1.5
    assert all(str(port) in str(caught.value) for port in ports)


def test_create_without_waiting_tries_once() -> None:
    began = time.monotonic()
    with pytest.raises(NotReadyError):
        InferenceClient.create("triton", server=f"localhost:{free_port()}", wait_s=0.0)
    assert time.monotonic() - began < 1.0


def test_a_host_name_that_nobody_knows_is_named() -> None:
    with pytest.raises(NotReadyError, match=r"no-such-host\.invalid"):
        InferenceClient.create("triton", server="no-such-host.invalid:8001", wait_s=0.2)


def test_a_port_that_speaks_something_else_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve_http() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=serve_http)
        thread.start()
        with pytest.raises(InferenceError, match="HTTP port"):
            InferenceClient.create("triton", server=f"127.0.0.1:{listener.getsockname()[1]}", wait_s=1.0)
        thread.join(5.0)


def test_a_server_that_was_killed_and_started_again_is_used(server: RunningTriton, client: InferenceClient) -> None:
    server.kill()
    with pytest.raises(NotReadyError, match=server.address):
        client.predict(observation(SPEC))
    server.start().wait_ready()
    assert seconds_until_answered(client) < BACK_WITHIN_S
    assert client.reconnects == 1


def test_a_server_that_was_away_for_a_while_is_found_as_fast(server: RunningTriton, client: InferenceClient) -> None:
    server.kill()
    end = time.monotonic() + 3.0
    while time.monotonic() < end:  # back-off grows with the failures
        with pytest.raises(NotReadyError):
            client.predict(observation(SPEC))
        time.sleep(0.05)
    server.start().wait_ready()
    assert seconds_until_answered(client) < BACK_WITHIN_S


def test_a_frozen_server_gives_timeouts_and_is_used_when_it_continues(
    server: RunningTriton, client: InferenceClient
) -> None:
    server.send(signal.SIGSTOP)
    for _ in range(5):  # beyond the point where the client tries another connection
        began = time.monotonic()
        with pytest.raises(InferenceTimeoutError):
            client.predict(observation(SPEC))
        assert TIMEOUT_S * 0.9 < time.monotonic() - began < TIMEOUT_S + 0.3
    server.send(signal.SIGCONT)
    assert seconds_until_answered(client) < BACK_WITHIN_S
    assert client.reconnects == 1


def test_a_model_whose_process_died_is_an_error_until_it_is_loaded_again(server: RunningTriton) -> None:
    with InferenceClient.create("triton", server=server.address, timeout_s=5.0) as client:
        server.kill_stubs()
        for _ in range(2):  # Triton answers after a second, and claims to be ready all the while
            with pytest.raises(NotReadyError, match="unload and load"):
                client.predict(observation(SPEC))
        server.unload("act_policy")
        server.load("act_policy")
        assert seconds_until_answered(client) < BACK_WITHIN_S


def test_an_unloaded_model_is_an_error_until_it_is_loaded_again(server: RunningTriton, client: InferenceClient) -> None:
    server.unload("act_policy")

    def refused() -> bool:
        try:
            client.predict(observation(SPEC))
        except NotReadyError as error:
            return "act_policy" in str(error)
        return False

    wait_until(refused, 5.0, "still answers")  # unloading goes on after the call
    server.load("act_policy")
    assert seconds_until_answered(client) < BACK_WITHIN_S


def refused_as_another(client: InferenceClient) -> bool:
    try:
        client.predict(observation(SPEC))
    except AnotherPolicyError:
        return True
    except InferenceError:
        return False
    return False


def test_another_policy_under_the_same_name_is_refused(tmp_path: Path) -> None:
    repository = write_model(tmp_path, SPEC)
    with RunningTriton(repository) as process:
        process.wait_ready()
        with InferenceClient.create("triton", server=process.address) as client:
            client.predict(observation(SPEC))
            process.kill()
            write_model(repository, policy_spec(height=96, width=128, action_dim=7))
            process.start().wait_ready()
            wait_until(lambda: refused_as_another(client), 5.0, "it does not notice")
            with pytest.raises(AnotherPolicyError, match=r"another policy .* action_dim 14 and 7"):
                client.predict(observation(SPEC))
            with pytest.raises(NotReadyError, match="create another client"):
                client.accept_policy("ab" * 32)


def test_a_connection_that_went_silent_is_replaced(repository: Path, shared: RunningTriton) -> None:
    with Relay(shared.address) as relay:
        options: dict[str, Any] = {"server": relay.address, "timeout_s": 0.2, "shared_memory": "off"}
        with InferenceClient.create("triton", **options) as client:
            client.predict(observation(SPEC))
            relay.silence_connections()
            with pytest.raises(InferenceTimeoutError):
                client.predict(observation(SPEC))
            assert seconds_until_answered(client) < BACK_WITHIN_S


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"server": "localhost"}, "localhost.*host:port"),
        ({"server": "http://localhost:8001"}, "host:port"),
        ({"server": "localhost:8001,"}, "host:port"),
        ({"server": "localhost:99999"}, "host:port"),
        ({"timeout_s": 0.0}, "timeout_s"),
        ({"timeout_s": float("nan")}, "timeout_s"),
        ({"wait_s": -1.0}, "wait_s"),
        ({"shared_memory": "yes"}, "auto, on, off"),
        ({"version": "latest"}, "latest"),
        ({"certificate_file": "x.pem"}, "key_file"),
        ({"ca_file": "/no/such/file.pem"}, "ca_file /no/such/file.pem"),
        ({"token_file": "/no/such/token"}, "token_file /no/such/token"),
        ({"token_header": "X Token"}, "token_header"),
        ({"fallback": "triton"}, "fallback"),
    ],
)
def test_options_that_cannot_be_right_are_refused_at_once(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        InferenceClient.create("triton", **{"server": "localhost:1", "wait_s": 0.0, **options})
