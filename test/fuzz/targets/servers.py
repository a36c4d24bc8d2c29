"""Targets: the spec that a server sends, and whatever a server that lies replies: configuration, answers, errors."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError
from tritonclient.grpc import model_config_pb2, service_pb2

from act_inference_ros.errors import BadOutputError, ConfigurationError
from act_inference_ros.inference.triton.contract import SPEC_PARAMETER
from act_inference_ros.inference.triton.errors import CallFailed
from act_inference_ros.inference.triton.look import look
from act_inference_ros.inference.triton.options import TritonOptions
from act_inference_ros.spec import ImageSpec, PolicySpec
from test.fuzz.mutation import LONG_NUMBERS, bytes_mutation, json_mutation, one_of, with_selector
from test.fuzz.target import LONGEST_INPUT, MIB, Check, Target
from test.inference.lying_server import honest_answer, honest_config

_SPECS = (
    PolicySpec(chunk_size=4, action_dim=3, state_dim=2),
    PolicySpec(
        8, 2, (ImageSpec("observation.images.top", 48, 64), ImageSpec("observation.image", 8, 8)), 2, 3, 4, 0.01
    ),
    PolicySpec(8, 2, (ImageSpec("a", 48, 64),), ignored_keys=("b",), state_key="s", policy_id="0" * 64),
)
_LARGEST = PolicySpec(2**16, 2**6, (ImageSpec("a", 2**12, 2**13),), 2**16, 2**16)
_WORDS = (
    "", "action", "policy_id", "observation.state", "FP32", "UINT8", "BYTES", "FP64", "jpeg", "raw", "act_policy",
    "x" * 5000,
    "\x1b[2J", "a\nb", "\u2028", "ä", "READY", "shared memory region", "restricted", "queue", "not ready",
    "Socket closed",
)  # fmt: skip
_MESSAGES: tuple[Any, ...] = (
    service_pb2.ModelConfigResponse,
    service_pb2.ModelInferResponse,
    service_pb2.RepositoryIndexResponse,
)
_CONFIG, _ANSWER, _MODELS, _ERROR = range(4)
_CODES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]
_OPTIONS = TritonOptions(server="127.0.0.1:1")


def spec(directory: Path) -> Target:
    """A PolicySpec as JSON; what was read must be written and read again without a change."""

    def check(data: bytes) -> None:
        read = PolicySpec.from_json(data.decode("utf-8", "surrogatepass" if data[:1] == b"{" else "replace"))
        assert PolicySpec.from_json(read.to_json()) == read
        assert read.differences(_SPECS[0]) or read == _SPECS[0]

    mutate = one_of(json_mutation, json_mutation, json_mutation, json_mutation, bytes_mutation)
    return Target("spec", _decoding(check), [each.to_json().encode() for each in _SPECS], mutate, (ConfigurationError,))


def server(directory: Path) -> Target:
    """What a server replies when a client looks which policy it has: one reply is another than it should be."""
    policies = [_Policy(each) for each in _SPECS[:2]]
    seeds = []
    for place, policy in enumerate(policies):
        seeds += [bytes([kind + 4 * place]) + policy.replies[kind].SerializeToString() for kind in (_CONFIG, _ANSWER)]
    seeds.append(bytes([_CONFIG]) + _Policy(_LARGEST).replies[_CONFIG].SerializeToString())
    index = service_pb2.RepositoryIndexResponse()
    index.models.add(name="act_policy", version="1", state="READY")
    seeds.append(bytes([_MODELS]) + index.SerializeToString())
    seeds.append(bytes([_ERROR, 3]) + b"x, shared memory region, queue, not ready")

    def check(data: bytes) -> None:
        kind = data[0] % 4 if data else 0
        policy = policies[data[0] // 4 % len(policies)] if data else policies[0]
        look(_Channel(policy, kind, data[1:]), _OPTIONS, float("inf"))  # type: ignore[arg-type]  # plays a TritonChannel

    mutate = with_selector([_reply_mutation(kind) for kind in range(3)] + [bytes_mutation])
    # The largest spec reads 96 MiB of images: of zeros, encoded, and once more in the bytes of the request.
    return Target("server", check, seeds, mutate, (CallFailed, BadOutputError), 384 * MIB)


class _Policy:
    """The honest replies of a policy."""

    def __init__(self, spec: PolicySpec) -> None:
        config = honest_config(spec.to_json())
        del config.config.input[:], config.config.output[:]
        types = model_config_pb2.DataType
        for key, dim in spec.vectors.items():
            config.config.input.add(name=key, data_type=types.TYPE_FP32, dims=[dim])
        for image in spec.images:
            config.config.input.add(name=image.key, data_type=types.TYPE_UINT8, dims=image.shape)
        config.config.output.add(name="action", data_type=types.TYPE_FP32, dims=[spec.chunk_size, spec.action_dim])
        config.config.output.add(name="policy_id", data_type=types.TYPE_UINT8, dims=[32])
        answer = honest_answer()
        answer.outputs[0].shape[:] = [1, spec.chunk_size, spec.action_dim]
        answer.raw_output_contents[0] = bytes(4 * spec.chunk_size * spec.action_dim)
        self.replies = {_CONFIG: config, _ANSWER: answer}


class _Channel:
    """Plays TritonChannel: honest replies, but for one, which is parsed as gRPC does."""

    address = "127.0.0.1:1"

    def __init__(self, policy: _Policy, kind: int, data: bytes) -> None:
        self._policy = policy
        self._kind = kind
        self._data = data

    def call(self, method: str, request: Any, deadline: float) -> Any:
        if method == "RepositoryIndex":
            return self._parsed(_MODELS, self._data if self._kind == _MODELS else b"")
        if self._kind == _MODELS:
            raise CallFailed.of(_Error(grpc.StatusCode.NOT_FOUND, "no such model"), self.address)
        if self._kind == _ERROR:
            code = _CODES[self._data[0] % len(_CODES)] if self._data else grpc.StatusCode.UNKNOWN
            raise CallFailed.of(_Error(code, self._data[1:].decode("utf-8", "replace")), self.address)
        return self._reply(_CONFIG)

    def infer(self, request: bytes, deadline: float) -> Any:
        return self._reply(_ANSWER)

    def _reply(self, kind: int) -> Any:
        return self._parsed(kind, self._data) if self._kind == kind else self._policy.replies[kind]

    def _parsed(self, kind: int, data: bytes) -> Any:
        try:
            return _MESSAGES[kind].FromString(data)
        except DecodeError as error:
            details = f"Exception deserializing response: {error}"
            raise CallFailed.of(_Error(grpc.StatusCode.INTERNAL, details), self.address) from error


class _Error(grpc.RpcError):  # type: ignore[misc]  # Any: grpc has no types
    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        self._said = SimpleNamespace(code=code, details=details)

    def code(self) -> grpc.StatusCode:
        return self._said.code

    def details(self) -> str:
        return self._said.details


def _decoding(check: Check) -> Check:
    """Bytes that are no text never come so far: protobuf refuses them."""

    def checked(data: bytes) -> None:
        try:
            check(data)
        except UnicodeDecodeError as error:
            raise ConfigurationError("no text") from error

    return checked


def _reply_mutation(kind: int) -> Any:
    def mutate(data: bytes, random: random.Random) -> bytes:
        try:
            message = _MESSAGES[kind].FromString(data)
        except DecodeError:
            return bytes_mutation(data, random)
        if random.random() < 0.15:
            return bytes_mutation(data, random)
        if kind == _CONFIG and random.random() < 0.4:
            parameter = message.config.parameters[SPEC_PARAMETER]
            text = json_mutation(parameter.string_value.encode(), random)
            parameter.string_value = text.decode("utf-8", "replace")
        for _ in range(random.randint(0, 3)):
            _change_field(message, random)
        return message.SerializeToString()[:LONGEST_INPUT]

    return mutate


def _change_field(message: Any, random: random.Random) -> None:
    """Give one field, at any depth, another value."""
    holder, field = random.choice(list(_fields(message)))
    try:
        value = _value_for(field, random)
        now = getattr(holder, field.name)
        repeated = isinstance(now, Iterable) and not isinstance(now, (str, bytes))
        if not repeated and value is not None:
            setattr(holder, field.name, value)
        elif repeated and len(now) and random.random() < 0.4:
            del now[random.randrange(len(now))]
        elif repeated and value is not None:
            now.append(value)
        elif repeated:
            now.add(name=random.choice(_WORDS))
        else:
            holder.ClearField(field.name)
    except (ValueError, TypeError, AttributeError, KeyError, IndexError):  # does not fit the field
        return


def _fields(message: Any) -> Iterable[tuple[Any, Any]]:
    """Each set field of a message and of those in it; each field of its own that is not set, too."""
    for field in message.DESCRIPTOR.fields:
        yield message, field
        if field.type != FieldDescriptor.TYPE_MESSAGE or field.message_type.GetOptions().map_entry:
            continue
        value = getattr(message, field.name)
        inside = value if not hasattr(value, "DESCRIPTOR") else [value] if message.HasField(field.name) else []
        for each in inside:
            yield from _fields(each)


def _value_for(field: Any, random: random.Random) -> Any:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING and field.type == FieldDescriptor.TYPE_STRING:
        return random.choice(_WORDS)
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return random.randbytes(random.choice((0, 1, 32, 48, 49)))
    if kind in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return random.choice((0.0, -1.0, float("nan"), float("inf")))
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return random.random() < 0.5
    if kind == FieldDescriptor.CPPTYPE_MESSAGE:
        return None
    bits = (
        32
        if kind in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_ENUM)
        else 64
    )
    number = random.choice(LONG_NUMBERS) % 2**bits
    signed = kind in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_ENUM)
    return number - 2**bits if signed and number >= 2 ** (bits - 1) else number
