"""The bad network does to connections what its weather says, and passes them on unchanged when it is fine."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from test.witness.bad_network import FINE, BadNetwork, Weather, garbage

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
def network() -> Iterator[BadNetwork]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=echo, args=(listener,), daemon=True).start()
        with BadNetwork(f"127.0.0.1:{listener.getsockname()[1]}") as network:
            yield network
        listener.shutdown(socket.SHUT_RDWR)


def connect(network: BadNetwork) -> socket.socket:
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


def test_in_fine_weather_all_is_passed_on(network: BadNetwork) -> None:
    with connect(network) as connection:
        assert ask(connection, bytes(300_000)) == bytes(300_000)


def test_a_network_that_refuses_ends_connections_and_takes_none_until_it_is_fine(network: BadNetwork) -> None:
    with connect(network) as connection:
        assert ask(connection) == b"hello"
        network.weather = Weather(refusing=True)
        assert connection.recv(1) == b""
    with connect(network) as another:
        assert is_ended(another)
    network.weather = FINE
    with connect(network) as connection:
        assert ask(connection) == b"hello"


def test_what_is_sent_into_silence_comes_later(network: BadNetwork) -> None:
    with connect(network) as connection:
        network.weather = Weather(silent=True)
        connection.sendall(b"hello")
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(5)
        network.weather = FINE
        connection.settimeout(DEADLINE_S)
        assert connection.recv(5) == b"hello"


@pytest.mark.parametrize("weather", [Weather(delay_s=0.2), Weather(loss=1.0), Weather(rate=25.0)])
def test_a_late_network_loses_nothing(network: BadNetwork, weather: Weather) -> None:
    network.weather = weather
    with connect(network) as connection:
        begin = time.monotonic()
        assert ask(connection) == b"hello"
        assert time.monotonic() - begin >= 0.4  # there and back


def test_garbage_is_as_long_as_the_answer(network: BadNetwork) -> None:
    network.weather = Weather(answers=garbage)
    with connect(network) as connection:
        answer = ask(connection)
        assert answer != b"hello"
        assert len(answer) == 5


def test_without_a_server_connections_end() -> None:
    with BadNetwork("127.0.0.1:1") as nobody, connect(nobody) as connection:
        assert is_ended(connection)
