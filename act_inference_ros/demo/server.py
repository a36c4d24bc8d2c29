"""The demo's server: its policy exported to a model repository, and a real Triton that serves it."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from act_inference_ros.errors import ActInferenceError
from act_inference_ros.policy.checkpoint_files import WEIGHTS_FILE
from act_inference_ros.program.processes import ManagedProcess

EXPORTER = "act_inference_ros.serving.export"
SERVER = "act_inference_ros.serving.triton_server"
MODEL = "act_policy"
READY_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 15.0
"""More than triton_server gives its Triton: if it were killed before, that would run on."""

_READY = re.compile(r"^Triton is ready at (\S+) ")
_POLL_S = 0.05


@contextlib.contextmanager
def demo_server(
    checkpoint: Path, out: Path, logs: Path, environment: Mapping[str, str], check_signals: Callable[[], None]
) -> Iterator[str]:
    """Address of a Triton that serves `checkpoint` as act_policy, exported into `out` unless it is there already.

    Raises ActInferenceError if the export or the server fails, with its last lines.
    """
    repository = out.resolve() / "model_repository"
    if not _is_exported(checkpoint, repository):
        shutil.rmtree(repository, ignore_errors=True)
        arguments = ["--checkpoint", str(checkpoint), "--repository", str(repository), "--name", MODEL]
        with ManagedProcess.module(EXPORTER, arguments, environment, log=None) as exporter:
            while (status := exporter.wait(_POLL_S)) is None:
                check_signals()
        if status != 0:
            raise ActInferenceError(f"the export failed (exit status {status}); its messages are above")
    arguments = ["--model-repository", str(repository), "--grpc-port", "0", "--http-port", "0"]
    log = logs / "triton_server.log"
    with ManagedProcess.module(SERVER, arguments, environment, log, STOP_TIMEOUT_S) as server:
        yield _address(server, check_signals)


def _is_exported(checkpoint: Path, repository: Path) -> bool:
    """Whether the repository's model is younger than the checkpoint: a newly trained policy is exported anew."""
    models = list(repository.glob(f"{MODEL}/*/model.onnx"))
    trained_at = (checkpoint / WEIGHTS_FILE).stat().st_mtime
    return any(model.stat().st_mtime > trained_at for model in models)


def _address(server: ManagedProcess, check_signals: Callable[[], None]) -> str:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        check_signals()
        for line in server.lines():
            match = _READY.match(line)
            if match:
                print(line, flush=True)
                return match.group(1)
        if server.wait(_POLL_S) is not None:
            raise ActInferenceError(f"Triton ended too early:\n{server.last_lines()}")
    raise ActInferenceError(f"Triton was not ready after {READY_TIMEOUT_S:g} s:\n{server.last_lines()}")
