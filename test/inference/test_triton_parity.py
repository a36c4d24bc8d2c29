"""An exported policy on Triton computes what the checkpoint does here: one call, two modes, the same numbers."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.serving.export import export_policy
from act_inference_ros.serving.model_config import ServingOptions
from act_inference_ros.spec import PolicySpec
from test.checkpoints import golden_arrays, golden_checkpoint
from test.inference.triton_process import RunningTriton

CASES = ("a_small_1cam", "b_std_2cam", "c_old_format", "d_temporal_ensemble")
JPEG_CASE, JPEG_MODEL, IMAGE = "a_small_1cam", "jpeg", "observation.images.front"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTriton]:
    repository = Path(tmp_path_factory.mktemp("models"))
    for case in CASES:
        export_policy(golden_checkpoint(case), repository, ServingOptions(name=case))  # type: ignore[arg-type]  # a path will do
    export_policy(golden_checkpoint(JPEG_CASE), repository, ServingOptions(name=JPEG_MODEL, image_encoding="jpeg"))  # type: ignore[arg-type]  # a path will do
    with RunningTriton(repository) as process:
        for model in (*CASES, JPEG_MODEL):
            process.wait_ready(model)
        yield process


def local_client(case: str) -> InferenceClient:
    return InferenceClient.create("local", checkpoint=golden_checkpoint(case), device="cpu")


def triton_client(server: RunningTriton, model: str, **options: Any) -> InferenceClient:
    return InferenceClient.create("triton", server=server.address, model=model, timeout_s=20.0, **options)


def observation_of(case: str, spec: PolicySpec) -> dict[str, Any]:
    arrays = golden_arrays(case, "observation")
    return {key: arrays[key] for key in spec.keys}


def assert_within(chunk: npt.NDArray[Any], expected: npt.NDArray[Any], share_of_range: float) -> None:
    assert np.abs(chunk - expected).max() <= share_of_range * np.ptp(expected)


@pytest.mark.parametrize("shared_memory", ["on", "off"])
@pytest.mark.parametrize("case", CASES)
def test_triton_gives_lerobots_chunk_and_local_modes(server: RunningTriton, case: str, shared_memory: str) -> None:
    with local_client(case) as local, triton_client(server, case, shared_memory=shared_memory) as client:
        assert client.spec == local.spec
        observation = observation_of(case, client.spec)
        chunk = client.predict(observation)
        assert_within(chunk, local.predict(observation), 1e-4)
    np.testing.assert_allclose(chunk, golden_arrays(case, "expected")["chunk"][0], rtol=1e-4, atol=2e-4)


def test_eight_clients_at_once_get_the_same_chunk(server: RunningTriton) -> None:
    with local_client(JPEG_CASE) as local, triton_client(server, JPEG_CASE) as client, ThreadPoolExecutor(8) as threads:
        observation = observation_of(JPEG_CASE, client.spec)
        expected = local.predict(observation)
        for chunk in threads.map(lambda _: client.predict(observation), range(8)):
            assert_within(chunk, expected, 1e-4)


def test_a_jpeg_gives_the_same_chunk_in_both_modes(server: RunningTriton) -> None:
    with local_client(JPEG_CASE) as local, triton_client(server, JPEG_MODEL) as client:
        observation = observation_of(JPEG_CASE, client.spec)
        observation[IMAGE] = cv2.imencode(".jpg", observation[IMAGE])[1].tobytes()
        assert client.takes_jpeg
        np.testing.assert_allclose(client.predict(observation), local.predict(observation), rtol=1e-4, atol=2e-4)
