"""The exit status tells what may pass by itself from what somebody must correct."""

import pytest

from act_inference_ros import errors
from act_inference_ros.program import exit_status


@pytest.mark.parametrize("kind", [errors.ConfigurationError, errors.CheckpointError, errors.BadOutputError])
def test_what_somebody_must_correct_is_a_mistake(kind: type[Exception]) -> None:
    assert exit_status.of_error(kind("max_age: ...")) == exit_status.MISTAKE


@pytest.mark.parametrize("kind", [errors.NotReadyError, errors.EngineEndedError, errors.InferenceTimeoutError, OSError])
def test_what_may_pass_by_itself_is_none(kind: type[Exception]) -> None:
    assert exit_status.of_error(kind("not reachable")) == exit_status.FAULT
