"""Triton mode with a real server: what client and server agree on, and what the client checks and refuses."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from act_inference_ros.errors import (
    BadOutputError,
    InferenceTimeoutError,
    NotReadyError,
    ObservationError,
    RejectedError,
)
from act_inference_ros.inference.client import InferenceClient
from test.inference.triton_models import (
    ACTION_DIM,
    CHUNK_SIZE,
    Fault,
    fingerprint,
    observation,
    policy_spec,
    write_model,
)
from test.inference.triton_process import RunningTriton, free_port

SPEC = policy_spec(cameras=2, height=96, width=128)
IMAGE = "observation.images.cam0"
EXPECTED_OUTPUT = f"[1, {CHUNK_SIZE}, {ACTION_DIM}]"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTriton]:
    repository = tmp_path_factory.mktemp("models")
    write_model(repository, SPEC, instances=2)
    write_model(repository, SPEC, "jpeg", encoding="jpeg")
    write_model(repository, SPEC, "always_not_finite", always=Fault.NOT_FINITE)
    write_model(repository, SPEC, "always_raises", always=Fault.RAISES)
    write_model(repository, SPEC, "no_policy", replaced={'"policy_spec"': '"something"'})
    write_model(repository, SPEC, "garbled", replaced={"chunk_size": "chunky_size"})
    write_model(repository, SPEC, "strange_encoding", replaced={'string_value: "raw"': 'string_value: "webp"'})
    write_model(repository, SPEC, "other_shape", replaced={"dims: [96, 128, 3]": "dims: [3, 96, 128]"})
    write_model(repository, SPEC, "other_dtype", replaced={f"FP32 dims: [{CHUNK_SIZE}": f"FP64 dims: [{CHUNK_SIZE}"})
    write_model(repository, SPEC, "other_name", replaced={'name: "action"': 'name: "actions"'})
    with RunningTriton(repository) as process:
        yield process.wait_ready()


@pytest.fixture(scope="module")
def client(server: RunningTriton) -> Iterator[InferenceClient]:
    with InferenceClient.create("triton", server=server.address) as client:
        yield client


def test_the_robot_learns_the_policy_from_the_server(client: InferenceClient) -> None:
    assert client.spec == SPEC
    assert client.takes_jpeg is False


@pytest.mark.parametrize("shared_memory", ["on", "off"])
def test_images_and_numbers_arrive_as_they_were_sent(server: RunningTriton, shared_memory: str) -> None:
    with InferenceClient.create("triton", server=server.address, shared_memory=shared_memory) as client:
        for echo in (1.25, 2.5):
            given = observation(SPEC, echo, seed=int(echo))
            given["observation.images.cam1"] = given["observation.images.cam1"][::-1, ::-1]  # not contiguous
            given[IMAGE] = given[IMAGE][:, ::-1]
            chunk = client.predict(given)
            assert chunk.dtype == np.float32
            assert chunk.shape == (CHUNK_SIZE, ACTION_DIM)
            assert chunk.flags.writeable
            np.testing.assert_array_equal(chunk[:, 0], echo)
            np.testing.assert_array_equal(chunk[:, 1], fingerprint(np.ascontiguousarray(given[IMAGE])))


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (Fault.WRONG_SHAPE, BadOutputError, ["action", EXPECTED_OUTPUT, f"[1, {CHUNK_SIZE - 1}, {ACTION_DIM}]"]),
        (Fault.NOT_FINITE, BadOutputError, ["finite", "step 3", "dropped"]),
        (Fault.FLOAT64, BadOutputError, ["FP64", "FP32"]),
        (Fault.RAISES, RejectedError, ["the model failed", "out of order"]),
        (Fault.REFUSES, RejectedError, ["refuses this input", "not this one"]),
    ],
)
def test_what_the_model_does_wrong_is_an_error_and_the_next_request_is_fine(
    client: InferenceClient, server: RunningTriton, fault: Fault, error: type[Exception], words: list[str]
) -> None:
    with pytest.raises(error) as caught:
        client.predict(observation(SPEC, 1.0, fault))
    for word in (*words, server.address):
        assert word in str(caught.value)
    assert client.predict(observation(SPEC, 2.0))[0, 0] == 2.0


def test_a_late_answer_never_reaches_a_newer_observation(server: RunningTriton) -> None:
    with InferenceClient.create("triton", server=server.address, timeout_s=0.3) as client:
        for echo in range(1, 4):
            with pytest.raises(InferenceTimeoutError, match=r"no answer within the deadline"):
                client.predict(observation(SPEC, echo, delay_s=0.35))
            for again in range(4):
                newer = 10.0 * echo + again
                assert client.predict(observation(SPEC, newer))[0, 0] == newer


def test_the_deadline_is_kept(server: RunningTriton) -> None:
    with InferenceClient.create("triton", server=server.address, timeout_s=0.2) as client:
        outcome = []

        def predict() -> None:
            try:
                client.predict(observation(SPEC, 1.0, delay_s=5.0))
            except InferenceTimeoutError as error:
                outcome.append(error)

        thread = threading.Thread(target=predict)
        thread.start()
        thread.join(2.0)
        assert len(outcome) == 1
    # The instance of the model is busy for 5 s: other tests use the other one.


@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        ("nope", NotReadyError, ["no model nope", "act_policy version 1 READY", "jpeg"]),
        ("no_policy", NotReadyError, ["policy_spec", "export_policy"]),
        ("garbled", NotReadyError, ["policy_spec", "chunky_size", "export"]),
        ("strange_encoding", NotReadyError, ["image_encoding", "webp", "jpeg"]),
        ("other_shape", NotReadyError, [IMAGE, "UINT8 [96, 128, 3]", "UINT8 [3, 96, 128]"]),
        ("other_dtype", NotReadyError, ["output action", "FP32", "FP64"]),
        ("other_name", NotReadyError, ["output action: missing", "output actions: not in"]),
        ("always_not_finite", BadOutputError, ["finite"]),
        ("always_raises", RejectedError, ["the model failed"]),
    ],
)
def test_a_model_that_does_not_fit_is_refused_at_once(
    server: RunningTriton, model: str, error: type[Exception], words: list[str]
) -> None:
    with pytest.raises(error) as caught:
        InferenceClient.create("triton", server=server.address, model=model, wait_s=60.0)
    for word in words:
        assert word in str(caught.value)


def test_a_missing_version_is_refused_naming_those_that_are_there(server: RunningTriton) -> None:
    with pytest.raises(NotReadyError, match=r"no model act_policy version 7 .* act_policy version 1 READY"):
        InferenceClient.create("triton", server=server.address, version=7)
    with InferenceClient.create("triton", server=server.address, version=1) as client:
        assert client.predict(observation(SPEC, 4.0))[0, 0] == 4.0


@pytest.fixture(scope="module")
def jpeg_client(server: RunningTriton) -> Iterator[InferenceClient]:
    with InferenceClient.create("triton", server=server.address, model="jpeg") as client:
        yield client


@pytest.fixture
def data() -> bytes:
    return cv2.imencode(".jpg", observation(SPEC)[IMAGE])[1].tobytes()


def test_jpegs_go_to_the_server_byte_for_byte(jpeg_client: InferenceClient, data: bytes) -> None:
    assert jpeg_client.takes_jpeg
    chunk = jpeg_client.predict({**observation(SPEC, 1.0), IMAGE: data})
    assert chunk[0, 1] == fingerprint(data)


def test_an_array_is_encoded(jpeg_client: InferenceClient) -> None:
    assert jpeg_client.predict(observation(SPEC, 1.0))[0, 1] != 0.0


@pytest.mark.parametrize("spoil", [lambda d: b"not a jpeg", lambda d: d[:-2], lambda d: d[:200]])
def test_bytes_that_are_no_jpeg_are_not_sent(
    jpeg_client: InferenceClient, data: bytes, spoil: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(ObservationError):
        jpeg_client.predict({**observation(SPEC, 1.0), IMAGE: spoil(data)})


def test_a_jpeg_of_another_size_is_not_sent(jpeg_client: InferenceClient) -> None:
    other = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
    with pytest.raises(ObservationError, match=IMAGE):
        jpeg_client.predict({**observation(SPEC, 1.0), IMAGE: other})


def test_a_jpeg_is_decoded_here_for_a_model_that_takes_pixels(client: InferenceClient) -> None:
    pixels = np.full((96, 128, 3), 77, np.uint8)
    data = cv2.imencode(".jpg", pixels)[1].tobytes()
    chunk = client.predict({**observation(SPEC, 1.0), IMAGE: data})
    assert chunk[0, 1] == fingerprint(pixels)


def test_threads_may_share_a_client(server: RunningTriton) -> None:
    with InferenceClient.create("triton", server=server.address, timeout_s=20.0) as client:
        wrong = []

        def predict(number: int) -> None:
            for i in range(20):
                given = observation(SPEC, 100.0 * number + i, seed=number)
                chunk = client.predict(given)
                if (chunk[0, 0], chunk[0, 1]) != (100.0 * number + i, fingerprint(given[IMAGE])):
                    wrong.append((number, i, chunk[0, :2]))

        threads = [threading.Thread(target=predict, args=(n,)) for n in range(1, 7)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60.0)
            assert not thread.is_alive()
        assert not wrong


def test_after_close_it_is_not_ready(server: RunningTriton) -> None:
    client = InferenceClient.create("triton", server=server.address)
    client.close()
    client.close()
    with pytest.raises(NotReadyError, match="closed"):
        client.predict(observation(SPEC))


def test_closing_ends_a_request_in_flight(server: RunningTriton) -> None:
    client = InferenceClient.create("triton", server=server.address, timeout_s=30.0)
    outcome = []

    def predict() -> None:
        try:
            client.predict(observation(SPEC, delay_s=2.0))
        except NotReadyError as error:
            outcome.append(error)

    thread = threading.Thread(target=predict)
    thread.start()
    time.sleep(0.2)  # nothing tells from outside that the request has left
    client.close()
    thread.join(1.5)
    assert len(outcome) == 1


def test_it_works_where_torch_cannot_be_imported(server: RunningTriton) -> None:
    program = f"""
import sys
sys.modules["torch"] = None
from act_inference_ros.inference.client import InferenceClient
from test.inference.triton_models import observation
with InferenceClient.create("triton", server={server.address!r}) as client:
    print(client.predict(observation(client.spec, 3.0))[0, 0])
"""
    printed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == "3.0"


def test_local_mode_works_where_tritonclient_cannot_be_imported(tmp_path: Path) -> None:
    program = """
import sys
sys.modules.update({"tritonclient": None, "grpc": None})
from act_inference_ros.inference.client import InferenceClient
from test.checkpoints import golden_arrays, golden_checkpoint
with InferenceClient.create("local", checkpoint=golden_checkpoint("a_small_1cam"), device="cpu") as client:
    arrays = golden_arrays("a_small_1cam", "observation")
    print(client.predict({key: arrays[key] for key in client.spec.keys}).shape)
"""
    printed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == "(20, 6)"


def test_waiting_for_a_server_reports_why_and_can_be_ended() -> None:
    class EnoughError(Exception):
        pass

    told: list[str] = []

    def progress(what: str) -> None:
        told.append(what)
        if len(told) == 3:
            raise EnoughError

    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(EnoughError):
        InferenceClient.create("triton", server=address, wait_s=60.0, progress=progress)
    assert told[0] == f"connecting to model act_policy on {address}"
    assert told[1].startswith(f"no server is ready yet: {address}: not reachable")
