"""A bag of a policy's run, in which an operator takes over: who commanded is a function of time."""

from collections.abc import Iterable, Iterator
from typing import Any

from test.evaluation.bags import START_S, Event, message

STATUS, STATUS_TYPE = "/policy_node/status", "diagnostic_msgs/msg/DiagnosticStatus"
COMMANDS = ("/arm/joint_trajectory", "/gripper/commands")

POLICY_UNTIL, OPERATOR_FROM, OPERATOR_UNTIL, POLICY_FROM, END = 2.0, 3.0, 5.0, 7.0, 9.0
"""The policy commands, is paused, the operator takes over and stops, and the policy resumes; s after the start."""
HOLD_S = 0.15
"""After the pause the node sends the rest of its hold for this long."""


def status(time_s: float, word: str, state: str, since_s: float, **more: str) -> Event:
    """A message of `~/status`, `time_s` after the start."""
    values = {"reason": "", "since": f"{START_S + since_s:.3f}", "who commands": word, **more}
    pairs = [message("diagnostic_msgs/msg/KeyValue", key=key, value=value) for key, value in values.items()]
    content: Any = message(
        STATUS_TYPE, level=0, name="/policy_node: status", message=state, hardware_id="", values=pairs
    )
    return START_S + time_s, STATUS, STATUS_TYPE, content


def statuses(spans: Iterable[tuple[float, float, str, str]], **more: str) -> Iterator[Event]:
    """Return the statuses of a node for these spans (begin, end, ...): one at each change, and two per second."""
    for begin, end, word, state in spans:
        steps = int((end - begin) / 0.5 + 0.999)
        for step in range(steps):
            yield status(begin + 0.5 * step, word, state, begin, **more)


RUN = (
    (0.0, POLICY_UNTIL, "policy", "commanding"),
    (POLICY_UNTIL, POLICY_FROM, "nobody", "paused"),
    (POLICY_FROM, END, "policy", "commanding"),
)


def commanded(time: float) -> bool:
    """Whether somebody publishes commands at `time`, START_S included."""
    since = time - START_S
    silent = POLICY_UNTIL + HOLD_S <= since < OPERATOR_FROM or OPERATOR_UNTIL <= since < POLICY_FROM
    return not silent


def taken_over(events: Iterable[Event]) -> Iterator[Event]:
    """Turn a demonstration's events into those of this run: commands come only while somebody commands."""
    yield from (each for each in events if each[1] not in COMMANDS or commanded(each[0]))
    yield from statuses(RUN)
