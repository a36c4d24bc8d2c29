"""Model repositories for a Python-backend Triton: a policy that does nothing, and ones with a fault.

The observation orders what the model does: `observation.state` is (echo, fault, delay_s, ...). Every row of the chunk
begins with the echo and, where there are images, the fingerprint of the first one.
"""

import shutil
import zlib
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.spec import ImageSpec, PolicySpec

CHUNK_SIZE, ACTION_DIM, STATE_DIM = 20, 14, 14
HEIGHT, WIDTH = 480, 640


class Fault(IntEnum):
    """What the second number of the state makes the model do."""

    NONE = 0
    WRONG_SHAPE = 1
    NOT_FINITE = 2
    FLOAT64 = 3
    RAISES = 4
    REFUSES = 5


def policy_spec(cameras: int = 1, height: int = HEIGHT, width: int = WIDTH, action_dim: int = ACTION_DIM) -> PolicySpec:
    images = tuple(ImageSpec(f"observation.images.cam{i}", height, width) for i in range(cameras))
    return PolicySpec(CHUNK_SIZE, action_dim, images=images, state_dim=STATE_DIM)


def observation(
    spec: PolicySpec, echo: float = 0.0, fault: Fault = Fault.NONE, delay_s: float = 0.0, seed: int = 0
) -> dict[str, Any]:
    """An observation with random images that orders `fault` and `delay_s` from the model."""
    random = np.random.default_rng(seed)
    state = np.zeros(STATE_DIM, np.float32)
    state[:3] = echo, fault, delay_s
    images = {image.key: random.integers(0, 256, image.shape, np.uint8) for image in spec.images}
    return {"observation.state": state, **images}


def fingerprint(image: npt.NDArray[Any] | bytes) -> int:
    """What the model puts into the second column: tells whether an image arrived byte for byte."""
    return zlib.crc32(bytes(image)) % 65536


def write_model(
    repository: Path,
    spec: PolicySpec,
    name: str = "act_policy",
    encoding: str = "raw",
    always: Fault = Fault.NONE,
    replaced: dict[str, str] | None = None,
    instances: int = 1,
    batching: bool = False,
    stands_still: bool = False,
    policy_id: str = "",
    version: int = 1,
) -> Path:
    """Write a model, and return the repository.

    `always` is a fault that needs no order, `replaced` changes the text of config.pbtxt. One that stands still takes no
    orders: its chunk is the observed state. With a `policy_id` every answer of this `version` states it.
    """
    directory = repository / name
    place = directory / str(version)
    place.mkdir(parents=True, exist_ok=True)
    # Python compares whole seconds and the size only, and might run what it compiled before.
    shutil.rmtree(place / "__pycache__", ignore_errors=True)
    (place / "model.py").write_text(_MODEL.replace("POLICY_ID", repr(policy_id)))
    (place / "model.onnx").touch()  # TritonServer serves no policy without one
    config = _config(spec, name, encoding, instances, batching)
    if policy_id:
        config += f"output {{ {_tensor('policy_id', 'TYPE_UINT8', [32])} }}\n"
    config += _parameter("always", str(int(always))) + _parameter("stands_still", str(int(stands_still)))
    for text, other in (replaced or {}).items():
        assert text in config
        config = config.replace(text, other)
    (directory / "config.pbtxt").write_text(config)
    return repository


def _config(spec: PolicySpec, name: str, encoding: str, instances: int, batching: bool) -> str:
    inputs = [_tensor(key, "TYPE_FP32", [dim]) for key, dim in spec.vectors.items()]
    for image in spec.images:
        raw = encoding == "raw"
        inputs.append(_tensor(image.key, "TYPE_UINT8" if raw else "TYPE_STRING", list(image.shape) if raw else [1]))
    lines = [
        f'name: "{name}"\nbackend: "python"\nmax_batch_size: 8',
        *(f"input {{ {each} }}" for each in inputs),
        f"output {{ {_tensor('action', 'TYPE_FP32', [spec.chunk_size, spec.action_dim])} }}",
        f"instance_group {{ count: {instances} kind: KIND_CPU }}",
        *(["dynamic_batching { }"] if batching else []),
        _parameter("policy_spec", spec.to_json()),
        _parameter("image_encoding", encoding),
    ]
    return "\n".join(lines) + "\n"


def _tensor(name: str, kind: str, dims: list[int]) -> str:
    return f'name: "{name}" data_type: {kind} dims: {dims}'


def _parameter(key: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'parameters {{ key: "{key}" value {{ string_value: "{escaped}" }} }}\n'


_MODEL = """
import json
import time
import zlib

import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        self.chunk_shape = config["output"][0]["dims"]
        self.images = [tensor["name"] for tensor in config["input"] if "images" in tensor["name"]]
        self.jpeg = config["parameters"]["image_encoding"]["string_value"] == "jpeg"
        self.stands_still = int(config["parameters"]["stands_still"]["string_value"])
        self.always = int(config["parameters"]["always"]["string_value"])

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        state = pb.get_input_tensor_by_name(request, "observation.state").as_numpy()
        if self.stands_still:
            chunk = np.repeat(state[:, None, :], self.chunk_shape[0], axis=1)
            return self.response(chunk)
        echo, fault, delay_s = state[0, :3]
        time.sleep(float(delay_s))
        fault = self.always or int(fault)
        chunk = np.zeros((len(state), *self.chunk_shape), np.float32)
        chunk[:, :, 0] = echo
        for image in self.images[:1]:
            pixels = pb.get_input_tensor_by_name(request, image).as_numpy()
            if self.jpeg:
                chunk[:, :, 1] = zlib.crc32(pixels[0, 0]) % 65536
            elif fault == 0 and echo:  # not in benchmarks, which leave the echo at 0
                chunk[:, :, 1] = zlib.crc32(pixels[0].tobytes()) % 65536
        if fault == 1:
            chunk = chunk[:, 1:]
        elif fault == 2:
            chunk[0, 3, 2] = np.nan
        elif fault == 3:
            chunk = chunk.astype(np.float64)
        elif fault == 4:
            raise RuntimeError("out of order")
        elif fault == 5:
            error = pb.TritonError("not this one", pb.TritonError.INVALID_ARG)
            return pb.InferenceResponse(error=error)
        return self.response(chunk)

    def response(self, chunk):
        tensors = [pb.Tensor("action", chunk)]
        if POLICY_ID:
            row = np.frombuffer(bytes.fromhex(POLICY_ID), np.uint8)
            tensors.append(pb.Tensor("policy_id", np.repeat(row[None], len(chunk), axis=0)))
        return pb.InferenceResponse(output_tensors=tensors)
"""
