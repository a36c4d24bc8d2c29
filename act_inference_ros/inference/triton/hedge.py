"""Hedge: if the first server is late, a second server is asked, and the first answer counts."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import NotReadyError
from act_inference_ros.inference.triton.errors import CallFailed
from act_inference_ros.inference.triton.remote_server import RemoteServer

LATE = 3.0
"""A server is late if it takes this many times as long as answers usually take."""
SHORTEST_S = 0.05
"""No server counts as late before this time."""
REMEMBERED = 50
THREADS_PER_SERVER = 8
"""A request to a server that hangs keeps its thread until its deadline."""

Chunk = npt.NDArray[np.float32]


class Hedge:
    """Asks one server, then others. `timeout_s` is the time limit of each request, s."""

    def __init__(self, timeout_s: float, n_servers: int) -> None:
        self._timeout_s = timeout_s
        self._n_servers = n_servers
        self._took: deque[float] = deque(maxlen=REMEMBERED)
        self._pool: ThreadPoolExecutor | None = None
        if n_servers > 1:
            self._pool = ThreadPoolExecutor(THREADS_PER_SERVER * n_servers, thread_name_prefix="triton_request")

    @property
    def late_s(self) -> float:
        """After how long a server is late, s: always early enough to ask each of the servers in time."""
        usual_s = median(self._took) if self._took else self._timeout_s
        return min(max(SHORTEST_S, LATE * usual_s), self._timeout_s / self._n_servers)

    def took(self, answer_s: float) -> None:
        """Note how long an answer took, s."""
        self._took.append(answer_s)

    def close(self) -> None:
        """Start no more threads; the threads of running requests end with their requests."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)

    def first_answer(
        self, servers: Sequence[RemoteServer], ask: Callable[[RemoteServer], Chunk], deadline: float
    ) -> tuple[Chunk, RemoteServer]:
        """Return the first chunk and the server that computed it.

        If no server has a chunk by `deadline` (monotonic clock, s), raises the error that `CallFailed.together` makes
        of the failures. Other errors of `ask` are raised unchanged.
        """
        if self._pool is None:
            return self._alone(servers[0], ask)
        waiting, asked = list(servers), dict[Future[Chunk], tuple[RemoteServer, float]]()
        failures: list[CallFailed] = []
        while True:
            if waiting:
                server = waiting.pop(0)
                try:
                    asked[self._pool.submit(ask, server)] = server, time.monotonic()
                except RuntimeError as error:  # it was closed at this moment
                    raise NotReadyError("the inference client is closed; create another one") from error
            until = min(deadline, time.monotonic() + self.late_s) if waiting else deadline
            done, _ = wait(asked, max(0.0, until - time.monotonic()), FIRST_COMPLETED)
            for future in done:
                server, began = asked.pop(future)
                try:
                    chunk = future.result()
                except CallFailed as failed:
                    failures.append(failed)
                    if not failed.elsewhere:
                        raise CallFailed.together(failures) from failed
                else:
                    self.took(time.monotonic() - began)
                    for late, since in asked.values():
                        if time.monotonic() - since > self.late_s:
                            late.late()
                    return chunk, server
            if time.monotonic() >= deadline:
                failures += [CallFailed.timed_out(server.address) for server, _ in asked.values()]
                raise CallFailed.together(failures)
            if not asked and not waiting:
                raise CallFailed.together(failures) from failures[-1]

    def _alone(self, server: RemoteServer, ask: Callable[[RemoteServer], Any]) -> tuple[Chunk, RemoteServer]:
        try:
            return ask(server), server
        except CallFailed as failed:
            raise CallFailed.together([failed]) from failed.__cause__
