"""A gRPC server that answers like Triton, but with any content that a test needs, including false answers."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent import futures
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import model_config_pb2, service_pb2

from act_inference_ros.spec import PolicySpec

SPEC = PolicySpec(chunk_size=4, action_dim=3, state_dim=2)
_SERVICE = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
_TYPES = model_config_pb2.DataType


def honest_config(spec_text: str = SPEC.to_json()) -> Any:
    """The ModelConfigResponse of a policy that reads and writes as SPEC says."""
    response = service_pb2.ModelConfigResponse()
    config = response.config
    config.name, config.max_batch_size = "act_policy", 8
    config.input.add(name="observation.state", data_type=_TYPES.TYPE_FP32, dims=[2])
    config.output.add(name="action", data_type=_TYPES.TYPE_FP32, dims=[4, 3])
    config.output.add(name="policy_id", data_type=_TYPES.TYPE_UINT8, dims=[32])
    config.parameters["policy_spec"].string_value = spec_text
    return response


def honest_answer() -> Any:
    """The ModelInferResponse of that policy: a chunk of ones."""
    response = service_pb2.ModelInferResponse(model_name="act_policy", model_version="1")
    response.outputs.add(name="action", datatype="FP32", shape=[1, 4, 3])
    response.outputs.add(name="policy_id", datatype="UINT8", shape=[1, 32])
    response.raw_output_contents.extend([np.ones((4, 3), np.float32).tobytes(), bytes(32)])
    return response


class LyingServer:
    """Serves on a free port while entered; `answers` maps a method's name to its response, a message or bytes."""

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, Any] = {"ModelConfig": honest_config(), "ModelInfer": honest_answer(), **answers}
        self._server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.max_send_message_length", -1)])
        self._server.add_generic_rpc_handlers([_Handler(self.answers)])
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> LyingServer:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait(5.0)


class _Handler(grpc.GenericRpcHandler):  # type: ignore[misc]  # Any: grpc has no types
    def __init__(self, answers: Mapping[str, Any]) -> None:
        self._answers = answers

    def service(self, details: Any) -> Any:
        service, _, method = details.method.removeprefix("/").rpartition("/")
        if service != _SERVICE or method not in self._answers:
            return None

        def answer(_request: bytes, _context: Any) -> bytes:
            given = self._answers[method]
            return given if isinstance(given, bytes) else given.SerializeToString()

        return grpc.unary_unary_rpc_method_handler(answer)
