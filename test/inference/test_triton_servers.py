"""Several servers take turns; while one dies, drains or freezes the others do its work."""

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from act_inference_ros.errors import InferenceError, NotReadyError
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.inference.triton.backend import TritonBackend
from act_inference_ros.inference.triton.options import TritonOptions
from test.inference.relay import Relay, target
from test.inference.triton_models import observation, policy_spec, write_model
from test.inference.triton_process import RunningTriton, free_port, wait_until

SPEC = policy_spec(height=96, width=128)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[RunningTriton, RunningTriton]]:
    repository = write_model(tmp_path / "models", SPEC)
    with RunningTriton(repository) as first, RunningTriton(repository) as second:
        yield first.wait_ready(), second.wait_ready()


def create(*processes: RunningTriton, **options: Any) -> InferenceClient:
    addresses = ", ".join(process.address for process in processes)
    return InferenceClient.create("triton", server=addresses, **options)


class Requests:
    """Requests without a pause from two threads, while the block runs; every failure is kept."""

    def __init__(self, client: InferenceClient) -> None:
        self._client = client
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(100.0 * n,)) for n in (1, 2)]
        self.answered = 0
        self.failures: list[Exception] = []

    def __enter__(self) -> "Requests":
        for thread in self._threads:
            thread.start()
        self.wait_for(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(10.0)

    def wait_for(self, count: int) -> None:
        goal = self.answered + count
        wait_until(lambda: self.answered >= goal, 30.0, f"{count} more answers")

    def _run(self, echo: float) -> None:
        while not self._over.is_set():
            try:
                assert self._client.predict(observation(SPEC, echo))[0, 0] == echo
                self.answered += 1
            except Exception as error:
                self.failures.append(error)


@pytest.mark.parametrize("shared_memory", ["auto", "off"])
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM], ids=["dies", "drains"])
def test_no_request_fails_while_one_server_goes_and_comes_back(
    servers: tuple[RunningTriton, RunningTriton], end: signal.Signals, shared_memory: str
) -> None:
    first, second = servers
    with create(*servers, shared_memory=shared_memory) as client, Requests(client) as requests:
        first.end(end)
        requests.wait_for(20)
        first.kill()
        first.start().wait_ready()
        wait_until(lambda: client.reconnects == 1, 5.0, "the first server is not used again")
        second.end(end)  # now only the first server is left
        requests.wait_for(20)
    assert requests.failures == []


def test_a_frozen_server_costs_no_chunk(servers: tuple[RunningTriton, RunningTriton]) -> None:
    first, _ = servers
    with create(*servers, timeout_s=2.0) as client, Requests(client) as requests:
        first.send(signal.SIGSTOP)
        requests.wait_for(200)
        first.send(signal.SIGCONT)
        wait_until(lambda: client.reconnects == 1, 5.0, "the thawed server is not used again")
    assert requests.failures == []


def test_servers_take_turns(servers: tuple[RunningTriton, RunningTriton]) -> None:
    first, second = servers
    with create(*servers) as client:
        for process in servers:
            assert process.inferences > 0
        before = first.inferences, second.inferences
        for _ in range(10):
            client.predict(observation(SPEC))
        assert (first.inferences - before[0], second.inferences - before[1]) == (5, 5)


def test_one_of_two_is_enough_to_begin_and_the_other_joins_when_it_comes(
    servers: tuple[RunningTriton, RunningTriton],
) -> None:
    _, second = servers
    second.kill()
    with create(*servers) as client:
        for _ in range(4):
            client.predict(observation(SPEC))
        second.start().wait_ready()
        wait_until(lambda: second.inferences > 0, 5.0, "the second server is not tried")
        before = second.inferences
        for _ in range(10):
            client.predict(observation(SPEC))
        assert second.inferences > before


def test_a_replica_that_came_later_gets_its_share(servers: tuple[RunningTriton, RunningTriton]) -> None:
    first, second = servers
    with Relay(first.address) as service:
        with InferenceClient.create("triton", server=service.address) as client, Requests(client) as requests:
            service.targets.append(target(second.address))
            wait_until(lambda: second.inferences > 0, 15.0, "the new replica is not used")
        assert requests.failures == []


def test_when_all_are_gone_the_error_names_them_all(servers: tuple[RunningTriton, RunningTriton]) -> None:
    with create(*servers) as client:
        for process in servers:
            process.kill()
        with pytest.raises(NotReadyError) as caught:
            client.predict(observation(SPEC))
        assert all(process.address in str(caught.value) for process in servers)


def test_a_server_with_another_policy_is_not_used(tmp_path: Path, servers: tuple[RunningTriton, RunningTriton]) -> None:
    first, _ = servers
    other = write_model(tmp_path / "other", policy_spec(height=96, width=128, action_dim=7))
    with RunningTriton(other) as process:
        process.wait_ready()
        with create(first, process) as client:
            for _ in range(4):
                assert client.predict(observation(SPEC)).shape == (20, 14)


def test_the_deadline_covers_the_retries(servers: tuple[RunningTriton, RunningTriton]) -> None:
    with create(*servers, timeout_s=0.5) as client:
        for process in servers:
            process.send(signal.SIGSTOP)
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(InferenceError):
                client.predict(observation(SPEC))
            assert time.monotonic() - began < 0.5 + 0.3


def test_nothing_is_left_running_after_close(servers: tuple[RunningTriton, RunningTriton]) -> None:
    backend = TritonBackend(TritonOptions(server=f"{servers[0].address},127.0.0.1:{free_port()}"))
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "triton_servers"]
    backend.close()
    thread.join(5.0)
    assert not thread.is_alive()
