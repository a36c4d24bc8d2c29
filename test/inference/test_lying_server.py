"""Whatever a server says or answers, the client raises one of its own errors, soon and without much memory."""

import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from act_inference_ros import InferenceClient
from act_inference_ros.errors import BadOutputError, InferenceError, NotReadyError
from act_inference_ros.inference.triton.options import MAX_RESPONSE_BYTES
from test.inference.lying_server import SPEC, LyingServer, honest_answer, honest_config

OBSERVATION = {"observation.state": np.zeros(2, np.float32)}


def create(server: LyingServer) -> InferenceClient:
    return InferenceClient.create(mode="triton", server=server.address, timeout_s=5.0, wait_s=0.0, shared_memory="off")


def refusal(**answers: Any) -> InferenceError:
    with LyingServer(**answers) as server, pytest.raises(InferenceError) as error:
        create(server).close()
    assert len(str(error.value)) < 3000
    return error.value


def test_an_honest_server_is_believed() -> None:
    with LyingServer() as server, create(server) as client:
        np.testing.assert_array_equal(client.predict(OBSERVATION), np.ones((4, 3), np.float32))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[" * 50_000,
        "null",
        *(json.dumps({**json.loads(SPEC.to_json()), "n_action_steps": value}) for value in ("lots", -5, 2**70, 1.5)),
        json.dumps({**json.loads(SPEC.to_json()), "images": [{"key": "a", "height": 2**40, "width": 2**40}]}),
        SPEC.to_json().replace('"temporal_ensemble_coeff": null', '"temporal_ensemble_coeff": NaN'),
        "x" * 5_000_000,
    ],
    ids=lambda text: text[:20] + str(len(text)),
)
def test_a_model_with_an_invalid_spec_is_not_a_policy(text: str) -> None:
    error = refusal(ModelConfig=honest_config(text))
    assert type(error) is NotReadyError
    assert "policy_spec" in str(error)


def _config(change: Callable[[Any], object]) -> Any:
    response = honest_config()
    change(response.config)
    return response


def _set(message: Any, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(message, name, value)


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config.Clear(),
        lambda config: config.parameters.clear(),
        lambda config: config.input.pop(),
        lambda config: config.output.pop(0),
        lambda config: config.input.append(config.input[0]),
        lambda config: config.output.append(config.output[0]),
        lambda config: [config.input.add(name=f"{i}" * 100) for i in range(10_000)],
        lambda config: _set(config.input[0], data_type=99),
        lambda config: _set(config.input[0], data_type=-1),
        lambda config: _set(config.input[0], data_type=12),
        lambda config: _set(config.output[0], name=""),
        lambda config: config.output[0].dims.extend([2**62]),
        lambda config: config.output[0].dims.__setitem__(0, -4),
        lambda config: config.input[0].dims.__delitem__(0),
        lambda config: config.input[0].dims.extend([1] * 100_000),
        lambda config: config.output[1].dims.__setitem__(0, 2**40),
        lambda config: _set(config, max_batch_size=-1),
        lambda config: _set(config.parameters["image_encoding"], string_value="gif" * 100_000),
    ],
)
def test_an_impossible_configuration_is_refused(change: Callable[[Any], object]) -> None:
    assert type(refusal(ModelConfig=_config(change))) is NotReadyError


def _answer(change: Callable[[Any], object]) -> Any:
    response = honest_answer()
    change(response)
    return response


def _numbers(*numbers: float) -> bytes:
    return np.resize(np.array(numbers, np.float32), (4, 3)).tobytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: answer.Clear(),
        lambda answer: answer.outputs.pop(),
        lambda answer: answer.outputs.append(answer.outputs[0]),
        lambda answer: [answer.outputs.add(name="x" * 100) for _ in range(10_000)],
        lambda answer: answer.outputs[0].shape.__setitem__(0, -1),
        lambda answer: answer.outputs[0].shape.__setitem__(1, 2**62),
        lambda answer: answer.outputs[0].shape.extend([1]),
        lambda answer: _set(answer.outputs[0], datatype="FP64"),
        lambda answer: _set(answer.outputs[0], datatype="x" * 1_000_000),
        lambda answer: _set(answer.outputs[1], name="action"),
        lambda answer: answer.raw_output_contents.pop(),
        lambda answer: answer.raw_output_contents.__delitem__(slice(None)),
        lambda answer: answer.raw_output_contents.append(b"more"),
        lambda answer: answer.raw_output_contents.__setitem__(0, b""),
        lambda answer: answer.raw_output_contents.__setitem__(0, bytes(47)),
        lambda answer: answer.raw_output_contents.__setitem__(0, bytes(10_000_000)),
        lambda answer: answer.raw_output_contents.__setitem__(0, _numbers(1.0, np.nan)),
        lambda answer: answer.raw_output_contents.__setitem__(0, _numbers(np.inf)),
        lambda answer: answer.outputs[0].contents.fp32_contents.extend([1.0] * 12) or answer.raw_output_contents.pop(0),
        lambda answer: answer.raw_output_contents.reverse(),
    ],
)
def test_an_answer_that_is_no_chunk_is_bad_output(change: Callable[[Any], object]) -> None:
    lie = _answer(change)
    assert type(refusal(ModelInfer=lie)) is BadOutputError
    with LyingServer() as server, create(server) as client:
        server.answers["ModelInfer"] = lie
        with pytest.raises(BadOutputError):
            client.predict(OBSERVATION)
        server.answers["ModelInfer"] = honest_answer()
        client.predict(OBSERVATION)


@pytest.mark.parametrize("method", ["ModelConfig", "ModelInfer"])
def test_bytes_that_are_no_message_are_bad_output(method: str) -> None:
    assert type(refusal(**{method: b"\xff" * 100})) is BadOutputError


@pytest.mark.parametrize("method", ["ModelConfig", "ModelInfer"])
def test_an_answer_larger_than_any_chunk_does_not_fill_the_memory(method: str) -> None:
    lie = b"\x0a" + bytes(MAX_RESPONSE_BYTES + 1)
    with LyingServer(**{method: lie}) as server:
        began = time.monotonic()
        with pytest.raises(BadOutputError, match="larger than any chunk"):
            create(server)
    assert time.monotonic() - began < 20.0


def test_a_servers_text_is_quoted_short_and_without_control_characters() -> None:
    config = _config(lambda config: config.input.add(name="\x1b[2J\n" * 1000))
    message = str(refusal(ModelConfig=config))
    assert message.isprintable()
    assert "?[2J" in message
