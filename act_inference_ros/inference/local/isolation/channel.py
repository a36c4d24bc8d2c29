"""Channel: short messages between two processes of one machine; each is a JSON object and arrives complete."""

from __future__ import annotations

import contextlib
import json
import math
import select
import socket
import threading
from collections.abc import Mapping
from typing import Any

from act_inference_ros.errors import InferenceError

MOST_BYTES = 100_000
"""Size of a message: a policy's specification is the longest. Linux accepts twice as much by default."""


class Channel:
    """One end of a socket that keeps messages apart (SOCK_SEQPACKET). Only `close` may be called from any thread."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._in_use = threading.Lock()  # held while the socket is used, because closing frees its number

    @classmethod
    def pair(cls) -> tuple[Channel, socket.socket]:
        """Return our end, and the other end for a process that is to be started."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(ours), theirs

    def send(self, message: Mapping[str, Any], *descriptors: int) -> None:
        """Send a message, with open file descriptors. Raises EOFError if the other end is closed."""
        data = json.dumps(message).encode()
        if len(data) > MOST_BYTES:
            raise InferenceError(f"a message of {len(data)} bytes between processes, at most {MOST_BYTES} are expected")
        try:
            with self._in_use:
                socket.send_fds(self._end, [data], descriptors)
        except OSError as error:
            raise EOFError("the other process has closed the channel") from error

    def receive(self, timeout_s: float | None = None) -> tuple[dict[str, Any], list[int]] | None:
        """Return the next message and its files; None if no message came within `timeout_s` (None: wait without limit).

        Raises EOFError if the other end is closed, InferenceError for data that are not a message.
        """
        try:
            with self._in_use:
                if not _is_readable(self._end, timeout_s):
                    return None
                data, descriptors, _, _ = socket.recv_fds(self._end, MOST_BYTES + 1, 1)
        except (OSError, ValueError) as error:  # ValueError: closed by this process meanwhile
            raise EOFError("the channel is closed") from error
        if not data:
            raise EOFError("the other process has closed the channel")
        try:
            message = json.loads(data)
        except ValueError as error:
            raise InferenceError(f"expected a JSON object from the other process, got {data[:40]!r}") from error
        if len(data) > MOST_BYTES or not isinstance(message, dict):
            raise InferenceError(f"expected a JSON object from the other process, got {data[:40]!r}")
        return message, list(descriptors)

    def close(self) -> None:
        """Close this end; a `receive` at the other end then raises EOFError."""
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)  # wakes up a thread that waits for a message
        with self._in_use:
            self._end.close()


def _is_readable(end: socket.socket, timeout_s: float | None) -> bool:
    """Whether a message or the end comes within `timeout_s`. `select` is not used, because it knows only 1024 files."""
    poll = select.poll()
    poll.register(end, select.POLLIN)
    return bool(poll.poll(None if timeout_s is None else math.ceil(1000.0 * timeout_s)))
