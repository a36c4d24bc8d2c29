"""triton_server looks after what it started: a policy that died, hangs or fails works again; nothing is left behind."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest

from act_inference_ros.program.shared_memory import CLIENT_REGION_PREFIX, DIRECTORY
from act_inference_ros.serving.probe import Probe
from test.inference.triton_models import Fault, observation, policy_spec, write_model
from test.serving.serving_helpers import (
    DEADLINE_S,
    children_of,
    eventually,
    infer_inputs,
    is_running,
    left_behind,
    needs_triton,
    server_of,
    stubs_of,
)

pytestmark = needs_triton
SPEC = policy_spec(height=48, width=64)
MODULE = "act_inference_ros.serving.triton_server"
IMPATIENT = f"""
import sys
from act_inference_ros.serving import supervision
supervision.ATTEMPTS = 2
from {MODULE} import main
sys.exit(main())
"""
CLIENT = """
import sys, time
from act_inference_ros.inference.client import InferenceClient
from test.inference.triton_models import observation
client = InferenceClient.create("triton", server=sys.argv[1], shared_memory="on")
client.predict(observation(client.spec))
print("ready", flush=True)
time.sleep(300)
"""


class Supervised:
    """triton_server in a process of its own, ready; what it says is collected in `lines`."""

    def __init__(self, program: list[str], repository: Path, *flags: str) -> None:
        arguments = ["--model-repository", str(repository), "--grpc-port", "0", "--http-port", "0"]
        arguments += ["--log-file", f"{repository}.log", "--check-interval", "0.3", *flags]
        self.process = subprocess.Popen(
            [sys.executable, *program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.lines: list[str] = []
        self.errors: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=each)
            for each in ((self.process.stdout, self.lines), (self.process.stderr, self.errors))
        ]
        for reader in self._readers:
            reader.start()
        assert eventually(lambda: bool(self.lines) or self.process.poll() is not None)
        found = re.search(r"ready at (\S+) \(gRPC\)", self.lines[0]) if self.lines else None
        assert found, self.errors
        self.address = found[1]

    @staticmethod
    def _read(source: IO[str], lines: list[str]) -> None:
        lines.extend(iter(source.readline, ""))

    @property
    def server(self) -> int:
        return server_of(self.process.pid)

    def infer(self, given: dict[str, Any] | None = None, model: str = "act_policy", timeout_s: float = 5.0) -> float:
        """The echo of one observation. Raises InferenceServerException."""
        import tritonclient.grpc as grpc

        given = observation(SPEC, 7.0) if given is None else given
        with grpc.InferenceServerClient(self.address) as client:
            answer = client.infer(model, infer_inputs([given]), client_timeout=timeout_s)
        return float(answer.as_numpy("action")[0, 0, 0])

    def answers(self, model: str = "act_policy") -> bool:
        from tritonclient.utils import InferenceServerException

        with contextlib.suppress(InferenceServerException):
            return self.infer(model=model) == 7.0
        return False

    def said(self, *words: str) -> bool:
        return any(all(word in line for word in words) for line in self.lines)

    def end(self, number: int = signal.SIGINT) -> int:
        processes = [self.process.pid, *children_of(self.process.pid)]
        processes += [child for pid in processes for child in children_of(pid)]
        self.process.send_signal(number)
        status = self.process.wait(DEADLINE_S)
        for reader in self._readers:
            reader.join(DEADLINE_S)
        assert [pid for pid in processes if is_running(pid)] == []
        return status


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return write_model(tmp_path / "models", SPEC)


@contextlib.contextmanager
def supervised(repository: Path, *flags: str, program: tuple[str, ...] = ("-m", MODULE)) -> Iterator[Supervised]:
    before = left_behind()
    running = Supervised(list(program), repository, *flags)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            assert running.end() == 0, running.errors
    assert eventually(lambda: left_behind() <= before)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_policy_whose_process_was_killed_or_stopped_works_again(repository: Path, number: signal.Signals) -> None:
    with supervised(repository) as running:
        (stub,) = stubs_of(running.server)
        os.kill(stub, number)
        assert eventually(lambda: running.said("works again"))
        assert running.answers()
        assert running.said("act_policy 1 does not work", "starting Triton again (attempt 1 of 6)")
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", running.lines[1])
        assert not is_running(stub)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_where_models_are_loaded_on_demand_only_the_one_that_failed_is_loaded_again(
    repository: Path, number: signal.Signals
) -> None:
    write_model(repository, SPEC, name="other")
    with supervised(repository, "--model-control-mode=explicit", "--load-model=*") as running:
        server = running.server
        (stub,) = [pid for pid in stubs_of(server) if b"act_policy" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        os.kill(stub, number)
        assert eventually(lambda: running.said("works again"))
        assert running.answers()
        assert running.answers("other")
        assert running.said("loading act_policy 1 again")
        assert running.server == server
        assert not is_running(stub)


def test_a_policy_that_answers_nobody_any_more_works_again(repository: Path) -> None:
    from tritonclient.utils import InferenceServerException

    with supervised(repository) as running:
        with pytest.raises(InferenceServerException):
            running.infer(observation(SPEC, delay_s=1000.0), timeout_s=0.5)
        assert eventually(lambda: running.said("works again"))
        assert running.said("act_policy 1 does not work: no answer for")
        assert running.answers()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_server_that_was_killed_or_stopped_is_there_again_at_the_same_address(
    repository: Path, number: signal.Signals
) -> None:
    with supervised(repository) as running:
        server = running.server
        os.kill(server, number)
        assert eventually(lambda: running.said("Triton works again"))
        assert running.answers()
        assert not is_running(server)


def test_models_loaded_on_demand_are_there_again_after_the_server_died(repository: Path) -> None:
    with supervised(repository, "--model-control-mode=explicit", "--load-model=*") as running:
        write_model(repository, SPEC, name="later")
        arguments = Path(f"/proc/{running.server}/cmdline").read_text().split("\0")
        (port,) = [argument.partition("=")[2] for argument in arguments if argument.startswith("--http-port=")]
        Probe(f"127.0.0.1:{port}").load("later", DEADLINE_S)
        time.sleep(1.0)  # for a look
        os.kill(running.server, signal.SIGKILL)
        assert eventually(lambda: running.said("Triton works again"))
        assert running.answers("later")
        assert running.answers()


def test_a_policy_that_is_busy_and_clients_that_err_are_no_fault(repository: Path) -> None:
    with supervised(repository) as running:
        server = running.server
        end = time.monotonic() + 8.0
        while time.monotonic() < end:
            running.infer(observation(SPEC, delay_s=0.4))
            with contextlib.suppress(Exception):
                running.infer({**observation(SPEC), "observation.state": np.zeros(3, np.float32)})
            with contextlib.suppress(Exception):
                running.infer(observation(SPEC, fault=Fault.REFUSES))
        assert running.server == server
        assert len(running.lines) == 1, running.lines


def test_a_fault_that_does_not_go_away_ends_with_one_error_and_a_status(repository: Path) -> None:
    with supervised(repository, "--deadline=5", program=("-c", IMPATIENT)) as running:
        model = repository / "act_policy" / "1" / "model.py"
        model.write_text(model.read_text().replace("    def execute(", "    def executes_no_more("))
        (stub,) = stubs_of(running.server)
        os.kill(stub, signal.SIGKILL)
        assert eventually(lambda: running.process.poll() is not None)
        assert running.process.returncode == 1
        assert eventually(lambda: bool(running.errors))
        assert "given up after 2 attempts" in running.errors[0]
        assert len(running.errors) == 1
        assert running.said("attempt 2 of 2")


def test_without_supervision_it_is_left_as_it_is(repository: Path) -> None:
    with supervised(repository, "--no-supervise") as running:
        (stub,) = stubs_of(running.server)
        os.kill(stub, signal.SIGKILL)
        time.sleep(3.0)
        assert not running.answers()
        assert len(running.lines) == 1
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(DEADLINE_S) == 128 + signal.SIGKILL  # the server waits for the dead


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_it_mends_ends_everything(repository: Path, number: signal.Signals) -> None:
    with supervised(repository) as running:
        os.kill(running.server, signal.SIGKILL)
        assert eventually(lambda: running.said("starting Triton again"))
        assert running.end(number) == 0, running.errors


def test_what_a_client_that_was_terminated_left_in_shared_memory_is_removed(repository: Path) -> None:
    import tritonclient.grpc as grpc

    with supervised(repository) as running, grpc.InferenceServerClient(running.address) as client:
        with subprocess.Popen([sys.executable, "-c", CLIENT, running.address], stdout=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"ready\n"
            (name,) = [region.name for region in client.get_system_shared_memory_status().regions.values()]
            assert name.startswith(CLIENT_REGION_PREFIX)
            time.sleep(1.0)  # its process is running: it must stay
            assert (DIRECTORY / name).exists()
            process.terminate()  # it has no handler for that
        assert process.returncode == -signal.SIGTERM
        assert eventually(lambda: not (DIRECTORY / name).exists())
        assert eventually(lambda: not client.get_system_shared_memory_status().regions)
