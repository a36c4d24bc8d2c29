"""A Triton for tests that can be killed, frozen and started again on the same port."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.serving.triton_process import TritonProcess


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(predicate: Callable[[], Any], deadline_s: float, what: str = "") -> Any:
    """Return the first true value of `predicate`; fail after `deadline_s`."""
    end = time.monotonic() + deadline_s
    while not (value := predicate()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s:g} s: {what or predicate}")
        time.sleep(0.01)
    return value


class RunningTriton:
    """A server of `repository`, started on entry unless `started` says otherwise; skips where there is no Triton."""

    def __init__(self, repository: Path, *flags: str, started: bool = True) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._repository = repository
        self._flags = flags
        self._started = started
        self._server: TritonProcess | None = None

    def __enter__(self) -> "RunningTriton":
        return self.start() if self._started else self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> "RunningTriton":
        """Start, without waiting until it answers."""
        try:
            self._server = TritonProcess(self._repository, grpc_port=self.port, extra_flags=self._flags)
        except ConfigurationError as error:
            if "no Triton on this machine" in str(error):
                pytest.skip(str(error))
            raise
        return self

    def send(self, number: int) -> None:
        """Send a signal to the server and the processes of its models."""
        assert self._server is not None
        os.killpg(self._server.process.pid, number)

    def end(self, number: int) -> None:
        """Send a signal to the server alone and wait until it has ended."""
        assert self._server is not None
        self._server.process.send_signal(number)
        self._server.process.wait(40.0)

    def kill(self) -> None:
        """End it at once."""
        if self._server is not None:
            with contextlib.suppress(ProcessLookupError):
                self.send(signal.SIGKILL)
            self._server.process.wait()
            self._server.stop()
            self._server = None

    def kill_stubs(self) -> None:
        """Kill the processes that run the models' code; Triton does not notice."""
        assert self._server is not None
        command = ["pgrep", "-P", str(self._server.process.pid), "-f", "triton_python_backend_stub"]
        for pid in subprocess.run(command, check=True, capture_output=True, text=True).stdout.split():
            os.kill(int(pid), signal.SIGKILL)

    def wait_ready(self, model: str = "act_policy", deadline_s: float = 30.0) -> "RunningTriton":
        """Wait until it says that the model is ready (for servers without TLS)."""
        request = service_pb2.ModelReadyRequest(name=model)

        def ready() -> bool:
            assert self._server is not None
            assert self._server.process.poll() is None, self._server.log()
            with contextlib.suppress(grpc.RpcError):
                return bool(self.call("ModelReady", request).ready)
            return False

        wait_until(ready, deadline_s, f"{model} is not ready")
        return self

    def call(self, method: str, request: Any) -> Any:
        """Call a method of Triton's gRPC service."""
        with grpc.insecure_channel(self.address) as channel:
            return getattr(service_pb2_grpc.GRPCInferenceServiceStub(channel), method)(request, timeout=5.0)

    def load(self, model: str) -> None:
        self.call("RepositoryModelLoad", service_pb2.RepositoryModelLoadRequest(model_name=model))

    def unload(self, model: str) -> None:
        self.call("RepositoryModelUnload", service_pb2.RepositoryModelUnloadRequest(model_name=model))

    @property
    def shared_regions(self) -> set[str]:
        """Names of the shared memory that it knows."""
        return set(self.call("SystemSharedMemoryStatus", service_pb2.SystemSharedMemoryStatusRequest()).regions)

    @property
    def inferences(self) -> int:
        """How many requests the policy has answered since the server began."""
        statistics = self.call("ModelStatistics", service_pb2.ModelStatisticsRequest(name="act_policy"))
        return int(statistics.model_stats[0].inference_stats.success.count)
