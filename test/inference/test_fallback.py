"""The fallback computes while the first backend cannot, and hands back when it can again."""

import threading
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from act_inference_ros.errors import (
    ConfigurationError,
    InferenceError,
    InferenceTimeoutError,
    NotReadyError,
    RejectedError,
)
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.inference.fallback import FallbackBackend
from act_inference_ros.spec import PolicySpec
from test.inference.triton_process import wait_until

SPEC = PolicySpec(chunk_size=2, action_dim=3, state_dim=3)
OBSERVATION = {"observation.state": np.zeros(3, np.float32)}


class Stub:
    """A backend whose chunk is `number` everywhere, or that raises `error`."""

    takes_jpeg = True
    warm_up_s = 0.0
    reconnects = 4

    def __init__(self, number: float, spec: PolicySpec = SPEC) -> None:
        self.number = number
        self.spec = spec
        self.source = f"backend {number:g}"
        self.error: InferenceError | None = None
        self.closed = False

    def infer(self, _inputs: object) -> npt.NDArray[np.float32]:
        if self.error is not None:
            raise self.error
        return np.full((2, 3), self.number, np.float32)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def backends() -> tuple[Stub, Stub]:
    return Stub(1.0), Stub(2.0)


@pytest.fixture
def client(backends: tuple[Stub, Stub]) -> Iterator[InferenceClient]:
    with InferenceClient(FallbackBackend(*backends)) as client:
        yield client


def number(client: InferenceClient) -> float:
    return float(client.predict(OBSERVATION)[0, 0])


@pytest.mark.parametrize("error", [NotReadyError("gone"), InferenceTimeoutError("late")])
def test_the_second_computes_from_the_first_failure_until_the_first_works_again(
    client: InferenceClient, backends: tuple[Stub, Stub], error: InferenceError
) -> None:
    assert number(client) == 1.0
    backends[0].error = error
    assert number(client) == 2.0
    assert number(client) == 2.0
    assert "backend 2 (fallback: no answer from backend 1)" in client.source
    backends[0].error = None
    wait_until(lambda: number(client) == 1.0, 5.0, "still on the fallback")
    assert client.source == "backend 1"


def test_what_the_input_is_to_blame_for_stays_an_error(client: InferenceClient, backends: tuple[Stub, Stub]) -> None:
    backends[0].error = RejectedError("not this one")
    with pytest.raises(RejectedError):
        client.predict(OBSERVATION)


def test_a_first_one_that_answers_nonsense_is_not_gone_back_to(
    client: InferenceClient, backends: tuple[Stub, Stub]
) -> None:
    backends[0].error = NotReadyError("gone")
    assert number(client) == 2.0
    backends[0].number = float("nan")
    backends[0].error = None
    asked = threading.Event()
    infer = backends[0].infer
    backends[0].infer = lambda inputs: (asked.set(), infer(inputs))[1]  # type: ignore[assignment,func-returns-value,method-assign]  # spied on
    assert asked.wait(5.0)
    asked.clear()
    assert asked.wait(5.0)  # so the first answer was weighed
    assert number(client) == 2.0


def test_images_are_wanted_as_the_first_one_wants_them(client: InferenceClient) -> None:
    assert client.takes_jpeg
    assert client.reconnects == 4


def test_two_different_policies_are_refused_with_both_sides() -> None:
    with pytest.raises(ConfigurationError, match=r"backend 1 and backend 2 .* action_dim: 3 and 4"):
        FallbackBackend(Stub(1.0), Stub(2.0, PolicySpec(chunk_size=2, action_dim=4, state_dim=3)))


def test_close_releases_both_and_ends_the_thread(backends: tuple[Stub, Stub]) -> None:
    before = set(threading.enumerate())
    client = InferenceClient(FallbackBackend(*backends))
    (thread,) = set(threading.enumerate()) - before
    client.close()
    thread.join(5.0)
    assert not thread.is_alive()
    assert all(backend.closed for backend in backends)
