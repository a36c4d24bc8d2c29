"""The states of the supervisor, and what it says of itself: a state, why, and since when."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(str, Enum):
    """Whether the arm is commanded, and what it takes to go on. The values are the words that `~/status` says."""

    INACTIVE = "inactive"
    """The node is not active: nothing is looked at."""
    WAITING = "waiting"
    """Active, but something is missing that is nobody's fault: a first plan, a listener, the enabling word."""
    COMMANDING = "commanding"
    """The arm is commanded."""
    HOLDING = "holding"
    """Something went wrong; the arm was told to stay. It goes on by itself when that is over."""
    PAUSED = "paused"
    """The arm was told to stay, and goes on after `resume`."""
    STOPPED = "stopped"
    """The arm was told to stay; only `clear_stop` ends this, and leads to `paused`, never to motion."""


RUNNING = (State.WAITING, State.COMMANDING, State.HOLDING)
"""The states in which a good chunk may move the arm."""


def worded(state: str, reason: str, detail: str) -> str:
    """Return how a state is told to people: `state: reason (detail)`, without what is empty."""
    return f"{state}{f': {reason}' if reason else ''}{f' ({detail})' if detail else ''}"


@dataclass(frozen=True)
class Standing:
    """How the supervisor stands: the state, a short reason that is always worded alike, its detail, and since when (s).

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
    """What an operator's request came to: whether it was accepted, and one sentence for the operator."""

    accepted: bool
    message: str
