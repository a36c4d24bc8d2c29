"""Network: the way from a node to its server, which can be made to fail in each way."""

from __future__ import annotations

import contextlib
import random
import socket
import time

from test.inference.relay import Relay

WORKS, CUT, STALLED, GARBLED, ECHOES, SLOW, DELAYED, BY_TURNS, LOSSY = (
    "works", "cut", "stalled", "garbled", "echoes", "slow", "delayed", "by turns", "lossy",
)  # fmt: skip
RATE = 40e3
"""Bytes/s of a slow network: the stage's two pictures take almost two seconds."""
DELAY_S = 0.6
TURN_S, STALLED_S = 0.9, 0.6
LOST, SENT_AGAIN_S = 0.1, 0.2
"""Which share of the data a lossy network loses; TCP sends it again, after 0.2 s at least."""
LOOK_S = 0.01


class Network(Relay):
    """A relay to one server; `fault` is one of the words above. What is stalled comes later, as TCP has it."""

    fault = WORKS

    def cut(self) -> None:
        """End every connection."""
        for each in self._sockets:
            _end(each)

    def _reach(self, near: socket.socket) -> socket.socket | None:
        if self.fault != CUT:
            with contextlib.suppress(OSError):  # nobody there: the client shall see the same
                far = socket.create_connection(self.targets[0], timeout=5.0)
                far.settimeout(None)
                return far
        near.close()
        return None

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            super()._pass_on(source, sink)
        finally:
            _end(source)
            _end(sink)

    def _forward(self, data: bytes, source: socket.socket, sink: socket.socket) -> None:
        self._wait(len(data))
        if self.fault == ECHOES:
            source.sendall(data)
        else:
            sink.sendall(random.Random(0).randbytes(len(data)) if self.fault == GARBLED else data)

    def _wait(self, size: int) -> None:
        if self.fault == DELAYED:
            time.sleep(DELAY_S)
        elif self.fault == SLOW:
            time.sleep(size / RATE)
        elif self.fault == LOSSY and random.random() < LOST:
            time.sleep(SENT_AGAIN_S)
        while self.fault == STALLED or (self.fault == BY_TURNS and time.monotonic() % TURN_S < STALLED_S):
            time.sleep(LOOK_S)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
