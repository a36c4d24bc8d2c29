"""Finds out over one connection which policy a server has: by the contract in its configuration and one inference."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2

from act_inference_ros.errors import NotReadyError, RejectedError
from act_inference_ros.inference.triton.channel import TritonChannel
from act_inference_ros.inference.triton.contract import Contract, RequestEncoder, read_contract
from act_inference_ros.inference.triton.diagnosis import why_closed
from act_inference_ros.inference.triton.errors import CONNECTION_CLOSED, NO_MODEL, CallFailed, said
from act_inference_ros.inference.triton.options import TritonOptions
from act_inference_ros.spec import PolicySpec

PROBE_ID = "probe"
"""The request id of an inference that is not for a robot."""


def source(address: str, options: TritonOptions) -> str:
    """Name a model on a server, for messages."""
    return f"model {options.model} on {address}"


def zeros(spec: PolicySpec) -> dict[str, Any]:
    """An observation with all values zero."""
    vectors: dict[str, Any] = {key: np.zeros(dim, np.float32) for key, dim in spec.vectors.items()}
    return vectors | {image.key: np.zeros(image.shape, np.uint8) for image in spec.images}


def look(channel: TritonChannel, options: TritonOptions, deadline: float) -> Contract:
    """Read the contract and run one inference, because a server's health report is unreliable.

    The spec has the policy_id that the server stated. Images go over gRPC. Raises CallFailed or BadOutputError.
    """
    contract = read_served_contract(channel, options, deadline)
    encoder = RequestEncoder(contract, options.model, options.version, timeout_s=options.timeout_s)
    request = encoder.encode(contract.encoded(zeros(contract.spec)), PROBE_ID)
    where = source(channel.address, options)
    answer = contract.answer_of(channel.infer(request, deadline), where)
    contract.spec.check_chunk(answer.chunk, where)
    return replace(contract, spec=replace(contract.spec, policy_id=answer.policy_id))


def read_served_contract(channel: TritonChannel, options: TritonOptions, deadline: float) -> Contract:
    """Read the policy's contract from the model's configuration. Raises CallFailed."""
    config = read_model_config(channel, options, deadline)
    try:
        return read_contract(config, source(channel.address, options))
    except NotReadyError as error:
        raise CallFailed(error, passing=False) from error


def read_model_config(channel: TritonChannel, options: TritonOptions, deadline: float) -> Any:
    """Read the model's ModelConfig. Raises CallFailed, which lists the server's models if this one does not exist."""
    request = service_pb2.ModelConfigRequest(name=options.model, version=options.version)
    try:
        return channel.call("ModelConfig", request, deadline).config
    except CallFailed as failed:
        if failed.row is NO_MODEL:
            raise _what_is_there(channel, options, deadline) from failed
        reason = None
        if failed.row is CONNECTION_CLOSED:
            reason = why_closed(channel.address, options, max(0.1, deadline - time.monotonic()))
        if reason is not None:
            raise CallFailed(RejectedError(f"{channel.address}: {reason}"), passing=False) from failed
        raise


def _what_is_there(channel: TritonChannel, options: TritonOptions, deadline: float) -> CallFailed:
    """An error that lists the server's models, instead of one that only reports the missing model."""
    wanted = options.model + (f" version {options.version}" if options.version else "")
    models = channel.call("RepositoryIndex", service_pb2.RepositoryIndexRequest(), deadline).models
    there = [f"{m.name} {f'version {m.version} ' if m.version else ''}{m.state or 'not loaded'}" for m in models]
    may_come = any(m.name == options.model and m.state != "READY" for m in models)
    listed = said(", ".join(there)) or "none"
    message = f"{channel.address}: no model {wanted} is ready there; there are: {listed}"
    return CallFailed(NotReadyError(message), passing=may_come)
