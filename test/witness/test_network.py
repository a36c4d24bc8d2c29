"""The network that can fail does to connections what its fault says, and passes them on unchanged without one."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from test.witness import network as network_module
from test.witness.network import CUT, DELAYED, GARBLED, LOSSY, SLOW, STALLED, WORKS, Network

DEADLINE_S = 20.0


def echo(listener: socket.socket) -> None:
    """Send everything back, to one client after the other."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)


@pytest.fixture
def network() -> Iterator[Network]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=echo, args=(listener,), daemon=True).start()
        network = Network(f"127.0.0.1:{listener.getsockname()[1]}")
        with network:
            yield network
        listener.shutdown(socket.SHUT_RDWR)


def connect(network: Network) -> socket.socket:
    host, port = network.address.split(":")
    return socket.create_connection((host, int(port)), timeout=DEADLINE_S)


def ask(connection: socket.socket, text: bytes = b"hello") -> bytes:
    connection.sendall(text)
    answer = b""
    while len(answer) < len(text) and (data := connection.recv(65536)):
        answer += data
    return answer


def is_ended(connection: socket.socket) -> bool:
    """Whether a question gets no answer, because the connection has ended."""
    try:
        return ask(connection) == b""
    except ConnectionError:
        return True


def test_without_a_fault_all_is_passed_on(network: Network) -> None:
    with connect(network) as connection:
        assert ask(connection, bytes(300_000)) == bytes(300_000)


def test_a_cut_network_ends_connections_and_takes_none_until_it_works(network: Network) -> None:
    with connect(network) as connection:
        assert ask(connection) == b"hello"
        network.fault = CUT
        network.cut()
        assert connection.recv(1) == b""
    with connect(network) as another:
        assert is_ended(another)
    network.fault = WORKS
    with connect(network) as connection:
        assert ask(connection) == b"hello"


def test_what_is_sent_into_silence_comes_later(network: Network) -> None:
    with connect(network) as connection:
        network.fault = STALLED
        connection.sendall(b"hello")
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(5)
        network.fault = WORKS
        connection.settimeout(DEADLINE_S)
        assert connection.recv(5) == b"hello"


@pytest.mark.parametrize("fault", [DELAYED, LOSSY, SLOW])
def test_a_late_network_loses_nothing(network: Network, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_module, "LOST", 1.0)
    monkeypatch.setattr(network_module, "RATE", 25.0)
    network.fault = fault
    with connect(network) as connection:
        begin = time.monotonic()
        assert ask(connection) == b"hello"
        assert time.monotonic() - begin >= 0.4 - 1e-3  # there and back


def test_garbage_is_as_long_as_the_answer(network: Network) -> None:
    network.fault = GARBLED
    with connect(network) as connection:
        answer = ask(connection)
        assert answer != b"hello"
        assert len(answer) == 5


def test_without_a_server_connections_end() -> None:
    nobody = Network("127.0.0.1:1")
    with nobody, connect(nobody) as connection:
        assert is_ended(connection)
