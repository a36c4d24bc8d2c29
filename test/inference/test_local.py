"""Local mode: devices, precisions, compilation, inputs as they come from a robot, threads."""

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch

from act_inference_ros.errors import ConfigurationError, ObservationError
from act_inference_ros.inference.backend import PRECISION_ERROR
from act_inference_ros.inference.client import InferenceClient
from test.checkpoints import STATE, observation_of, write_checkpoint

CAMERA = "observation.images.top_cam"
INPUTS = {**STATE, CAMERA: {"type": "VISUAL", "shape": [3, 64, 96]}}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(directory, inputs=INPUTS)
    return directory


@pytest.fixture(scope="module")
def client(checkpoint: Path) -> Iterator[InferenceClient]:
    with InferenceClient.create("local", checkpoint=checkpoint, device="cpu") as client:
        yield client


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_gives_nearly_the_same_float32_chunk(
    client: InferenceClient, checkpoint: Path, precision: str
) -> None:
    observation = observation_of(INPUTS)
    with InferenceClient.create("local", checkpoint=checkpoint, device="cpu", precision=precision) as half:
        chunk = half.predict(observation)
        measured = half.facts[PRECISION_ERROR]
        assert any(f"{precision} differs from float32 by at most" in note for note in half.notes)
    assert measured.startswith("at most ")
    assert measured.count("%") == client.spec.action_dim + 1, "the largest, then one for each action"
    assert PRECISION_ERROR not in client.facts
    expected = client.predict(observation)
    assert chunk.dtype == np.float32
    assert 0 < np.abs(chunk - expected).max() < 0.1


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_policy_gives_the_same_chunk_from_any_thread(client: InferenceClient, checkpoint: Path) -> None:
    observation = observation_of(INPUTS)
    chunks = []

    def predict_without_compiling(client: InferenceClient) -> None:
        with torch.compiler.set_stance("fail_on_recompile"):
            chunks.append(client.predict(observation))

    # The node infers in a thread of its own; compiling there again would stop the robot for a minute.
    with InferenceClient.create("local", checkpoint=checkpoint, device="cpu", compile=True) as compiled:
        thread = threading.Thread(target=predict_without_compiling, args=(compiled,))
        thread.start()
        thread.join()
    np.testing.assert_allclose(chunks[0], client.predict(observation), rtol=1e-4, atol=2e-4)


def test_a_failing_compiler_is_one_clear_line(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", failing_compile)
    with pytest.raises(ConfigurationError, match=r"compile: .*g\+\+.*set compile to false: no compiler$"):
        InferenceClient.create("local", checkpoint=checkpoint, device="cpu", compile=True)


def failing_compile(graph: object, **options: object) -> Callable[..., Any]:
    def run(*inputs: object) -> NoReturn:
        raise RuntimeError("no compiler\nand forty lines of trace")

    return run


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cpu:1", "tpu:0", ""])
def test_an_unknown_device_lists_the_devices(checkpoint: Path, device: str) -> None:
    with pytest.raises(ConfigurationError, match="expected auto, cpu, cuda, cuda:N or mps"):
        InferenceClient.create("local", checkpoint=checkpoint, device=device)


@pytest.mark.parametrize("device", ["cuda", "cuda:3", "mps"])
def test_a_device_that_is_not_there_is_refused(checkpoint: Path, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigurationError, match=f"device {device}: .* on this machine"):
        InferenceClient.create("local", checkpoint=checkpoint, device=device)


def test_an_unknown_precision_lists_the_precisions(checkpoint: Path) -> None:
    with pytest.raises(ConfigurationError, match="float32, bfloat16, float16"):
        InferenceClient.create("local", checkpoint=checkpoint, precision="int8")


def test_images_may_be_read_only_or_mirrored_views(client: InferenceClient) -> None:
    observation = observation_of(INPUTS)
    expected = client.predict(observation)
    read_only = np.frombuffer(observation[CAMERA].tobytes(), np.uint8).reshape(64, 96, 3)
    view = np.ascontiguousarray(observation[CAMERA][:, :, ::-1])[:, :, ::-1]
    for image in (read_only, view):
        np.testing.assert_array_equal(client.predict({**observation, CAMERA: image}), expected)


def test_threads_may_share_a_client(client: InferenceClient) -> None:
    observations = [observation_of(INPUTS) | {"observation.state": np.full(5, i, np.float32)} for i in range(4)]
    expected = [client.predict(observation) for observation in observations]
    chunks = {}

    def predict_often(index: int) -> None:
        chunks[index] = [client.predict(observations[index]) for _ in range(5)]

    threads = [threading.Thread(target=predict_often, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index in range(4):
        np.testing.assert_array_equal(chunks[index], [expected[index]] * 5)


def test_the_number_of_threads_changes_only_when_asked(checkpoint: Path) -> None:
    before = torch.get_num_threads()
    try:
        with InferenceClient.create("local", checkpoint=checkpoint, device="cpu"):
            assert torch.get_num_threads() == before
        with InferenceClient.create("local", checkpoint=checkpoint, device="cpu", threads=1):
            assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_a_jpeg_is_decoded(client: InferenceClient) -> None:
    cv2 = pytest.importorskip("cv2")
    rgb = np.zeros((64, 96, 3), np.uint8)
    rgb[:, :, 0] = 200  # red: a swapped channel order would show
    jpeg = cv2.imencode(".jpg", rgb[:, :, ::-1])[1].tobytes()
    observation = observation_of(INPUTS)
    np.testing.assert_allclose(
        client.predict({**observation, CAMERA: jpeg}), client.predict({**observation, CAMERA: rgb}), atol=0.05
    )


def test_a_jpeg_of_another_size_is_refused(client: InferenceClient) -> None:
    cv2 = pytest.importorskip("cv2")
    jpeg = cv2.imencode(".jpg", np.zeros((48, 96, 3), np.uint8))[1].tobytes()
    with pytest.raises(ObservationError, match=r"top_cam: expected a JPEG of \(64, 96, 3\), got a jpeg of \(48, 96\)"):
        client.predict({**observation_of(INPUTS), CAMERA: jpeg})
