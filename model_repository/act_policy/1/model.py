"""Runs the policy beside this file (model.onnx) on Triton's Python backend: raw observations in, action chunks out.

Needs numpy and onnxruntime (onnxruntime-gpu for instances on a GPU) in the backend's Python, and OpenCV if the images
arrive as JPEG; of this package it needs only jpeg_header.py, which lies beside this file. export_policy writes both
files; names, shapes and options come from config.pbtxt.
"""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils

OUTPUT = "action"
POLICY_ID = "policy_id"
"""The graph's second output: the policy's id, the same bytes for each row."""
GPU_PROVIDERS = frozenset({"CUDAExecutionProvider", "TensorrtExecutionProvider"})


class BadInput(Exception):
    """An input that is not what the policy reads; the client gets INVALID_ARG."""


class TritonPythonModel:
    """One instance of the policy."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the graph and run it once, so that a model that cannot work never becomes ready."""
        config = json.loads(args["model_config"])
        parameters = {key: value["string_value"] for key, value in config["parameters"].items()}
        self.vectors = [tensor["name"] for tensor in config["input"] if tensor["data_type"] == "TYPE_FP32"]
        self.images = [tensor["name"] for tensor in config["input"] if tensor["data_type"] != "TYPE_FP32"]
        spec = json.loads(parameters["policy_spec"])
        self.image_shapes = {image["key"]: (image["height"], image["width"], 3) for image in spec["images"]}
        self.decodes = parameters.get("image_encoding") == "jpeg" and bool(self.images)
        if self.decodes:
            # Only if JPEG images are served. Triton puts this file's directory on the path.
            import cv2
            import jpeg_header

            cv2.setNumThreads(1)
            self.cv2, self.jpeg_header = cv2, jpeg_header
        path = os.path.join(args["model_repository"], args["model_version"], "model.onnx")
        if not os.path.isfile(path):
            raise pb_utils.TritonModelException(f"{path} is missing: export a policy with export_policy")
        self.session = _session(path, _session_options(config, parameters), args)
        zeros = {i.name: np.zeros([1, *i.shape[1:]], _NUMPY_TYPES[i.type]) for i in self.session.get_inputs()}
        self.policy_id = self.session.run([POLICY_ID], zeros)[0]
        self._run(zeros)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer all requests that Triton passes at once with as few runs of the network as possible, usually one."""
        responses: list[Any] = [None] * len(requests)
        groups: dict[Any, list[Any]] = {}  # requests whose inputs can be stacked, by the shapes of one observation
        for index, request in enumerate(requests):
            if request.is_cancelled():
                responses[index] = _error("the request was cancelled", pb_utils.TritonError.CANCELLED)
                continue
            try:
                inputs = self._read(request)
            except BadInput as error:
                responses[index] = _error(str(error), pb_utils.TritonError.INVALID_ARG)
                continue
            except Exception as error:
                responses[index] = _error(f"reading the inputs failed: {error}", pb_utils.TritonError.INTERNAL)
                continue
            shapes = tuple(array.shape[1:] for array in inputs.values())
            groups.setdefault(shapes, []).append((index, inputs))
        for members in groups.values():
            for (index, _), response in zip(members, self._answer([inputs for _, inputs in members])):  # noqa: B905
                responses[index] = response
        return responses

    def _answer(self, observations: list[dict[str, np.ndarray[Any, Any]]]) -> list[Any]:
        """One response for each request's inputs, from one run."""
        try:
            first = observations[0]
            stacked = {key: np.concatenate([inputs[key] for inputs in observations]) for key in first}
            actions = self._run(stacked if len(observations) > 1 else first)
        except Exception as error:
            message = f"the policy failed: {type(error).__name__}: {error}"
            return [_error(message, pb_utils.TritonError.INTERNAL) for _ in observations]
        ends = np.cumsum([len(next(iter(inputs.values()))) for inputs in observations])
        rows = np.split(actions, ends[:-1])
        return [self._response(np.ascontiguousarray(part)) for part in rows]

    def _response(self, actions: np.ndarray[Any, Any]) -> Any:
        policy_id = np.repeat(self.policy_id, len(actions), axis=0)
        return pb_utils.InferenceResponse([pb_utils.Tensor(OUTPUT, actions), pb_utils.Tensor(POLICY_ID, policy_id)])

    def _run(self, inputs: dict[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        """A batch of inputs -> actions, float32 (batch, chunk_size, action_dim)."""
        actions: np.ndarray[Any, Any] = self.session.run([OUTPUT], inputs)[0]
        return actions

    def _read(self, request: Any) -> dict[str, np.ndarray[Any, Any]]:
        """The inputs of one request by name, each with its batch dimension. Triton has checked names and types."""
        inputs = {}
        for key in self.vectors:
            vector = pb_utils.get_input_tensor_by_name(request, key).as_numpy()
            if not np.isfinite(vector).all():
                raise BadInput(f"{key}: expected finite numbers")
            inputs[key] = vector
        for key in self.images:
            image = pb_utils.get_input_tensor_by_name(request, key).as_numpy()
            inputs[key] = self._decode(key, image) if self.decodes else image
        return inputs

    def _decode(self, key: str, files: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """JPEG files (batch, 1) -> RGB images uint8 (batch, height, width, 3)."""
        shape = self.image_shapes[key]
        images = np.empty((len(files), *shape), np.uint8)
        for row, data in enumerate(files.reshape(-1)):
            try:
                header = self.jpeg_header.read_jpeg_header(data)
            except self.jpeg_header.JpegError as error:
                raise BadInput(f"{key}: {error}") from error
            if header[:2] != shape[:2]:  # before decoding, which takes long for a huge image
                raise BadInput(f"{key}: expected a JPEG of height and width {shape[:2]}, got {header[:2]}")
            flags = self.cv2.IMREAD_COLOR | self.cv2.IMREAD_IGNORE_ORIENTATION
            try:
                decoded = self.cv2.imdecode(np.frombuffer(data, np.uint8), flags)
            except self.cv2.error:
                decoded = None
            if decoded is None or decoded.shape != shape:
                raise BadInput(f"{key}: a JPEG of {len(data)} bytes that cannot be decoded")
            self.cv2.cvtColor(decoded, self.cv2.COLOR_BGR2RGB, dst=images[row])
        return images


_NUMPY_TYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}


def _session_options(config: dict[str, Any], parameters: dict[str, str]) -> onnxruntime.SessionOptions:
    """The number of threads is that in config.pbtxt, otherwise the container's cores divided among the instances."""
    options = onnxruntime.SessionOptions()
    wanted = int(parameters.get("intra_op_threads", "0"))
    instances = sum(group.get("count", 1) for group in config.get("instance_group", [])) or 1
    options.intra_op_num_threads = wanted if wanted > 0 else max(1, _cores() // instances)
    options.inter_op_num_threads = 1  # the graph has no parallel branches
    # Idle threads that spin take the cores from the other instances, and from Triton itself.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _cores() -> int:
    """Cores this process may use, by its affinity and by its container's quota (cgroup v2)."""
    cores = len(os.sched_getaffinity(0))
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()[:2]
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # another cgroup version, or "max": no quota
        return cores


def _session(path: str, options: onnxruntime.SessionOptions, args: dict[str, str]) -> Any:
    """A session on the device in config.pbtxt. onnxruntime itself continues without a GPU and only logs that."""
    if args["model_instance_kind"] != "GPU":
        return onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    cuda = ("CUDAExecutionProvider", {"device_id": int(args["model_instance_device_id"])})
    session = onnxruntime.InferenceSession(path, options, [cuda, "CPUExecutionProvider"], enable_fallback=0)
    used = session.get_providers()  # get_available_providers() only tells what was compiled in
    if not GPU_PROVIDERS.intersection(used):
        if cuda[0] in onnxruntime.get_available_providers():
            remedy = "CUDA does not work here: check the driver, and the versions of CUDA and cuDNN it needs"
        else:
            remedy = "it was compiled without CUDA: pip install onnxruntime-gpu"
        raise pb_utils.TritonModelException(
            f"config.pbtxt wants a GPU, but onnxruntime {onnxruntime.__version__} runs on {', '.join(used)}; "
            f"{remedy}, or export with --device cpu"
        )
    return session


def _error(message: str, code: int) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
