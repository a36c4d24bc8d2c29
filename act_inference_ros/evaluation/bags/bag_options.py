"""Options for the evaluation of bags, and its progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.bags.recording import TRUTHS
from act_inference_ros.evaluation.comparison.who_commanded import OPERATOR
from act_inference_ros.interfaces import MERGES

ANYONE = "anyone"
COMMANDED_BY = (OPERATOR, ANYONE)
"""Whose commands a policy is compared with."""
CONFIGURED, ALL = "configured", "all"
MERGED_BY = (CONFIGURED, ALL)
"""With which ways of merging the plan is executed: that of the parameter file, or each."""


@dataclass(frozen=True)
class EvaluationOptions:
    """How to evaluate bags.

    `truth`: auto (commands where they were recorded, else the joint states that followed), commands or state.
    `latency_s`: from an observation being taken to its chunk arriving, 0 by default so that a result does not depend on
    the machine; None for the wall time that `predict` took. `stride`: of the observations the node would take every
    n-th is used. `limit_s`: only this much of each bag; None for all of it. `commanded_by`: operator (in a policy's run
    only the operator's commands are the truth) or anyone. `status_topic`: the topic on which the policy node says who
    commands, if the bags have several such topics. `unmarked`: operator if a person commanded in bags that do not say
    so although a policy ran. `merges`: configured (the plan is executed with the parameters' merge) or all (also with
    each other merge, for comparison). Raises ConfigurationError for invalid values.
    """

    truth: str = "auto"
    latency_s: float | None = 0.0
    stride: int = 1
    limit_s: float | None = None
    commanded_by: str = OPERATOR
    status_topic: str = ""
    unmarked: str = ""
    merges: str = CONFIGURED

    def __post_init__(self) -> None:
        if self.truth not in TRUTHS:
            raise ConfigurationError(f"truth: expected one of {', '.join(TRUTHS)}, got {self.truth!r}")
        if self.commanded_by not in COMMANDED_BY:
            raise ConfigurationError(f"expected commands of {' or '.join(COMMANDED_BY)}, got {self.commanded_by!r}")
        if self.merges not in MERGED_BY:
            raise ConfigurationError(f"merges: expected {' or '.join(MERGED_BY)}, got {self.merges!r}")
        if self.latency_s is not None and not 0.0 <= self.latency_s <= 60.0:
            raise ConfigurationError(f"latency: expected 0 to 60 s, got {self.latency_s}")
        if self.stride < 1 or (self.limit_s is not None and not self.limit_s > 0.0):
            raise ConfigurationError(f"expected a stride from 1 and a limit above 0 s: {self.stride}, {self.limit_s}")

    def ways_of_merging(self, configured: str) -> tuple[str, ...]:
        """Return the merges with which the plan is executed; `configured` is the parameters' merge."""
        return MERGES if self.merges == ALL else (configured,)

    @property
    def latency_text(self) -> str:
        """The latency in the form of RunSettings."""
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


def within(progress: Callable[[BagProgress], None], begun: BagProgress) -> Callable[[float, float], None]:
    """Return a function that reports an episode's fraction and speed to `progress`, based on `begun`."""

    def report(fraction: float, speed: float) -> None:
        progress(replace(begun, fraction=fraction, speed=speed))

    return report
