"""The states of the supervisor, and its report: a state, the reason, and since when."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(str, Enum):
    """Whether the arm is commanded, and what must happen to continue. The values are the words in `~/status`."""

    INACTIVE = "inactive"
    """The node is not active: nothing is checked."""
    WAITING = "waiting"
    """Active, but something is missing that is not a fault: a first plan, a listener, the enabling message."""
    COMMANDING = "commanding"
    """The arm is commanded."""
    HOLDING = "holding"
    """Something went wrong; the arm was told to stay. Commanding continues by itself when the cause is gone."""
    PAUSED = "paused"
    """The arm was told to stay, and continues after `resume`."""
    STOPPED = "stopped"
    """The arm was told to stay; only `clear_stop` ends this state, and it leads to `paused`, never to motion."""


WHO_COMMANDS, SINCE, SHADOW = "who commands", "since", "shadow"
"""Keys of the values of `~/status`: who commands (see `supervisor`), since when the state has lasted (s of the ROS
clock), and whether the commands go to no controller."""

RUNNING = (State.WAITING, State.COMMANDING, State.HOLDING)
"""The states in which a valid chunk may move the arm."""


def worded(state: str, reason: str, detail: str) -> str:
    """Return the text for people: `state: reason (detail)`, without empty parts."""
    return f"{state}{f': {reason}' if reason else ''}{f' ({detail})' if detail else ''}"


@dataclass(frozen=True)
class Standing:
    """The supervisor's state, a short reason in fixed words, its detail, and since when (s).

    The reason is empty while commanding.
    """

    state: State
    reason: str
    detail: str
    since: float

    @property
    def text(self) -> str:
        """For people: `holding: stale: front (0.231 s old, max_age is 0.2 s)`."""
        return worded(self.state.value, self.reason, self.detail)


@dataclass(frozen=True)
class Answer:
    """The result of an operator's request: whether it was accepted, and one sentence for the operator."""

    accepted: bool
    message: str
