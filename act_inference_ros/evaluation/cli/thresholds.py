"""The thresholds that set eval_policy's exit status."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass

from act_inference_ros.evaluation.report.summary import executed_smoothness, inference_time, worst_joint
from act_inference_ros.evaluation.results import FAILED, EpisodeResult, EvaluationResult, never_compared
from act_inference_ros.evaluation.runs import Run
from act_inference_ros.evaluation.statistics import SmoothnessStatistics


@dataclass(frozen=True)
class _SmoothnessBound:
    """A threshold for one smoothness figure of the executed motion."""

    option: str
    figure: str
    unit: str
    value: Callable[[SmoothnessStatistics], float]


_SMOOTHNESS = (
    _SmoothnessBound("max_jerk", "RMS jerk", "rad/s3 or m/s3", lambda joint: joint.rms_jerk_ros_units_per_s3),
    _SmoothnessBound(
        "max_acceleration", "peak acceleration", "rad/s2 or m/s2", lambda each: each.peak_acceleration_ros_units_per_s2
    ),
    _SmoothnessBound("max_seam_jump", "jump at seams", "rad or m", lambda joint: joint.seam_jump_ros_units),
)


def failed(run: Run) -> list[str]:
    """Return one line for each bag without any comparison."""
    return [
        f"{episode.name}: nothing of it could be compared"
        for episode in run.result.episodes
        if episode.status == FAILED
    ]


def unmet(run: Run, options: argparse.Namespace, named: bool = False) -> list[str]:
    """Return one line for each threshold that the run does not meet; a missing number meets no threshold."""
    found = [
        *_error(run.result, options.max_error),
        *_success(run.result, options.min_success),
        *_latency(run.result, options.max_latency_p95),
        *(line for bound in _SMOOTHNESS for line in _smoothness(run.result, bound, getattr(options, bound.option))),
    ]
    return [f"{run.label}: {line}" for line in found] if named else found


def _error(result: EvaluationResult, most: float | None) -> list[str]:
    if most is None:
        return []
    worst = worst_joint(result.total) if result.total is not None else None
    if worst is None:
        return [f"--max-error {most:g}: nothing could be compared"]
    if blind := [line for episode in result.episodes for line in _not_compared(episode)]:
        return [f"--max-error {most:g}: {line}" for line in blind]
    if flattered := [line for episode in result.episodes for line in _flattered(episode)]:
        return [f"--max-error {most:g}: {line}" for line in flattered]
    joint, error = worst
    if error.mae_ros_units <= most:
        return []
    return [f"--max-error {most:g}: the mean error of {joint} is {error.mae_ros_units:.4g} (rad or m)"]


def _not_compared(episode: EpisodeResult) -> list[str]:
    """Return the parts of an episode whose error is unknown and may have any size."""
    never = never_compared(episode.metrics)
    return [f"{', '.join(never)} could not be compared in {episode.name}"] if never else []


def _flattered(episode: EpisodeResult) -> list[str]:
    """Return a line if commands of a policy may be part of the truth, because the policy then looks too good."""
    if not episode.flattering_s:
        return []
    return [f"for {episode.flattering_s:.1f} s the truth of {episode.name} may be a policy's own commands"]


def _success(result: EvaluationResult, least: float | None) -> list[str]:
    if least is None or result.simulation is None:
        return []
    rate = result.simulation.success_rate
    if math.isfinite(rate) and rate >= least:
        return []
    return [f"--min-success {least:g}: {result.simulation.successes} of {len(result.simulation.episodes)} episodes"]


def _latency(result: EvaluationResult, most: float | None) -> list[str]:
    if most is None:
        return []
    time = inference_time(result)
    p95_s = math.nan if time is None else time.p95_s
    if p95_s <= most:
        return []
    return [f"--max-latency-p95 {most:g}: the 95th percentile of the inference time is {p95_s:.4g} s"]


def _smoothness(result: EvaluationResult, bound: _SmoothnessBound, most: float | None) -> list[str]:
    if most is None:
        return []
    asked = f"--{bound.option.replace('_', '-')} {most:g}"
    figures = {joint: bound.value(each) for joint, each in executed_smoothness(result).items()}
    unknown = [joint for joint, value in figures.items() if not math.isfinite(value)]
    if not unknown and (unmoved := [line for episode in result.episodes for line in _not_executed(episode, result)]):
        return [f"{asked}: {line}" for line in unmoved]
    if unknown or not figures:
        return [f"{asked}: the {bound.figure} of {', '.join(unknown) or 'every joint'} could not be judged"]
    joint, worst = max(figures.items(), key=lambda item: item[1])
    return [f"{asked}: the {bound.figure} of {joint} is {worst:.4g} ({bound.unit})"] if worst > most else []


def _not_executed(episode: EpisodeResult, result: EvaluationResult) -> list[str]:
    """Return the joints of an episode that got no commands, so that their smoothness is unknown."""
    merged = episode.metrics.by_merge.get(result.settings.merge)
    smoothness = merged.smoothness if merged is not None else {}
    still = [joint for joint, each in smoothness.items() if not math.isfinite(each.largest_step_ros_units)]
    return [f"nothing was executed for {', '.join(still)} in {episode.name}"] if still or not smoothness else []
