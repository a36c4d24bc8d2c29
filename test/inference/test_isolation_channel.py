"""Between the inference process and its caller: messages arrive whole, and the shared memory has the agreed size."""

import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from act_inference_ros.errors import InferenceError
from act_inference_ros.inference.local.isolation.channel import MOST_BYTES, Channel
from act_inference_ros.inference.local.isolation.shared_arrays import SharedArrays
from act_inference_ros.spec import ImageSpec, PolicySpec

SPEC = PolicySpec(4, 3, images=(ImageSpec("observation.images.front", 8, 12),), state_dim=3)


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    ours, theirs = Channel.pair()
    with theirs:
        yield ours, theirs
    ours.close()


def test_messages_come_whole_and_with_their_file(ends: tuple[Channel, socket.socket]) -> None:
    ours, theirs = ends
    other = Channel(theirs)
    assert ours.receive(0.0) is None
    memory = os.memfd_create("test")
    other.send({"name": "ä"}, memory)
    other.send({"name": "x" * (MOST_BYTES - 100)})
    received = ours.receive(1.0)
    assert received is not None
    message, (descriptor,) = received
    assert message == {"name": "ä"}
    assert os.path.sameopenfile(memory, descriptor)
    for each in (memory, descriptor):
        os.close(each)
    assert ours.receive(1.0) == ({"name": "x" * (MOST_BYTES - 100)}, [])


@pytest.mark.parametrize("data", [b"{", b"[]", b"\xff", b'"' + b"x" * MOST_BYTES + b'"'])
def test_bytes_that_are_no_message_are_an_error(ends: tuple[Channel, socket.socket], data: bytes) -> None:
    ours, theirs = ends
    theirs.send(data)
    with pytest.raises(InferenceError, match="expected a JSON object from the other process"):
        ours.receive(1.0)


def test_a_message_that_is_too_long_is_not_sent(ends: tuple[Channel, socket.socket]) -> None:
    with pytest.raises(InferenceError, match="at most 100000 are expected"):
        ends[0].send({"name": "x" * MOST_BYTES})


def test_after_the_other_side_has_closed_nothing_is_sent_or_received(ends: tuple[Channel, socket.socket]) -> None:
    ours, theirs = ends
    theirs.close()
    for _ in range(2):
        with pytest.raises(EOFError):
            ours.receive()
        with pytest.raises(EOFError):
            ours.send({})


def test_closing_ends_a_wait_in_another_thread(ends: tuple[Channel, socket.socket]) -> None:
    ours, _ = ends
    ended = threading.Event()

    def wait() -> None:
        with pytest.raises(EOFError):
            ours.receive()
        ended.set()

    thread = threading.Thread(target=wait)
    thread.start()
    ours.close()
    assert ended.wait(10.0)
    thread.join()
    with pytest.raises(EOFError):
        ours.receive()


def test_both_sides_see_the_same_arrays() -> None:
    made, memory = SharedArrays.make(SPEC)
    other = SharedArrays(SPEC, memory)
    os.close(memory)
    random = np.random.default_rng(0)
    inputs: dict[str, npt.NDArray[Any]] = {
        "observation.images.front": random.integers(0, 256, (8, 12, 3), np.uint8),
        "observation.state": random.normal(size=3).astype(np.float32),
    }
    other.write(inputs)
    assert made.inputs.keys() == inputs.keys()
    for key, array in inputs.items():
        np.testing.assert_array_equal(made.inputs[key], array)
    chunk = random.normal(size=(4, 3)).astype(np.float32)
    made.write_chunk(chunk)
    np.testing.assert_array_equal(other.read_chunk(), chunk)
    for key, array in inputs.items():
        np.testing.assert_array_equal(made.inputs[key], array)


def test_memory_of_another_size_is_refused_and_cannot_be_given_one() -> None:
    _, memory = SharedArrays.make(SPEC)
    try:
        with pytest.raises(InferenceError, match=r"expected \d+ bytes of shared memory, got \d+"):
            SharedArrays(PolicySpec(400, 3, state_dim=3), memory)
        for size in (1, 1 << 20):
            with pytest.raises(PermissionError):
                os.ftruncate(memory, size)
    finally:
        os.close(memory)
