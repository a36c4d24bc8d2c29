"""The fallback computes while the first backend cannot; when it can again, the first backend computes."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from act_inference_ros.errors import (
    AnotherPolicyError,
    BadOutputError,
    ConfigurationError,
    InferenceTimeoutError,
    NotReadyError,
    ObservationError,
    RejectedError,
    RejectedInputError,
)
from act_inference_ros.inference.backend import FALLBACK_BECAUSE
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.inference.fallback import FallbackBackend
from act_inference_ros.spec import PolicySpec
from test.inference.triton_process import wait_until
from test.plain_backend import PlainBackend

SPEC = PolicySpec(chunk_size=2, action_dim=3, state_dim=3)
OBSERVATION = {"observation.state": np.zeros(3, np.float32)}


class Stub(PlainBackend):
    """A backend whose chunk is `number` everywhere, or that raises `error`."""

    takes_jpeg = True
    reconnects = 4

    def __init__(self, number: float, spec: PolicySpec = SPEC) -> None:
        self.number = number
        self.spec = spec
        self.source = f"backend {number:g}"
        self.error: Exception | None = None
        self.closed = False
        self.asked = threading.Event()

    def infer(self, inputs: object, request_id: str = "") -> npt.NDArray[np.float32]:
        self.asked.set()
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
    with InferenceClient(FallbackBackend(lambda: backends[0], backends[1])) as client:
        yield client


def number(client: InferenceClient) -> float:
    return float(client.predict(OBSERVATION)[0, 0])


@pytest.mark.parametrize(
    "error",
    [
        NotReadyError("gone"),
        InferenceTimeoutError("late"),
        RejectedError("the model failed"),
        BadOutputError("no number"),
        AnotherPolicyError("new weights"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_second_computes_from_the_first_failure_until_the_first_works_again(
    client: InferenceClient, backends: tuple[Stub, Stub], error: Exception
) -> None:
    assert number(client) == 1.0
    backends[0].error = error
    assert number(client) == 2.0
    assert number(client) == 2.0
    assert client.source == "backend 2 (fallback)"
    assert client.facts[FALLBACK_BECAUSE] == str(error)
    backends[0].error = None
    wait_until(lambda: number(client) == 1.0, 5.0, "still on the fallback")
    assert client.source == "backend 1"


def test_an_error_caused_by_the_input_stays_an_error(client: InferenceClient, backends: tuple[Stub, Stub]) -> None:
    backends[0].error = RejectedInputError("not this one")
    with pytest.raises(RejectedInputError):
        client.predict(OBSERVATION)
    backends[0].error = ObservationError("a JPEG that ends too early")
    with pytest.raises(ObservationError):
        client.predict(OBSERVATION)
    assert client.source == "backend 1"


def test_a_chunk_that_is_not_finite_is_computed_again_by_the_second(
    client: InferenceClient, backends: tuple[Stub, Stub]
) -> None:
    backends[0].number = float("nan")
    assert number(client) == 2.0


def test_the_first_is_used_again_after_an_unforeseen_error(
    client: InferenceClient, backends: tuple[Stub, Stub]
) -> None:
    backends[0].error = NotReadyError("gone")
    assert number(client) == 2.0
    for error in (ObservationError("a JPEG that ends too early"), ZeroDivisionError("unforeseen")):
        backends[0].error = error
        backends[0].asked.clear()
        assert backends[0].asked.wait(5.0)
    backends[0].error = None
    wait_until(lambda: number(client) == 1.0, 5.0, "still on the fallback")


def test_a_first_backend_that_is_missing_at_the_start_is_used_once_it_is_there(backends: tuple[Stub, Stub]) -> None:
    there = threading.Event()

    def open_primary() -> Stub:
        if there.is_set():
            return backends[0]
        raise NotReadyError("no server yet")

    with InferenceClient(FallbackBackend(open_primary, backends[1])) as client:
        assert number(client) == 2.0
        assert client.source == "backend 2 (fallback)"
        assert client.facts[FALLBACK_BECAUSE] == "no server yet"
        there.set()
        wait_until(lambda: number(client) == 1.0, 5.0, "still on the fallback")


def test_a_first_backend_that_comes_later_with_another_policy_is_not_used(backends: tuple[Stub, Stub]) -> None:
    there = threading.Event()
    other = Stub(3.0, replace(SPEC, policy_id="ab" * 32))

    def open_primary() -> Stub:
        if there.is_set():
            return other
        raise NotReadyError("no server yet")

    with InferenceClient(FallbackBackend(open_primary, backends[1])) as client:
        there.set()
        wait_until(lambda: "different policies" in client.facts[FALLBACK_BECAUSE], 5.0, "nobody looked")
        assert number(client) == 2.0
        assert other.closed


def test_a_first_backend_whose_chunks_are_not_finite_is_not_used_again(
    client: InferenceClient, backends: tuple[Stub, Stub]
) -> None:
    backends[0].error = NotReadyError("gone")
    assert number(client) == 2.0
    backends[0].number = float("nan")
    backends[0].error = None
    for _ in range(3):  # three requests: at least one answer without an error has been checked
        backends[0].asked.clear()
        assert backends[0].asked.wait(5.0)
    assert number(client) == 2.0


def test_images_are_taken_in_the_form_that_the_first_backend_prefers(client: InferenceClient) -> None:
    assert client.takes_jpeg
    assert client.reconnects == 4


def test_two_different_policies_are_refused_with_both_sides() -> None:
    with pytest.raises(ConfigurationError, match=r"backend 1 and backend 2 .* action_dim: 3 and 4"):
        FallbackBackend(lambda: Stub(1.0), Stub(2.0, replace(SPEC, action_dim=4)))


def test_other_weights_of_the_same_shapes_are_refused_with_both_sides() -> None:
    ours, theirs = "ab" * 32, "cd" * 32
    with pytest.raises(ConfigurationError, match=f"policy_id: {ours} and {theirs}"):
        FallbackBackend(lambda: Stub(1.0, replace(SPEC, policy_id=ours)), Stub(2.0, replace(SPEC, policy_id=theirs)))


def test_close_releases_both_and_ends_the_thread(backends: tuple[Stub, Stub]) -> None:
    before = set(threading.enumerate())
    client = InferenceClient(FallbackBackend(lambda: backends[0], backends[1]))
    (thread,) = set(threading.enumerate()) - before
    client.close()
    thread.join(5.0)
    assert not thread.is_alive()
    assert all(backend.closed for backend in backends)
