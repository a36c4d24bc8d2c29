"""The contract of client and model: read from the model's configuration, checked, used for requests and chunks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import model_config_pb2, service_pb2

from act_inference_ros.errors import BadOutputError, ConfigurationError, NotReadyError
from act_inference_ros.inference.images import as_jpeg, as_pixels
from act_inference_ros.inference.triton.errors import said
from act_inference_ros.spec import PolicySpec

SPEC_PARAMETER = "policy_spec"
ENCODING_PARAMETER = "image_encoding"
ENCODINGS = ("raw", "jpeg")
OUTPUT = "action"
POLICY_ID = "policy_id"
POLICY_ID_BYTES = 32

# Wire format of protobuf: the tags of fields of ModelInferRequest, wire type 2 (bytes).
_ID_TAG = bytes([service_pb2.ModelInferRequest.ID_FIELD_NUMBER << 3 | 2])
_RAW_TAG = bytes([service_pb2.ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER << 3 | 2])

_BYTES = {"FP32": 4, "UINT8": 1}
"""Bytes per number."""

Inputs = Mapping[str, "npt.NDArray[Any] | bytes"]


@dataclass(frozen=True)
class SharedImage:
    """Offset and size of an image, bytes, in a region of shared memory that the server knows by name."""

    region: str
    offset: int
    size: int


@dataclass(frozen=True)
class Answer:
    """A chunk, float32 (chunk_size, action_dim), the model version that computed it, and its policy_id, or ""."""

    chunk: npt.NDArray[np.float32]
    version: str
    policy_id: str


@dataclass(frozen=True)
class Contract:
    """A policy as a Triton model: `jpeg` images instead of pixels; `batched` tensors begin with a batch dimension.

    With `states_id` each answer has the policy_id. The spec has none, because all versions of a model share the spec.
    """

    spec: PolicySpec
    jpeg: bool
    batched: bool
    states_id: bool = True

    def shape(self, key: str) -> list[int]:
        """The shape of an input on the wire."""
        images = {image.key: [1] if self.jpeg else list(image.shape) for image in self.spec.images}
        return [*self._batch, *(images.get(key) or [self.spec.vectors[key]])]

    def datatype(self, key: str) -> str:
        """The Triton data type of an input on the wire."""
        if key in self.spec.vectors:
            return "FP32"
        return "BYTES" if self.jpeg else "UINT8"

    def encoded(self, inputs: Inputs) -> dict[str, npt.NDArray[Any] | bytes]:
        """Inputs in the model's format; copies only where needed. Raises ObservationError."""
        encoded = dict(inputs)
        for image in self.spec.images:
            value = inputs[image.key]
            encoded[image.key] = as_jpeg(image, value) if self.jpeg else as_pixels(image, value)
        return encoded

    @property
    def outputs(self) -> dict[str, tuple[str, list[int]]]:
        """Name -> data type and shape on the wire."""
        chunk = {OUTPUT: ("FP32", [*self._batch, self.spec.chunk_size, self.spec.action_dim])}
        return chunk | ({POLICY_ID: ("UINT8", [*self._batch, POLICY_ID_BYTES])} if self.states_id else {})

    def answer_of(self, response: Any, source: str) -> Answer:
        """Read a response. Raises BadOutputError if its outputs are not exactly those of this contract."""
        read = raw_outputs(response, self.outputs, source)
        flat = np.frombuffer(read[OUTPUT], "<f4").astype(np.float32)
        return Answer(
            flat.reshape(self.spec.chunk_size, self.spec.action_dim),
            response.model_version,
            read.get(POLICY_ID, b"").hex(),
        )

    @property
    def _batch(self) -> list[int]:
        return [1] if self.batched else []


class RequestEncoder:
    """Makes the bytes of ModelInferRequests that differ only in their tensors.

    The part without tensors is serialised once. Tensors are appended in protobuf's wire format, which copies each of
    them once; protobuf's own messages would copy them three times.
    """

    def __init__(
        self,
        contract: Contract,
        model: str,
        version: str,
        shared: Mapping[str, SharedImage] | None = None,
        timeout_s: float = 0.0,
    ) -> None:
        """`timeout_s`: how long a request may wait in the server's queue, s; 0 for the server's own limit."""
        self._in_message = [key for key in contract.spec.keys if key not in (shared or {})]
        request = service_pb2.ModelInferRequest(model_name=model, model_version=version)
        for key in contract.spec.keys:
            tensor = request.inputs.add(name=key, datatype=contract.datatype(key), shape=contract.shape(key))
            if shared and key in shared:
                tensor.parameters["shared_memory_region"].string_param = shared[key].region
                tensor.parameters["shared_memory_byte_size"].int64_param = shared[key].size
                tensor.parameters["shared_memory_offset"].int64_param = shared[key].offset
        if timeout_s > 0.0:
            request.parameters["timeout"].int64_param = round(timeout_s * 1e6)
        for name in contract.outputs:
            request.outputs.add(name=name)
        self._head = request.SerializeToString()

    def encode(self, inputs: Inputs, request_id: str = "") -> bytes:
        """Serialise a request with these inputs, as `Contract.encoded` returns them; the id is for traces and logs."""
        parts: list[Any] = [self._head]
        if request_id:
            named = request_id.encode("utf-8", "replace")
            parts += [_ID_TAG, _varint(len(named)), named]
        for key in self._in_message:
            value = inputs[key]
            if isinstance(value, bytes):  # a Triton BYTES element: its length, then its bytes
                parts += [_RAW_TAG, _varint(4 + len(value)), len(value).to_bytes(4, "little"), value]
            else:
                parts += [_RAW_TAG, _varint(value.nbytes), np.ascontiguousarray(value)]
        return b"".join(parts)


def raw_outputs(response: Any, expected: Mapping[str, tuple[str, list[int]]], source: str) -> dict[str, bytes]:
    """The bytes of each output of a response. Raises BadOutputError if they are not exactly the expected ones.

    `expected`: name -> data type and shape on the wire.
    """
    came = {output.name: (output.datatype, list(output.shape)) for output in response.outputs}
    if came != expected or len(response.outputs) != len(expected):
        raise BadOutputError(
            f"{source}: expected the output {_outputs_text(expected)}, got {said(_outputs_text(came)) or 'none'}; "
            "the model there has changed, or does not keep to its configuration"
        )
    contents = list(response.raw_output_contents)
    sizes = [_BYTES[kind] * math.prod(shape) for kind, shape in came.values()]
    found = [len(content) for content in contents]
    if found != sizes:
        raise BadOutputError(f"{source}: expected {_outputs_text(expected)} of {sizes} bytes, got {said(str(found))}")
    return dict(zip(came, contents, strict=True))


def read_contract(config: Any, source: str) -> Contract:
    """Read a ModelConfig. Raises NotReadyError, showing both sides, if it does not describe a policy."""
    parameters = {key: value.string_value for key, value in config.parameters.items()}
    if SPEC_PARAMETER not in parameters:
        raise NotReadyError(
            f"{source}: the model has no parameter {SPEC_PARAMETER}, so it is no policy; export one with export_policy"
        )
    try:
        spec = PolicySpec.from_json(parameters[SPEC_PARAMETER])
    except ConfigurationError as error:
        raise NotReadyError(f"{source}: parameter {SPEC_PARAMETER}: {error}; export the policy again") from error
    encoding = parameters.get(ENCODING_PARAMETER) or ENCODINGS[0]
    if encoding not in ENCODINGS:
        raise NotReadyError(
            f"{source}: parameter {ENCODING_PARAMETER}: expected one of {ENCODINGS}, got {said(encoding)}"
        )
    if config.max_batch_size < 0:
        raise NotReadyError(f"{source}: expected max_batch_size from 0, got {config.max_batch_size}")
    states_id = any(output.name == POLICY_ID for output in config.output)
    contract = Contract(
        replace(spec, policy_id=""), encoding == "jpeg", batched=config.max_batch_size > 0, states_id=states_id
    )
    problems = _differences("input", _expected_inputs(contract), config.input)
    problems += _differences("output", _unbatched(contract).outputs, config.output)
    if problems:
        raise NotReadyError(f"{source}: the model does not fit its own {SPEC_PARAMETER}: {said('; '.join(problems))}")
    return contract


def spec_differences(ours: PolicySpec, theirs: PolicySpec) -> str:
    """The differences, field by field; empty if there are none."""
    return "; ".join(f"{name} {a} and {b}" for name, (a, b) in ours.differences(theirs).items())


def _expected_inputs(contract: Contract) -> dict[str, tuple[str, list[int]]]:
    unbatched = _unbatched(contract)
    return {key: (unbatched.datatype(key), unbatched.shape(key)) for key in contract.spec.keys}


def _unbatched(contract: Contract) -> Contract:
    """The contract without batch dimension, as a model's configuration describes it."""
    return replace(contract, batched=False)


def _outputs_text(outputs: Mapping[str, tuple[str, list[int]]]) -> str:
    return ", ".join(f"{name} {datatype} {shape}" for name, (datatype, shape) in outputs.items())


def _differences(kind: str, expected: Mapping[str, tuple[str, list[int]]], tensors: Sequence[Any]) -> list[str]:
    found = {tensor.name: (_datatype(tensor.data_type), list(tensor.dims)) for tensor in tensors}
    problems = [f"{kind} {name}: not in the {SPEC_PARAMETER}" for name in found if name not in expected]
    if len(found) != len(tensors):
        problems.append(f"expected each {kind} once, got {len(tensors)} with {len(found)} names")
    for name, (datatype, shape) in expected.items():
        if name not in found:
            problems.append(f"{kind} {name}: missing")
        elif found[name] != (datatype, shape):
            problems.append(f"{kind} {name}: expected {datatype} {shape}, got {found[name][0]} {found[name][1]}")
    return problems


def _datatype(number: int) -> str:
    known = model_config_pb2.DataType.DESCRIPTOR.values_by_number.get(number)
    name = str(known.name).removeprefix("TYPE_") if known is not None else f"data type {number}"
    return "BYTES" if name == "STRING" else name


def _varint(number: int) -> bytes:
    """Encode a length in protobuf's way: seven bits per byte, the lowest first."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
