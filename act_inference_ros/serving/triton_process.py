"""TritonProcess: a Triton on this machine as a child process, ready when it really answers, ended on request."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path
from types import TracebackType

from act_inference_ros.errors import ConfigurationError, NotReadyError
from act_inference_ros.serving import backend_scratch
from act_inference_ros.serving.installation import find_triton
from act_inference_ros.serving.probe import Probe, ProbeError
from act_inference_ros.serving.remains import Remains
from act_inference_ros.serving.served_models import check_repository

LOOPBACK = "127.0.0.1"
STOP_DEADLINE_S = 8.0
"""Triton needs 2 to 3 s of this when nothing hangs; `ros2 launch` kills programs that take longer than 10 s."""
READY_DEADLINE_S = 120.0
RESTART_DEADLINE_S = 2.0
"""Less than for a stop, because a server that is restarted because it hangs seldom finishes its requests."""
_POLL_S = 0.1
_FAILED_LOAD = re.compile(r'"failed to load (.+?)(?:\\n|"?$)', re.MULTILINE)  # a stack trace follows


class TritonProcess:
    """A Triton server process on a model repository, from construction until `stop` (or the end of a `with` block).

    It has a process group of its own: Ctrl-C in the terminal does not reach it. `stop` ends it, and so does the end of
    the program that started it, for whatever reason that program ends. Not to be shared between threads.
    """

    def __init__(
        self,
        model_repository: str | PathLike[str],
        grpc_port: int = 0,
        http_port: int = 0,
        metrics_port: int | None = None,
        *,
        host: str = LOOPBACK,
        log_file: str | PathLike[str] | None = None,
        extra_flags: Sequence[str] = (),
    ) -> None:
        """Start it; `wait_ready` waits until it can be used.

        Args:
            model_repository: directory of models.
            grpc_port: for inference; 0 for a free one.
            http_port: for health, on this machine only (it has neither TLS nor gRPC's token); 0 for a free one.
            metrics_port: for Prometheus; 0 for a free one, None for no metrics.
            host: address to listen at for gRPC and metrics; 0.0.0.0 for every network of this machine.
            log_file: gets the server's output; None for a file that is deleted at the end.
            extra_flags: for tritonserver, unchanged.

        Raises:
            ConfigurationError: there is no Triton here, a port is in use, or the repository cannot be served.
        """
        try:
            self._remains = Remains()
        except OSError as error:
            raise ConfigurationError(f"cannot start Triton: {error}") from error
        scratch = self._remains.scratch
        try:
            installation = find_triton(scratch)
            self.loads_on_demand = model_control_mode(extra_flags) == "explicit"
            check_repository(Path(model_repository), installation.backends, loads_all=not self.loads_on_demand)
            self.grpc_port, self.http_port = _port(host, grpc_port, "gRPC"), _port(LOOPBACK, http_port, "HTTP")
            self.metrics_port = None if metrics_port is None else _port(host, metrics_port, "metrics")
            self.host = host
            self.log_file = Path(log_file) if log_file is not None else scratch / "server.log"
            self.log_file.write_bytes(b"")
            self.probe = Probe(self.http_address)
            self._command = [
                os.fspath(installation.executable),
                f"--model-repository={Path(model_repository).resolve()}",
                f"--grpc-address={host}",
                f"--grpc-port={self.grpc_port}",
                f"--http-address={LOOPBACK}",
                f"--http-port={self.http_port}",
                *self._metrics_flags(),
                f"--backend-config=python,shm-region-prefix-name={self._remains.region_prefix}",
                *installation.flags,
                *extra_flags,
            ]
            temporary = scratch / "tmp"  # of the models' processes, which may be killed
            temporary.mkdir()
            self._environment = {**os.environ, "TMPDIR": str(temporary), **(installation.environment or {})}
            self.process = self._started()
        except OSError as error:
            self._remains.close()
            raise ConfigurationError(f"cannot start Triton: {error}") from error
        except BaseException:
            self._remains.close()
            raise

    @property
    def address(self) -> str:
        """host:port for gRPC clients on this machine."""
        return f"{self._reachable_host}:{self.grpc_port}"

    @property
    def http_address(self) -> str:
        """host:port of the HTTP endpoint."""
        return f"{LOOPBACK}:{self.http_port}"

    def wait_ready(self, deadline_s: float = READY_DEADLINE_S) -> list[str]:
        """Wait until every loaded policy has answered an inference; returns the models' names and versions.

        Readiness alone proves little: Triton still reports it when a model's process has died. Raises NotReadyError
        with the reason if the server ends, or if the deadline passes.
        """
        end = time.monotonic() + deadline_s
        problem = "no answer yet"
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise NotReadyError(f"Triton ended with exit status {self.process.returncode}: {self._last_error()}")
            try:
                models = self.probe.answering_models(timeout_s=max(0.1, end - time.monotonic()))
                socket.create_connection((self._reachable_host, self.grpc_port), timeout=1.0).close()
                return models
            except (ProbeError, OSError) as error:
                problem = str(error)
            time.sleep(_POLL_S)
        raise NotReadyError(f"Triton is not ready after {deadline_s:g} s: {problem}; {self._last_error()}")

    def restart(self, deadline_s: float = RESTART_DEADLINE_S) -> None:
        """End the server's processes, and start it again with the same ports, flags and log.

        The server may finish its running requests until the deadline. Raises NotReadyError if it cannot be started.
        """
        self._end(deadline_s)
        self._remains.remove_regions()
        try:
            self.process = self._started()
        except OSError as error:
            raise NotReadyError(f"cannot start Triton: {error}") from error

    def stop(self, deadline_s: float = STOP_DEADLINE_S) -> int:
        """End the server and all its processes; returns its exit status (negative: the signal that killed it).

        The server may finish its running requests until the deadline and is then killed. A second call only returns the
        status.
        """
        if not self._remains.closed:
            self._end(deadline_s)
            self._remains.close()
        return self.process.wait()

    def log(self) -> str:
        """The server's output so far."""
        return self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.exists() else ""

    def __enter__(self) -> TritonProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _started(self) -> subprocess.Popen[bytes]:
        """A new process of the server; its output is appended to the log."""
        self._log_begins = self.log_file.stat().st_size if self.log_file.exists() else 0
        backend_scratch.expect()
        with self.log_file.open("ab") as log:
            process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[self._remains.inherited],
            )
        self._remains.guard(process.pid)
        return process

    def _end(self, deadline_s: float) -> None:
        """End the process, and all processes of its group."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGINT)
            self.process.send_signal(signal.SIGCONT)  # a stopped process would not receive the signal
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(deadline_s)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # also stubs that are still running
        self.process.wait()

    @property
    def _reachable_host(self) -> str:
        return LOOPBACK if self.host == "0.0.0.0" else self.host  # noqa: S104  # compared, not bound

    def _metrics_flags(self) -> list[str]:
        if self.metrics_port is None:
            return ["--allow-metrics=false"]
        return [f"--metrics-address={self.host}", f"--metrics-port={self.metrics_port}"]

    def _last_error(self) -> str:
        """Why the server failed, in its own words: a model it could not load, otherwise its last error."""
        log = self.log_file.read_bytes()[self._log_begins :].decode(errors="replace") if self.log_file.exists() else ""
        found = _FAILED_LOAD.search(log)
        if found is not None:
            return f"cannot load model {found[1]}"
        errors = [line for line in log.splitlines() if line.startswith(("E", "error"))]
        return errors[-1].strip() if errors else "its log names no error"


def model_control_mode(flags: Sequence[str]) -> str:
    """How tritonserver's flags say that models are loaded: none (all, once), poll or explicit (on demand)."""
    name, mode = "--model-control-mode", "none"
    for flag, following in zip(flags, [*flags[1:], ""], strict=False):
        if flag == name:
            mode = following
        elif flag.startswith(f"{name}="):
            mode = flag.partition("=")[2]
    return mode


def _port(host: str, wanted: int, purpose: str) -> int:
    """The wanted port if it is free, or any free port for 0. Raises ConfigurationError if the wanted one is in use."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, wanted))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigurationError(f"{purpose} port {wanted} on {host}: {reason}; choose another one") from error
        port: int = probe.getsockname()[1]
        return port
