"""A network between node and server that can be made to fail: a TCP proxy, since tc's netem is not on every machine."""

from __future__ import annotations

import contextlib
import queue
import random
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

PIECE = 65536
POLL_S = 0.02
Changed = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Weather:
    """What befalls the connections meanwhile.

    `delay_s`: how much later each piece of data arrives. `loss`: which share of the pieces has to be sent twice, and
    arrives `resent_s` later, as TCP makes of loss. `rate`: bytes a second at most, 0 for no limit. `silent`: nothing
    arrives, and nobody is told. `refusing`: connections are cut, and new ones refused. `answers`: what is made of what
    the server says.
    """

    delay_s: float = 0.0
    loss: float = 0.0
    resent_s: float = 0.2
    rate: float = 0.0
    silent: bool = False
    refusing: bool = False
    answers: Changed | None = None


FINE = Weather()


class BadNetwork:
    """Passes connections to `address` (host:port) on, through the weather that is set in `weather` at any time."""

    def __init__(self, address: str) -> None:
        host, port = address.split(":")
        self._target = host, int(port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._weather = FINE
        self._guard = threading.Lock()  # guards the sockets
        self._sockets: set[socket.socket] = set()
        self._over = threading.Event()

    def __enter__(self) -> BadNetwork:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._cut()

    @property
    def weather(self) -> Weather:
        return self._weather

    @weather.setter
    def weather(self, weather: Weather) -> None:
        self._weather = weather
        if weather.refusing:
            self._cut()

    def _cut(self) -> None:
        with self._guard:
            sockets, self._sockets = self._sockets, set()
        for each in sockets:
            _end(each)

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self._weather.refusing:
                    raise ConnectionRefusedError
                far = socket.create_connection(self._target, timeout=1.0)
            except OSError:  # the server is not there
                near.close()
                continue
            far.settimeout(None)
            with self._guard:
                self._sockets |= {near, far}
            for source, sink, answers in ((near, far, False), (far, near, True)):
                waiting: queue.Queue[tuple[float, bytes]] = queue.Queue()
                threading.Thread(target=self._read, args=(source, waiting, answers), daemon=True).start()
                threading.Thread(target=self._write, args=(sink, source, waiting), daemon=True).start()

    def _read(self, source: socket.socket, waiting: queue.Queue[tuple[float, bytes]], answers: bool) -> None:
        due = 0.0
        while True:
            try:
                data = source.recv(PIECE)
            except OSError:
                data = b""
            weather = self._weather
            late = weather.delay_s + (weather.resent_s if random.random() < weather.loss else 0.0)
            late += len(data) / weather.rate if weather.rate else 0.0
            due = max(due, time.monotonic() + late)  # what was sent later does not arrive earlier
            if answers and weather.answers and data:
                data = weather.answers(data)
            waiting.put((due, data))
            if not data:
                return

    def _write(self, sink: socket.socket, source: socket.socket, waiting: queue.Queue[tuple[float, bytes]]) -> None:
        data = b"."
        while data and not self._over.is_set():
            due, data = waiting.get()
            time.sleep(max(0.0, due - time.monotonic()))
            while self._weather.silent and not self._over.is_set():
                time.sleep(POLL_S)
            with contextlib.suppress(OSError):
                sink.sendall(data)
        for each in (sink, source):
            with self._guard:
                self._sockets.discard(each)
            _end(each)


def _end(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)  # wakes who reads from it
    each.close()


def garbage(data: bytes) -> bytes:
    """As many bytes that mean nothing."""
    return random.Random(len(data)).randbytes(len(data))
