"""The log tells each change of state, never more than one line a second, and never the wrong state for long."""

from typing import Any

from act_inference_ros.execution.states import Standing, State
from act_inference_ros.ros.policy.state_log import StateLog


class Logger:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.info = self.warning = self.lines.append


def standing(state: State, reason: str = "") -> Standing:
    return Standing(state, reason, "", 0.0)


def test_a_change_that_came_too_soon_is_told_later_if_it_still_holds() -> None:
    now = [0.0]
    logger: Any = Logger()
    log = StateLog(logger, lambda: now[0])
    assert log.tell(standing(State.COMMANDING))
    now[0] = 0.1
    assert log.tell(standing(State.HOLDING, "stale: front"))
    assert not log.tell(standing(State.HOLDING, "stale: front"))
    assert logger.lines == ["commanding"]
    now[0] = 1.1
    assert not log.tell(standing(State.HOLDING, "stale: front"))
    assert logger.lines == ["commanding", "holding: stale: front"]


def test_a_state_that_flickers_gives_one_line_a_second() -> None:
    now = [0.0]
    logger: Any = Logger()
    log = StateLog(logger, lambda: now[0])
    for k in range(100):
        now[0] = k / 10
        log.tell(standing(State.COMMANDING if k % 2 else State.HOLDING, "" if k % 2 else "inference failed"))
    assert len(logger.lines) <= 10
