"""A real Triton for tests: the one of the nvidia-pytriton wheel, in a process group of its own."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc


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


class TritonProcess:
    """A server of `repository`, started on entry; may be stopped, frozen, and started again on the same port."""

    def __init__(self, repository: Path, *arguments: str, port: int | None = None, explicit: bool = False) -> None:
        self.port = port or free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._repository = repository
        self._arguments = [*arguments, *(["--model-control-mode=explicit", "--load-model=*"] if explicit else [])]
        self._directory = Path(tempfile.mkdtemp(prefix="triton_"))
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "TritonProcess":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def start(self) -> "TritonProcess":
        """Start, without waiting until it answers."""
        site = Path(sysconfig.get_path("purelib"))
        triton = site / "pytriton" / "tritonserver"
        backend = self._directory / "backends" / "python"
        backend.mkdir(parents=True, exist_ok=True)
        stub = f"python_backend_stubs/{sys.version_info.major}.{sys.version_info.minor}/triton_python_backend_stub"
        for part in ("backends/python/libtriton_python.so", "backends/python/triton_python_backend_utils.py", stub):
            shutil.copy(triton / part, backend)
        libraries = [str(site / "nvidia_pytriton.libs"), sysconfig.get_config_var("LIBDIR")]
        environment = {
            **os.environ,
            "LD_LIBRARY_PATH": os.pathsep.join(libraries),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1",
        }
        command = [
            str(triton / "bin" / "tritonserver"),
            f"--model-repository={self._repository}",
            f"--backend-directory={self._directory / 'backends'}",
            f"--grpc-port={self.port}",
            "--grpc-address=127.0.0.1",
            "--allow-http=false",
            "--allow-metrics=false",
            "--allow-gpu-metrics=false",
            "--pinned-memory-pool-byte-size=0",
            "--disable-auto-complete-config",
            "--exit-on-error=false",
            *self._arguments,
        ]
        self.log = self._directory / "log.txt"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        return self

    def send(self, number: int) -> None:
        """Send a signal to the server and its stubs."""
        assert self.process is not None
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.send(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def kill_stubs(self) -> None:
        """Kill the processes that run the models' code; Triton does not notice."""
        assert self.process is not None
        command = ["pgrep", "-P", str(self.process.pid), "-f", "triton_python_backend_stub"]
        for pid in subprocess.run(command, check=True, capture_output=True, text=True).stdout.split():
            os.kill(int(pid), signal.SIGKILL)

    def wait_ready(self, model: str = "act_policy", deadline_s: float = 30.0) -> "TritonProcess":
        """Wait until it says that the model is ready (for servers without TLS or tokens)."""
        with grpc.insecure_channel(self.address) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]

            def ready() -> bool:
                assert self.process is not None
                assert self.process.poll() is None, self.log.read_text()
                with contextlib.suppress(grpc.RpcError):
                    request = service_pb2.ModelReadyRequest(name=model)
                    return bool(stub.ModelReady(request, timeout=1.0).ready)
                return False

            wait_until(ready, deadline_s, f"{model} is not ready")
        return self
