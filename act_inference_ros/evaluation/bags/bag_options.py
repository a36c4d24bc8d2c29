"""How to evaluate bags, and how far that is."""

from __future__ import annotations

from dataclasses import dataclass

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.bags.recording import TRUTHS


@dataclass(frozen=True)
class EvaluationOptions:
    """How to evaluate bags.

    `truth`: auto (commands where they were recorded, else the joint states that followed), commands or state.
    `latency_s`: from an observation being taken to its chunk arriving, 0 by default so that a result does not depend on
    the machine; None for the wall time that `predict` took. `stride`: of the observations the node would take every
    n-th is used. `limit_s`: only so much of each bag; None for all of it. Raises ConfigurationError for nonsense.
    """

    truth: str = "auto"
    latency_s: float | None = 0.0
    stride: int = 1
    limit_s: float | None = None

    def __post_init__(self) -> None:
        if self.truth not in TRUTHS:
            raise ConfigurationError(f"truth: expected one of {', '.join(TRUTHS)}, got {self.truth!r}")
        if self.latency_s is not None and not 0.0 <= self.latency_s <= 60.0:
            raise ConfigurationError(f"latency: expected 0 to 60 s, got {self.latency_s}")
        if self.stride < 1 or (self.limit_s is not None and not self.limit_s > 0.0):
            raise ConfigurationError(f"expected a stride from 1 and a limit above 0 s: {self.stride}, {self.limit_s}")

    @property
    def latency_text(self) -> str:
        """As RunSettings has it."""
        return "measured" if self.latency_s is None else f"{self.latency_s:g}"


@dataclass(frozen=True)
class BagProgress:
    """Episode `index` (from 0) of `episodes`, called `name`, is done to `fraction` (0..1).

    `speed` is seconds of the bag per second.
    """

    index: int
    episodes: int
    name: str
    fraction: float
    speed: float
