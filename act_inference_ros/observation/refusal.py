"""Why a message or an observation was refused: a reason from one table, the input concerned, and the detail."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from act_inference_ros.errors import ObservationError


class Reason(str, Enum):
    """The reasons for which an input is refused; diagnostics and reports count by these values."""

    MISSING = "missing"
    """No usable message has come on this input yet."""
    STALE = "stale"
    """The newest message is older than max_age."""
    SKEW = "skew"
    """The available inputs lie further apart than max_skew."""
    UNSTAMPED = "unstamped"
    """The header's stamp is zero, with stamps: header."""
    FUTURE = "future"
    """Stamped later than now by more than max_skew: the clocks of two machines differ, or the clock jumped back."""
    OUT_OF_ORDER = "out of order"
    """Older than the newest message of this input."""
    INVALID = "invalid"
    """Not what the policy reads: encoding, size, joints, length or a non-finite number."""
    TWICE = "published twice"
    """A joint came on two topics with joint states, so the right value is unknown."""
    STUCK = "stuck"
    """The same pixels under new stamps for longer than max_still, with stuck: hold."""
    UNDECODABLE = "undecodable"
    """It seemed valid on arrival, but its pixels cannot be decoded."""


@dataclass(frozen=True)
class Refusal:
    """What was refused: the reason, the input (`top`, `state`, ...), and what was expected and what came."""

    reason: Reason
    input: str
    detail: str

    @property
    def label(self) -> str:
        """The key for counting refusals, like `stale: top`."""
        return f"{self.reason.value}: {self.input}"

    def __str__(self) -> str:
        return f"{self.label}: {self.detail}"


class ObservationRefused(ObservationError):
    """No observation can be taken; `refusal` says why, `reason` and `input` come from it."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal

    @property
    def reason(self) -> Reason:
        """The reason from the table."""
        return self.refusal.reason

    @property
    def input(self) -> str:
        """The input that the refusal concerns."""
        return self.refusal.input
