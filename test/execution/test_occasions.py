"""When the black box is written by itself: once for each stop, long hold and end of the inference process."""

import pytest

from act_inference_ros.errors import EngineEndedError, EngineHungError, InferenceTimeoutError
from act_inference_ros.execution.occasions import PROCESS_ENDED, PROCESS_HUNG, Occasions
from act_inference_ros.execution.states import Standing, State


def told(occasions: Occasions, states: list[tuple[float, State, str]]) -> list[str]:
    reasons = [occasions.stands(Standing(state, reason, "", at), at) for at, state, reason in states]
    return [reason for reason in reasons if reason]


def test_each_stop_is_an_occasion_once() -> None:
    stop = [(0.0, State.STOPPED, "operator"), (0.1, State.STOPPED, "operator")]
    states = [(-1.0, State.COMMANDING, ""), *stop, (0.2, State.PAUSED, ""), (0.3, State.STOPPED, "does not follow")]
    assert told(Occasions(), states) == ["stopped: operator", "stopped: does not follow"]


@pytest.mark.parametrize(("lasts_s", "reasons"), [(0.9, []), (1.1, ["holding: stale: top"])])
def test_a_hold_is_an_occasion_if_it_lasts_longer_than_a_second(lasts_s: float, reasons: list[str]) -> None:
    held = [(10.0 + at, State.HOLDING, "stale: top") for at in (0.0, lasts_s / 2, lasts_s, lasts_s + 0.01)]
    assert told(Occasions(), [(9.0, State.COMMANDING, ""), *held[:-1], (12.0, State.COMMANDING, "")]) == reasons
    assert told(Occasions(), held) == reasons


def test_a_hold_whose_reason_changes_is_one_hold() -> None:
    held = [(0.0, State.HOLDING, "stale: top"), (0.7, State.HOLDING, "plan ran out"), (1.2, State.HOLDING, "x")]
    assert told(Occasions(), [*held, (9.0, State.HOLDING, "y")]) == ["holding: x"]


def test_the_end_of_the_inference_process_is_an_occasion_until_it_is_there_again() -> None:
    occasions = Occasions()
    ended = EngineEndedError("the inference process was killed")
    assert [occasions.failed(ended), occasions.failed(ended)] == [PROCESS_ENDED, None]
    occasions.inferred()
    assert occasions.failed(ended) == PROCESS_ENDED


def test_a_process_that_hung_is_an_occasion_of_its_own_once() -> None:
    occasions = Occasions()
    hung, starting = EngineHungError("was ended: an inference took longer"), EngineEndedError("could not be started")
    assert [occasions.failed(error) for error in (hung, hung, starting)] == [PROCESS_HUNG, None, None]
    occasions.inferred()
    assert [occasions.failed(starting), occasions.failed(hung)] == [PROCESS_ENDED, None]


def test_another_failed_inference_is_none() -> None:
    assert Occasions().failed(InferenceTimeoutError("late")) is None
