"""evaluate_in_turn: evaluates episodes from any source one after the other to an EvaluationResult."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from act_inference_ros.evaluation.bags.bag_options import BagProgress, within
from act_inference_ros.evaluation.metrics.tally import Tally
from act_inference_ros.evaluation.results import COMPLETE, FAILED, PARTIAL, EpisodeResult, EvaluationResult
from act_inference_ros.evaluation.run_settings import RunSettings
from act_inference_ros.evaluation.watch import EpisodeWatch, WatchEpisode
from act_inference_ros.observation.refusal import Reason

_LOSSES = (Reason.INVALID, Reason.UNDECODABLE, Reason.UNSTAMPED, Reason.FUTURE, Reason.OUT_OF_ORDER, Reason.TWICE)
"""Refusals of messages: their data is missing from the numbers. (The node has stale or missing inputs, too.)"""


class EpisodeEvaluation(Protocol):
    """The evaluation of one episode."""

    tally: Tally
    """Has its numbers after `run`."""

    def run(self, report: Callable[[float, float], None], stopped: Callable[[], bool]) -> EpisodeResult:
        """Evaluate it. `report` gets the progress (0..1) and the speed, seconds of the episode per second."""


Begin = Callable[[EpisodeWatch], EpisodeEvaluation]
"""Begins the evaluation of an episode, which the watch follows."""


def evaluate_in_turn(
    episodes: Sequence[tuple[str, Begin]],
    unit: str,
    total: Tally,
    settings: RunSettings,
    progress: Callable[[BagProgress], None],
    stopped: Callable[[], bool],
    watch: WatchEpisode,
) -> EvaluationResult:
    """Evaluate the episodes, each with its name; `unit` is the plural noun for them, such as `bags`.

    `total` collects the numbers of all episodes. Once `stopped` is true, the result so far is returned as partial.
    """
    results: list[EpisodeResult] = []
    reasons: tuple[str, ...] = ()
    for index, (name, begin) in enumerate(episodes):
        if stopped():
            reasons = (f"interrupted: {len(episodes) - index} of {len(episodes)} {unit} were not evaluated",)
            break
        with watch(name) as watching:
            evaluation = begin(watching)
            report = within(progress, BagProgress(index, len(episodes), name, 0.0, 0.0))
            results.append(evaluation.run(report, stopped))
        total.merge(evaluation.tally)
    status = _worst_status([result.status for result in results], bool(reasons))
    return EvaluationResult(settings, status, reasons, tuple(results), total.metrics())


def losses(tally: Tally) -> list[str]:
    """Return the refused data that is missing from the numbers, each kind with its count and an example."""
    return [
        f"{label} ({count} times): {tally.refused_examples[label]}"
        for label, count in tally.refused.items()
        if is_loss(label)
    ]


def is_loss(label: str) -> bool:
    """Whether the refusals with this label are reported as losses."""
    return label.startswith(tuple(reason.value for reason in _LOSSES))


def _worst_status(statuses: Sequence[str], interrupted: bool) -> str:
    """Return the status of a run from the statuses of its episodes."""
    if statuses and all(status == FAILED for status in statuses) and not interrupted:
        return FAILED
    return PARTIAL if interrupted or any(status != COMPLETE for status in statuses) else COMPLETE
