"""Tally: all running sums of one episode, or of all of them; becomes `results.Metrics`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from act_inference_ros.evaluation.metrics.findings import SystematicDifferences
from act_inference_ros.evaluation.metrics.response import ResponseSums
from act_inference_ros.evaluation.metrics.running_sums import Distribution, ErrorSums, LimitCounts
from act_inference_ros.evaluation.metrics.shift import ShiftSums, shift_finding
from act_inference_ros.evaluation.metrics.smoothness import SmoothnessSums
from act_inference_ros.evaluation.results import Finding, MergeResult, Metrics
from act_inference_ros.evaluation.statistics import SETPOINT_PERIOD_S, SPARC_STRETCH_S, ShiftedError
from act_inference_ros.interfaces import MERGES


class MergeTally:
    """One way of merging."""

    def __init__(self, joints: int) -> None:
        self.executed = ErrorSums(joints)
        self.smoothness = setpoint_sums(joints)
        self.limits = LimitCounts(joints)

    def merge(self, other: MergeTally) -> None:
        """Add all that `other` has."""
        self.executed.merge(other.executed)
        self.smoothness.merge(other.smoothness)
        self.limits.merge(other.limits)


class Tally:
    """Filled by `PolicyReplay` and `TruthComparison`.

    `comparable` counts the rows of the chunks that are for an instant of the recording. `merges` are the ways of
    merging with which the plan is executed; `by_merge` has an entry for each.
    """

    def __init__(self, joints: Sequence[str], chunk_size: int, fps: float, merges: Sequence[str] = MERGES) -> None:
        self.joints = tuple(joints)
        self._fps = fps
        n = len(self.joints)
        self.observations = 0
        self.chunks = 0
        self.comparable = 0
        self.horizon = ErrorSums(chunk_size, n)
        self.shift = ShiftSums(n)
        self.response = ResponseSums(chunk_size, n)
        self.by_merge = {merge: MergeTally(n) for merge in merges}
        self.demonstration = setpoint_sums(n)
        self.differences = SystematicDifferences(n, fps)
        self.inference = Distribution()
        self.age = Distribution()
        self.skew = Distribution()
        self.refused: Counter[str] = Counter()
        self.refused_examples: dict[str, str] = {}
        self.failures: Counter[str] = Counter()
        self.holds: Counter[str] = Counter()

    def merge(self, other: Tally) -> None:
        """Add all that `other`, of the same joints and policy, has."""
        self.observations += other.observations
        self.chunks += other.chunks
        self.comparable += other.comparable
        self.horizon.merge(other.horizon)
        self.shift.merge(other.shift)
        self.response.merge(other.response)
        for merge, tally in self.by_merge.items():
            tally.merge(other.by_merge[merge])
        self.demonstration.merge(other.demonstration)
        self.differences.merge(other.differences)
        for name in ("inference", "age", "skew"):
            getattr(self, name).merge(getattr(other, name))
        for name in ("refused", "failures", "holds"):
            getattr(self, name).update(getattr(other, name))
        self.refused_examples = {**other.refused_examples, **self.refused_examples}

    def refuse(self, label: str, detail: str) -> None:
        """Count refused data; the first detail of each label is kept."""
        self.refused[label] += 1
        self.refused_examples.setdefault(label, detail)

    def metrics(self) -> Metrics:
        """The numbers so far."""
        shift = self.shift.result(self.joints)
        return Metrics(
            observations=self.observations,
            chunks=self.chunks,
            chunk_error=self.horizon.summed().statistics(self.joints),
            shift=shift,
            horizon_error=self.horizon.horizon(self.joints),
            by_merge={
                merge: MergeResult(
                    executed=tally.executed.statistics(self.joints),
                    smoothness=tally.smoothness.statistics(self.joints),
                    limits=tally.limits.statistics(self.joints),
                )
                for merge, tally in self.by_merge.items()
            },
            demonstration=self.demonstration.statistics(self.joints),
            inference_time=self.inference.statistics(),
            observation_age=self.age.statistics(),
            observation_skew=self.skew.statistics(),
            refused=dict(self.refused),
            refused_examples=self.refused_examples,
            failed_inferences=dict(self.failures),
            holds=dict(self.holds),
            findings=self._findings(shift),
        )

    def _findings(self, shift: ShiftedError) -> tuple[Finding, ...]:
        """Return the findings; those about the whole recording or the policy come first and replace those per joint."""
        found = self.differences.findings(self.joints)
        scaled = {joint for each in found if each.kind == "scale" for joint in each.joints}
        whole, unresponsive = shift_finding(shift, self._fps), self.response.finding(self.joints, scaled)
        if whole is not None:
            found = tuple(each for each in found if each.kind != "delay" or each.value != whole.value)
        if unresponsive is not None:
            found = tuple(each for each in found if not set(each.joints) & set(unresponsive.joints))
        return (*(each for each in (whole, unresponsive) if each is not None), *found)


def setpoint_sums(joints: int) -> SmoothnessSums:
    """Return sums for setpoints with this package's sampling period."""
    return SmoothnessSums(joints, SETPOINT_PERIOD_S, SPARC_STRETCH_S)
