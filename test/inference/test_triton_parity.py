"""An exported policy on Triton computes what the checkpoint does here: one call, two modes, the same numbers."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.serving.export import export_policy
from act_inference_ros.serving.model_config import ServingOptions
from test.checkpoints import golden_arrays, golden_checkpoint
from test.inference.triton_process import TritonProcess

CASE = "a_small_1cam"
IMAGE = "observation.images.front"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    repository = tmp_path_factory.mktemp("models")
    for encoding in ("raw", "jpeg"):
        options = ServingOptions(name=encoding, image_encoding=encoding)
        export_policy(golden_checkpoint(CASE), Path(repository), options)
    with TritonProcess(repository) as process:
        yield process.wait_ready("jpeg").wait_ready("raw")


@pytest.fixture(scope="module")
def local():
    with InferenceClient.create("local", checkpoint=golden_checkpoint(CASE), device="cpu") as client:
        yield client


@pytest.fixture
def observation(local):
    arrays = golden_arrays(CASE, "observation")
    return {key: arrays[key] for key in local.spec.keys}


@pytest.mark.parametrize("shared_memory", ["on", "off"])
def test_triton_gives_lerobots_chunk(server, local, observation, shared_memory):
    with InferenceClient.create(
        "triton", server=server.address, model="raw", shared_memory=shared_memory, timeout_s=20.0
    ) as client:
        assert client.spec == local.spec
        chunk = client.predict(observation)
    np.testing.assert_allclose(chunk, golden_arrays(CASE, "expected")["chunk"][0], rtol=1e-4, atol=2e-4)


def test_a_jpeg_gives_the_same_chunk_in_both_modes(server, local, observation):
    observation[IMAGE] = cv2.imencode(".jpg", observation[IMAGE])[1].tobytes()
    with InferenceClient.create("triton", server=server.address, model="jpeg", timeout_s=20.0) as client:
        assert client.takes_jpeg
        np.testing.assert_allclose(client.predict(observation), local.predict(observation), rtol=1e-4, atol=2e-4)
