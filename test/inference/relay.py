"""A relay between a client and servers: simulates faults of a network, and a service with several replicas."""

import itertools
import socket
import threading


def target(address: str) -> tuple[str, int]:
    """host:port -> (host, port)."""
    host, port = address.split(":")
    return host, int(port)


class Relay:
    """Passes connections on, each to the next of its `targets` (host, port), as the address of a service does.

    It can stop forwarding the data of its connections, like a network that loses everything.
    """

    def __init__(self, *addresses: str) -> None:
        self.targets = [target(address) for address in addresses]
        self._turn = itertools.count()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._silenced: set[socket.socket] = set()
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> "Relay":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for each in self._sockets:
            each.close()

    def silence_connections(self) -> None:
        self._silenced.update(self._sockets)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = self._reach(near)
            if far is None:
                continue
            self._sockets += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _reach(self, near: socket.socket) -> socket.socket | None:
        """The connection to a target for a client's; None, and the client's is closed, where there is none."""
        return socket.create_connection(self.targets[next(self._turn) % len(self.targets)])

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self._forward(data, source, sink)
        except OSError:
            pass

    def _forward(self, data: bytes, source: socket.socket, sink: socket.socket) -> None:
        if source not in self._silenced:
            sink.sendall(data)
