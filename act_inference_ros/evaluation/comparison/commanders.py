"""Commanders: who commanded in an episode, which part of it is the truth, and the messages to people about that."""

from __future__ import annotations

from collections.abc import Mapping

from act_inference_ros.evaluation.comparison.operators_truth import OperatorsTruth
from act_inference_ros.evaluation.comparison.truth import Truth
from act_inference_ros.evaluation.comparison.who_commanded import (
    NOBODY,
    OPERATOR,
    UNKNOWN,
    Commanded,
    Shares,
    shares_text,
)
from act_inference_ros.robot.configuration import RobotConfiguration


class Commanders:
    """Without `follow` and `unseen` there is no sign of a policy: all commands are the operator's.

    With `only_operator`, only the operator's commands are the truth. Times are s on the episode's clock.
    """

    def __init__(self, only_operator: bool) -> None:
        self.who: Commanded | None = None
        self._only_operator = only_operator
        self._shares: Shares | None = None
        self._told_by = ""
        self._unseen_s = 0.0

    def follow(self, who: Commanded, told_by: str, start_s: float) -> None:
        """Use `who`, which knows who commands from `start_s` on; `told_by` is the name of its source."""
        self.who, self._told_by, self._shares = who, told_by, Shares(who, start_s)

    def unseen(self, topic: str, duration_s: float) -> None:
        """Note that a policy ran in some part of `duration_s`, as `topic` shows, at unknown times."""
        self._told_by, self._unseen_s = topic, duration_s

    def truth(self, configuration: RobotConfiguration, sources: Mapping[str, str]) -> Truth:
        """Return the truth of the episode."""
        if self.who is None or not self._only_operator:
            return Truth(configuration, sources, self.who)
        return OperatorsTruth(configuration, sources, self.who)

    def count(self, until: float) -> None:
        """Count the shares up to `until`; all messages about that time have come."""
        if self._shares is not None:
            self._shares.advance(until)

    def jump_back(self, before: float, now: float) -> None:
        """Handle a clock that was set back from `before` to `now`."""
        if self._shares is not None:
            self._shares.advance(before)
            self._shares.restart(now)

    @property
    def seconds(self) -> Mapping[str, float]:
        """Return who -> seconds of commanding; empty without a sign of a policy."""
        if self._unseen_s:
            return {UNKNOWN: self._unseen_s}
        return {} if self._shares is None else self._shares.seconds

    @property
    def flattering_s(self) -> float:
        """Return the seconds of the possible truth in which another than the operator may have commanded."""
        if self.who is not None and self._only_operator:
            return 0.0
        return 0.0 + sum(time for word, time in self.seconds.items() if word not in (OPERATOR, NOBODY))

    @property
    def reasons(self) -> list[str]:
        """Return why the numbers may be too good for the policy."""
        if self._unseen_s:
            return [f"a policy ran ({self._told_by}), its ~/status was not recorded: the truth may be its own commands"]
        if not self.flattering_s:
            return []
        return [f"for {self.flattering_s:.1f} s the truth is not the operator's: a policy's own commands flatter it"]

    @property
    def notes(self) -> list[str]:
        """Return further notes."""
        if self._shares is None or not self._shares.seconds:
            return []
        compared = "; compared is only what the operator commanded" if self._only_operator else ""
        return [f"commanded: {shares_text(self._shares.seconds)}, as {self._told_by} says{compared}"]

    @property
    def or_not_the_operators(self) -> str:
        """Return an addition to messages that the truth is unknown."""
        return ", or not the operator's" if self.who is not None and self._only_operator else ""
