"""What client and model agree on: read from the model's configuration, checked, and turned into requests and chunks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import model_config_pb2, service_pb2

from act_inference_ros.errors import BadOutputError, ConfigurationError, NotReadyError
from act_inference_ros.inference.images import as_jpeg, as_pixels
from act_inference_ros.spec import PolicySpec

SPEC_PARAMETER = "policy_spec"
ENCODING_PARAMETER = "image_encoding"
ENCODINGS = ("raw", "jpeg")
OUTPUT = "action"

# Wire format of protobuf: the tag of field `raw_input_contents` of ModelInferRequest, wire type 2 (bytes).
_RAW_TAG = bytes([service_pb2.ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER << 3 | 2])

Inputs = Mapping[str, "npt.NDArray[Any] | bytes"]


@dataclass(frozen=True)
class SharedImage:
    """Where an image lies in a region of shared memory that the server knows by name; bytes."""

    region: str
    offset: int
    size: int


@dataclass(frozen=True)
class Contract:
    """A policy as a Triton model: `jpeg` images instead of pixels; `batched` tensors begin with a batch dimension."""

    spec: PolicySpec
    jpeg: bool
    batched: bool

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
        """Inputs as the model takes them; nothing is copied that need not be. Raises ObservationError."""
        encoded = dict(inputs)
        for image in self.spec.images:
            value = inputs[image.key]
            encoded[image.key] = as_jpeg(image, value) if self.jpeg else as_pixels(image, value)
        return encoded

    def chunk_of(self, response: Any, source: str) -> npt.NDArray[np.float32]:
        """Return the response's action, float32 (chunk_size, action_dim). Raises BadOutputError for anything else."""
        expected = [*self._batch, self.spec.chunk_size, self.spec.action_dim]
        came = [(output.name, output.datatype, list(output.shape)) for output in response.outputs]
        if came != [(OUTPUT, "FP32", expected)]:
            raise BadOutputError(
                f"{source}: expected the output {OUTPUT} FP32 {expected}, got "
                f"{', '.join(f'{name} {datatype} {shape}' for name, datatype, shape in came) or 'none'}; "
                "the model there has changed, or does not keep to its configuration"
            )
        sizes = [len(content) for content in response.raw_output_contents]
        if sizes != [4 * int(np.prod(expected))]:
            raise BadOutputError(f"{source}: expected {OUTPUT} of {expected} float32 numbers, got {sizes} bytes")
        flat = np.frombuffer(response.raw_output_contents[0], "<f4").astype(np.float32)
        return flat.reshape(self.spec.chunk_size, self.spec.action_dim)

    @property
    def _batch(self) -> list[int]:
        return [1] if self.batched else []


class RequestEncoder:
    """Makes the bytes of ModelInferRequests that differ in their tensors only.

    The part without tensors is serialised once. Tensors are appended in protobuf's wire format, which copies each of
    them once; through protobuf's own messages it would be three times.
    """

    def __init__(self, contract: Contract, model: str, version: str, shared: Mapping[str, SharedImage] | None = None):
        self._in_message = [key for key in contract.spec.keys if key not in (shared or {})]
        request = service_pb2.ModelInferRequest(model_name=model, model_version=version)
        for key in contract.spec.keys:
            tensor = request.inputs.add(name=key, datatype=contract.datatype(key), shape=contract.shape(key))
            if shared and key in shared:
                tensor.parameters["shared_memory_region"].string_param = shared[key].region
                tensor.parameters["shared_memory_byte_size"].int64_param = shared[key].size
                tensor.parameters["shared_memory_offset"].int64_param = shared[key].offset
        request.outputs.add(name=OUTPUT)
        self._head = request.SerializeToString()

    def encode(self, inputs: Inputs) -> bytes:
        """Serialise a request with these inputs, as `Contract.encoded` returned them."""
        parts: list[Any] = [self._head]
        for key in self._in_message:
            value = inputs[key]
            if isinstance(value, bytes):  # a Triton BYTES element: its length, then itself
                parts += [_RAW_TAG, _varint(4 + len(value)), len(value).to_bytes(4, "little"), value]
            else:
                parts += [_RAW_TAG, _varint(value.nbytes), np.ascontiguousarray(value)]
        return b"".join(parts)


def read_contract(config: Any, source: str) -> Contract:
    """Read a ModelConfig. Raises NotReadyError, showing both sides, if it is not that of a policy."""
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
        raise NotReadyError(f"{source}: parameter {ENCODING_PARAMETER}: expected one of {ENCODINGS}, got {encoding!r}")
    contract = Contract(spec, jpeg=encoding == "jpeg", batched=config.max_batch_size > 0)
    problems = _differences("input", _expected_inputs(contract), config.input)
    problems += _differences("output", {OUTPUT: ("FP32", [spec.chunk_size, spec.action_dim])}, config.output)
    if problems:
        raise NotReadyError(f"{source}: the model does not fit its own {SPEC_PARAMETER}: {'; '.join(problems)}")
    return contract


def spec_differences(ours: PolicySpec, theirs: PolicySpec) -> str:
    """Field by field, what differs; empty if nothing does."""
    fields = {name: (getattr(ours, name), getattr(theirs, name)) for name in PolicySpec.__dataclass_fields__}
    return "; ".join(f"{name} {a} and {b}" for name, (a, b) in fields.items() if a != b)


def _expected_inputs(contract: Contract) -> dict[str, tuple[str, list[int]]]:
    unbatched = Contract(contract.spec, contract.jpeg, batched=False)
    return {key: (unbatched.datatype(key), unbatched.shape(key)) for key in contract.spec.keys}


def _differences(kind: str, expected: Mapping[str, tuple[str, list[int]]], tensors: Sequence[Any]) -> list[str]:
    found = {tensor.name: (_datatype(tensor.data_type), list(tensor.dims)) for tensor in tensors}
    problems = [f"{kind} {name}: not in the {SPEC_PARAMETER}" for name in found if name not in expected]
    for name, (datatype, shape) in expected.items():
        if name not in found:
            problems.append(f"{kind} {name}: missing")
        elif found[name] != (datatype, shape):
            problems.append(f"{kind} {name}: expected {datatype} {shape}, got {found[name][0]} {found[name][1]}")
    return problems


def _datatype(number: int) -> str:
    name = str(model_config_pb2.DataType.Name(number)).removeprefix("TYPE_")
    return "BYTES" if name == "STRING" else name


def _varint(number: int) -> bytes:
    """Encode a length as protobuf does: seven bits a byte, the lowest first."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
