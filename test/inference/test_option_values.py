"""Arguments of InferenceClient.create of any type and size: a ConfigurationError names the one that is wrong."""

import math
from typing import Any

import pytest

from act_inference_ros import InferenceClient
from act_inference_ros.errors import ActInferenceError, ConfigurationError
from act_inference_ros.inference.local.options import LocalOptions
from act_inference_ros.inference.triton.options import TritonOptions

NUMBERS = (-1.0, math.nan, math.inf, -math.inf, 1e300, 10**400)
OTHERS: tuple[Any, ...] = (None, True, "5", "", b"x", [], {}, ..., ["x"])
TEXT_OPTIONS = (
    *("server", "model", "version", "ca_file", "certificate_file", "key_file", "token_file", "token_header"),
    *("checkpoint", "device", "precision", "mode", "fallback", "shared_memory"),
)
TEXTS = ("a\0b", "\udc80", "\x1b[2J", "x" * 5000)


@pytest.mark.parametrize("value", [*NUMBERS, *OTHERS], ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize("name", ["timeout_s", "wait_s"])
def test_a_value_that_is_no_time_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{name}: expected a number .*, got ") as error:
        TritonOptions(**{name: value}).check()
    assert len(str(error.value)) < 200


def test_the_bounds_of_times_are_allowed() -> None:
    TritonOptions(timeout_s=3600, wait_s=86400).check()
    TritonOptions(wait_s=0).check()
    with pytest.raises(ConfigurationError, match="timeout_s"):
        TritonOptions(timeout_s=0).check()


@pytest.mark.parametrize("value", [0, -1, 1.5, True, math.nan, "5", [], 10**30], ids=repr)
def test_a_value_that_is_no_number_of_threads_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^threads: expected a whole number"):
        LocalOptions(checkpoint="x", threads=value).check()


@pytest.mark.parametrize("value", ["no", "", 0, None, []], ids=repr)
def test_a_flag_is_true_or_false(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^compile: expected True or False"):
        LocalOptions(checkpoint="x", compile=value).check()
    with pytest.raises(ConfigurationError, match=r"^tls: expected True or False"):
        TritonOptions(tls=value).check()


@pytest.mark.parametrize("value", [*OTHERS, *TEXTS, 1.5], ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize("name", TEXT_OPTIONS)
def test_any_text_is_taken_or_gives_the_same_kind_of_error(
    name: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CHECKPOINT_DIR", raising=False)
    mode = "local" if name in ("checkpoint", "device", "precision") else "triton"
    given = {"mode": mode, "server": "localhost:1", "wait_s": 0.0, "timeout_s": 0.2, "checkpoint": "/nonexistent"}
    with pytest.raises(ActInferenceError):
        InferenceClient.create(**{**given, name: value}).close()
