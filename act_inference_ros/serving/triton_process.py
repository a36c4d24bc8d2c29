"""TritonProcess: a Triton on this machine as a child process, ready when it truly answers, ended when told."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
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
from act_inference_ros.serving.served_models import check_repository

LOOPBACK = "127.0.0.1"
STOP_DEADLINE_S = 8.0
"""Of which Triton needs 2 to 3 when nothing hangs; `ros2 launch` kills what takes longer than 10."""
READY_DEADLINE_S = 120.0
_POLL_S = 0.1
_FAILED_LOAD = re.compile(r'"failed to load (.+?)(?:\\n|"?$)', re.MULTILINE)  # what follows is a stack trace


class TritonProcess:
    """A Triton server process on a model repository, from construction until `stop` (or the end of a `with` block).

    It has a process group of its own: Ctrl-C in the terminal does not reach it, `stop` does. Not to be shared between
    threads.
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
            http_port: for health, on this machine only (it knows no TLS and no token of gRPC's); 0 for a free one.
            metrics_port: for Prometheus; 0 for a free one, None for no metrics.
            host: address to listen at for gRPC and metrics; 0.0.0.0 for every network of this machine.
            log_file: takes what the server says; None for a file that is deleted in the end.
            extra_flags: for tritonserver, as they are.

        Raises:
            ConfigurationError: there is no Triton here, a port is in use, or the repository cannot be served.
        """
        self._scratch = Path(tempfile.mkdtemp(prefix="triton_server-"))
        try:
            installation = find_triton(self._scratch)
            loads_all = not any("=explicit" in flag for flag in extra_flags)  # --model-control-mode
            check_repository(Path(model_repository), installation.backends, loads_all)
            self.grpc_port, self.http_port = _port(host, grpc_port, "gRPC"), _port(LOOPBACK, http_port, "HTTP")
            self.metrics_port = None if metrics_port is None else _port(host, metrics_port, "metrics")
            self.host = host
            self.log_file = Path(log_file) if log_file is not None else self._scratch / "server.log"
            # Names the stubs' shared memory, so that what a killed server leaves behind can be found.
            self._memory_prefix = f"act_{os.getpid()}_{self.grpc_port}_"
            command = [
                os.fspath(installation.executable),
                f"--model-repository={Path(model_repository).resolve()}",
                f"--grpc-address={host}",
                f"--grpc-port={self.grpc_port}",
                f"--http-address={LOOPBACK}",
                f"--http-port={self.http_port}",
                *self._metrics_flags(),
                f"--backend-config=python,shm-region-prefix-name={self._memory_prefix}",
                *installation.flags,
                *extra_flags,
            ]
            temporary = self._scratch / "tmp"  # of the models' processes, which may be killed
            temporary.mkdir()
            backend_scratch.expect()
            with self.log_file.open("wb") as log:
                self.process = subprocess.Popen(
                    command,
                    env={**os.environ, "TMPDIR": str(temporary), **(installation.environment or {})},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            shutil.rmtree(self._scratch, ignore_errors=True)
            raise ConfigurationError(f"cannot start Triton: {error}") from error
        except BaseException:
            shutil.rmtree(self._scratch, ignore_errors=True)
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

        Readiness alone proves little: Triton goes on claiming it when a model's process has died. Raises
        NotReadyError with the reason if the server ends, or the deadline passes.
        """
        probe = Probe(self.http_address)
        end = time.monotonic() + deadline_s
        problem = "no answer yet"
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise NotReadyError(f"Triton ended with exit status {self.process.returncode}: {self._last_error()}")
            try:
                models = probe.answering_models(timeout_s=max(0.1, end - time.monotonic()))
                socket.create_connection((self._reachable_host, self.grpc_port), timeout=1.0).close()
                return models
            except (ProbeError, OSError) as error:
                problem = str(error)
            time.sleep(_POLL_S)
        raise NotReadyError(f"Triton is not ready after {deadline_s:g} s: {problem}; {self._last_error()}")

    def stop(self, deadline_s: float = STOP_DEADLINE_S) -> int:
        """End the server and all its processes; returns its exit status (negative: the signal that killed it).

        It may finish what it computes until the deadline and is then killed. A second call only returns the status.
        """
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGINT)
            self.process.send_signal(signal.SIGCONT)  # a stopped process would not hear
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(deadline_s)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # also stubs that outlived it
        status = self.process.wait()
        for region in Path("/dev/shm").glob(f"{self._memory_prefix}*"):  # noqa: S108  # not ours to place
            region.unlink(missing_ok=True)
        shutil.rmtree(self._scratch, ignore_errors=True)
        backend_scratch.remove_abandoned()
        return status

    def log(self) -> str:
        """What the server has said so far."""
        return self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.exists() else ""

    def __enter__(self) -> TritonProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _reachable_host(self) -> str:
        return LOOPBACK if self.host == "0.0.0.0" else self.host  # noqa: S104  # compared, not bound

    def _metrics_flags(self) -> list[str]:
        if self.metrics_port is None:
            return ["--allow-metrics=false"]
        return [f"--metrics-address={self.host}", f"--metrics-port={self.metrics_port}"]

    def _last_error(self) -> str:
        """Why the server says it failed: a model it could not load, else its last error."""
        log = self.log()
        found = _FAILED_LOAD.search(log)
        if found is not None:
            return f"cannot load model {found[1]}"
        errors = [line for line in log.splitlines() if line.startswith(("E", "error"))]
        return errors[-1].strip() if errors else "its log names no error"


def _port(host: str, wanted: int, purpose: str) -> int:
    """The wanted port if it is free, else (0) any free one. Raises ConfigurationError if it is in use."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, wanted))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigurationError(f"{purpose} port {wanted} on {host}: {reason}; choose another one") from error
        port: int = probe.getsockname()[1]
        return port
