"""Requests serialised by hand are what protobuf would have made; refusals are looked up in one table."""

from collections.abc import Mapping
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2

from act_inference_ros.errors import (
    AnotherPolicyError,
    BadOutputError,
    InferenceError,
    InferenceTimeoutError,
    NotReadyError,
    RejectedError,
)
from act_inference_ros.inference.triton.contract import Contract, RequestEncoder, SharedImage
from act_inference_ros.inference.triton.errors import TABLE, CallFailed, Row, row_of
from test.inference.triton_models import observation, policy_spec

SPEC = policy_spec(cameras=2, height=7, width=9)
KEYS = ["observation.state", "observation.images.cam0", "observation.images.cam1"]


def parsed(encoder: RequestEncoder, inputs: Mapping[str, Any]) -> service_pb2.ModelInferRequest:
    return service_pb2.ModelInferRequest.FromString(encoder.encode(inputs))


def test_a_request_with_pixels() -> None:
    contract = Contract(SPEC, jpeg=False, batched=True)
    given = observation(SPEC, 1.5)
    given[KEYS[1]] = given[KEYS[1]][::-1]
    request = parsed(RequestEncoder(contract, "act_policy", "3"), given)
    assert (request.model_name, request.model_version) == ("act_policy", "3")
    assert [(t.name, t.datatype, list(t.shape)) for t in request.inputs] == [
        (KEYS[0], "FP32", [1, 14]),
        (KEYS[1], "UINT8", [1, 7, 9, 3]),
        (KEYS[2], "UINT8", [1, 7, 9, 3]),
    ]
    assert list(request.raw_input_contents) == [given[key].tobytes() for key in KEYS]
    assert [output.name for output in request.outputs] == ["action", "policy_id"]


@pytest.mark.parametrize("size", [0, 1, 123, 124, 16379, 16380, 3_000_000])
def test_a_jpeg_of_any_length(size: int) -> None:
    contract = Contract(SPEC, jpeg=True, batched=True)
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    given = {**observation(SPEC), KEYS[1]: data, KEYS[2]: b"x"}
    request = parsed(RequestEncoder(contract, "act_policy", ""), given)
    assert [t.datatype for t in request.inputs] == ["FP32", "BYTES", "BYTES"]
    assert [list(t.shape) for t in request.inputs] == [[1, 14], [1, 1], [1, 1]]
    assert request.raw_input_contents[1] == size.to_bytes(4, "little") + data


def test_a_request_has_a_name_and_a_time_to_wait() -> None:
    contract = Contract(SPEC, jpeg=False, batched=True)
    encoder = RequestEncoder(contract, "act_policy", "", timeout_s=0.25)
    request = service_pb2.ModelInferRequest.FromString(encoder.encode(observation(SPEC), "t_obs=12.5"))
    assert request.id == "t_obs=12.5"
    assert request.parameters["timeout"].int64_param == 250_000
    assert len(request.raw_input_contents) == len(KEYS)


def test_a_request_id_that_is_no_text_for_the_wire_costs_no_chunk() -> None:
    encoder = RequestEncoder(Contract(SPEC, jpeg=False, batched=True), "act_policy", "")
    request = service_pb2.ModelInferRequest.FromString(encoder.encode(observation(SPEC), "take \udc80"))
    assert request.id == "take ?"


def test_a_model_without_batches_gets_none() -> None:
    contract = Contract(SPEC, jpeg=False, batched=False)
    request = parsed(RequestEncoder(contract, "act_policy", ""), observation(SPEC))
    assert [list(t.shape) for t in request.inputs] == [[14], [7, 9, 3], [7, 9, 3]]


def test_images_in_shared_memory_are_only_named() -> None:
    contract = Contract(SPEC, jpeg=False, batched=True)
    shared = {KEYS[1]: SharedImage("region", 0, 189), KEYS[2]: SharedImage("region", 189, 189)}
    given = observation(SPEC)
    request = parsed(RequestEncoder(contract, "act_policy", "", shared), given)
    assert list(request.raw_input_contents) == [given[KEYS[0]].tobytes()]
    for tensor, place in zip(request.inputs[1:], shared.values(), strict=True):
        assert tensor.parameters["shared_memory_region"].string_param == "region"
        assert tensor.parameters["shared_memory_byte_size"].int64_param == place.size
        assert tensor.parameters["shared_memory_offset"].int64_param == place.offset


class TestOutput:
    contract = Contract(SPEC, jpeg=False, batched=True)

    def response(
        self,
        name: str = "action",
        datatype: str = "FP32",
        shape: tuple[int, ...] = (1, 20, 14),
        size: int = 20 * 14 * 4,
    ) -> service_pb2.ModelInferResponse:
        response = service_pb2.ModelInferResponse(raw_output_contents=[bytes(size), bytes(range(32))])
        response.outputs.add(name=name, datatype=datatype, shape=shape)
        response.outputs.add(name="policy_id", datatype="UINT8", shape=(1, 32))
        return response

    def test_a_right_answer_is_taken(self) -> None:
        answer = self.contract.answer_of(self.response(), "here")
        assert answer.chunk.shape == (20, 14)
        assert answer.policy_id == bytes(range(32)).hex()

    @pytest.mark.parametrize(
        "wrong",
        [
            {"name": "actions"},
            {"datatype": "FP64"},
            {"datatype": "FP16"},
            {"shape": (20, 14)},
            {"shape": (1, 14, 20)},
            {"shape": (1, 20, 13)},
            {"size": 20 * 14 * 4 - 1},
            {"size": 0},
        ],
    )
    def test_an_answer_with_something_wrong_is_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(BadOutputError, match="here: expected"):
            self.contract.answer_of(self.response(**wrong), "here")

    def test_no_chunk_or_two_are_refused(self) -> None:
        two = self.response()
        two.MergeFrom(self.response())
        for response in (two, service_pb2.ModelInferResponse()):
            with pytest.raises(BadOutputError):
                self.contract.answer_of(response, "here")


class Refusal(grpc.RpcError):  # type: ignore[misc]  # Any: grpc has no types
    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code = lambda: code
        self.details = lambda: details


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.code.name}-{row.fragment}")
def test_every_row_of_the_table_is_reached(row: Row) -> None:
    failed = CallFailed.of(Refusal(row.code, f"... {row.fragment} ..."), "gpu:8001")
    assert failed.row is row
    assert type(failed.error) is row.error
    assert "gpu:8001" in str(failed)
    assert row.meaning in str(failed)


@pytest.mark.parametrize("code", list(grpc.StatusCode))
def test_every_status_becomes_an_inference_error(code: grpc.StatusCode) -> None:
    error = CallFailed.of(Refusal(code, ""), "gpu:8001").error
    assert isinstance(error, InferenceError)


def test_errors_of_several_servers_keep_the_kind_of_the_first() -> None:
    failures = [CallFailed(InferenceTimeoutError("a: late")), CallFailed(NotReadyError("b: gone"))]
    together = CallFailed.together(failures)
    assert isinstance(together, InferenceTimeoutError)
    assert str(together) == "a: late; b: gone"


def test_a_status_that_nobody_foresaw_is_a_rejection() -> None:
    assert row_of(Refusal(grpc.StatusCode.DATA_LOSS, "?")).error is RejectedError


def test_of_several_failures_a_server_that_may_come_back_is_reported_before_another_policy() -> None:
    gone, other = CallFailed(NotReadyError("gone")), CallFailed(AnotherPolicyError("other", "cd" * 32))
    assert type(CallFailed.together([other, gone])) is NotReadyError
    both = CallFailed.together([other, other])
    assert isinstance(both, AnotherPolicyError)
    assert both.policy_id == "cd" * 32
