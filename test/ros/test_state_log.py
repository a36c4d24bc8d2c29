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


def test_a_line_says_how_many_changes_were_left_out_before_it() -> None:
    now = [0.0]
    logger: Any = Logger()
    log = StateLog(logger, lambda: now[0])
    log.tell(standing(State.COMMANDING))
    for k in range(1, 5):  # held twice, and commanding again at the end
        now[0] = k / 10
        log.tell(standing(State.COMMANDING) if k % 2 == 0 else standing(State.HOLDING, "stale: front"))
    now[0] = 1.0
    log.tell(standing(State.COMMANDING))
    assert logger.lines == ["commanding", "commanding; the state changed 4 times since the last line"]
    now[0] = 2.0
    log.tell(standing(State.HOLDING, "stale: front"))
    assert logger.lines[2:] == ["holding: stale: front"]


def test_the_end_is_told_at_once() -> None:
    logger: Any = Logger()
    log = StateLog(logger, lambda: 0.0)
    log.tell(standing(State.COMMANDING))
    log.tell(standing(State.INACTIVE, "shutting down"), at_once=True)
    assert logger.lines == ["commanding", "inactive: shutting down"]
