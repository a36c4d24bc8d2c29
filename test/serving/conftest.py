"""One Triton for the tests that only ask: a policy with raw images and its twin that takes JPEG."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from act_inference_ros import InferenceClient
from act_inference_ros.serving.export import export_policy
from act_inference_ros.serving.model_config import ServingOptions
from act_inference_ros.serving.triton_process import TritonProcess
from test.serving.serving_helpers import DEADLINE_S, camera_checkpoint, serve_otherwise


@dataclass
class Served:
    """A server with the models act_policy and act_jpeg, a gRPC client to it, and the same policy in local mode."""

    server: TritonProcess
    client: Any
    local: InferenceClient


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    import tritonclient.grpc as grpc

    root: Path = tmp_path_factory.mktemp("served")
    checkpoint = camera_checkpoint(root / "checkpoint")
    exported = export_policy(checkpoint, root / "repository")
    with InferenceClient.create(mode="local", checkpoint=checkpoint, device="cpu") as local:
        jpeg = ServingOptions(name="act_jpeg", image_encoding="jpeg")
        serve_otherwise(exported.published.directory, root / "repository", local.spec, jpeg)
        with TritonProcess(root / "repository") as server:
            server.wait_ready(DEADLINE_S)
            client = grpc.InferenceServerClient(server.address)
            yield Served(server, client, local)
            client.close()
