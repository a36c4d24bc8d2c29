"""Triton mode: the policy on one or several Triton servers, over gRPC. Works without torch."""

from __future__ import annotations

import itertools
import logging
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import NotReadyError
from act_inference_ros.inference.backend import ENGINE, Progress, silently
from act_inference_ros.inference.triton.contract import Contract, spec_differences
from act_inference_ros.inference.triton.errors import CallFailed
from act_inference_ros.inference.triton.hedge import Hedge
from act_inference_ros.inference.triton.options import TritonOptions
from act_inference_ros.inference.triton.remote_server import RemoteServer
from act_inference_ros.spec import PolicySpec

RETRY_S = 0.1
"""Time between two checks whether a server is available."""
RENEW_S = 5.0
"""Largest age of a connection while requests are made: a new connection finds replicas that were added since."""

_log = logging.getLogger(__name__)


class TritonBackend:
    """A policy on Triton, checked and tried once: every server that answered has computed a valid chunk.

    Requests go to the servers in turn. If a server fails or is late, another one is asked within the same deadline;
    this is safe, because inference changes nothing on the server. Failed servers are asked last, and a thread tries
    them until an inference works. Every answer says which policy computed it, and an answer of another policy is a
    failure.
    """

    def __init__(self, options: TritonOptions, progress: Progress = silently) -> None:
        """Wait up to `options.wait_s` for a server; `progress` is told why there is none yet.

        Raises ConfigurationError for options that cannot be used, and NotReadyError, RejectedError or BadOutputError if
        no server has the policy.
        """
        options.check()
        self._options = options
        self._closed = threading.Event()
        self._servers = [RemoteServer(address, options) for address in options.addresses]
        # Also when the program ends without close: otherwise a server keeps its shared memory until another client
        # comes.
        self._release = weakref.finalize(self, _close_all, self._servers)
        self._turn = itertools.count()
        self._answered: RemoteServer = self._servers[0]
        self._hedge = Hedge(options.timeout_s, len(self._servers))
        self._asked = False
        """Whether there was a request since the connections were renewed."""
        self._renewed_at = time.monotonic()
        try:
            contract = self._agree(time.monotonic() + options.wait_s, progress)
        except BaseException:
            self.close()
            raise
        self._spec = contract.spec
        self._takes_jpeg = contract.jpeg
        self._hedge.took(self.warm_up_s)
        arguments = weakref.ref(self), self._closed
        threading.Thread(target=_look_after, args=arguments, name="triton_servers", daemon=True).start()

    @property
    def spec(self) -> PolicySpec:
        """What the policy reads and writes, and its policy_id, as the server reported them."""
        return self._spec

    @property
    def source(self) -> str:
        """Model and servers, for messages."""
        return f"model {self._options.model} on {', '.join(self._options.addresses)}"

    @property
    def model_version(self) -> str:
        """The version of the model that computed the newest chunk."""
        return self._answered.version

    @property
    def takes_jpeg(self) -> bool:
        """Whether the model decodes images itself."""
        return self._takes_jpeg

    @property
    def facts(self) -> Mapping[str, str]:
        """Only that it is Triton; the client does not know what the server computes with."""
        return {ENGINE: "triton"}

    @property
    def notes(self) -> tuple[str, ...]:
        """Always empty."""
        return ()

    @property
    def reconnects(self) -> int:
        """How often a server answered again after a failure."""
        return sum(server.reconnects for server in self._servers)

    @property
    def warm_up_s(self) -> float:
        """Time of the slowest server's trial inference, s."""
        return max(server.probe_s for server in self._servers)

    def infer(self, inputs: Mapping[str, npt.NDArray[Any] | bytes], request_id: str = "") -> npt.NDArray[np.float32]:
        """Checked inputs -> float32 (chunk_size, action_dim), within `timeout_s`; otherwise an error is raised."""
        if self._closed.is_set():
            raise NotReadyError("the inference client is closed; create another one")
        self._asked = True
        deadline = time.monotonic() + self._options.timeout_s
        servers = self._in_turn()
        chunk, self._answered = self._hedge.first_answer(
            servers, lambda server: server.infer(inputs, deadline, request_id), deadline
        )
        return chunk

    def accept_policy(self, policy_id: str) -> None:
        """Continue with the policy of this id, which AnotherPolicyError named, from the servers that have it.

        Nothing changes if a server has the old policy again. Raises an InferenceError, and changes nothing, if no
        server has either policy, or if the new policy reads or writes something else.
        """
        deadline = time.monotonic() + self._options.timeout_s
        found, failures = [], []
        for server in self._servers:
            try:
                found.append(server.look(deadline).spec)
            except CallFailed as failed:
                failures.append(failed)
        if self._spec in found:
            return
        wanted = replace(self._spec, policy_id=policy_id)
        if wanted in found:
            self._spec = wanted
            self._expect(wanted)
            return
        if not found:
            raise CallFailed.together(failures) from failures[-1]
        differences = spec_differences(wanted, found[0])
        raise NotReadyError(f"{self.source}: not the accepted policy: {differences}; create another client")

    def close(self) -> None:
        """Release connections and shared memory; a running request ends with NotReadyError."""
        self._closed.set()
        self._hedge.close()
        self._release()

    def _in_turn(self) -> list[RemoteServer]:
        """The servers that answer, beginning with another one each time; then the others."""
        first = next(self._turn) % len(self._servers)
        rotated = self._servers[first:] + self._servers[:first]
        return sorted(rotated, key=lambda server: not server.answers)

    def _expect(self, spec: PolicySpec) -> None:
        for server in self._servers:
            server.expected = spec

    def _agree(self, end: float, progress: Progress) -> Contract:
        """Try every server until one has the policy; the other servers must then have the same policy."""
        agreed: Contract | None = None
        while True:
            failures: list[CallFailed] = []
            for server in self._servers:
                share = (end - time.monotonic()) / len(self._servers) if agreed is None else 0.0
                try:
                    contract = server.probe(time.monotonic() + max(self._options.timeout_s, share))
                except CallFailed as failed:
                    failures.append(failed)
                    continue
                if agreed is None:
                    agreed = contract
                    self._expect(contract.spec)
            if agreed is not None:
                for failure in failures:
                    _log.warning("going on without a server: %s", failure)
                return agreed
            if not any(failure.passing for failure in failures):
                raise CallFailed.together(failures) from failures[-1]
            if time.monotonic() + RETRY_S > end:
                reasons = CallFailed.together(failures)
                raise NotReadyError(f"no server ready within {self._options.wait_s:g} s: {reasons}") from failures[-1]
            progress(f"no server is ready yet: {CallFailed.together(failures)}")
            self._closed.wait(RETRY_S)

    def _look(self) -> None:
        """Check failed servers apart from requests, because a silent server would use up a request's deadline."""
        for server in self._servers:
            if len(self._servers) > 1 and not server.answers:
                try:
                    server.probe(time.monotonic() + self._options.timeout_s)
                except CallFailed as failed:
                    _log.debug("%s: still not there: %s", server.address, failed)
        if self._asked and time.monotonic() > self._renewed_at + max(RENEW_S, 2 * self._options.timeout_s):
            self._asked = False
            for server in self._servers:
                server.renew(time.monotonic() + self._options.timeout_s)
            self._renewed_at = time.monotonic()


def _look_after(backend: weakref.ref[TritonBackend], closed: threading.Event) -> None:
    """Check the servers of a backend repeatedly until it is closed or no longer used."""
    while not closed.wait(RETRY_S):
        found = backend()
        if found is None:
            return
        try:
            found._look()
        except Exception:  # any error is caught, because only this thread can bring a server back
            _log.exception("looking after the servers failed")
        del found


def _close_all(servers: Sequence[RemoteServer]) -> None:
    for server in servers:
        server.close()
