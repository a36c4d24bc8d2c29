"""One evaluated run for report and table: the result, and data of simulated episodes that only this process has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from act_inference_ros.evaluation.episodes.closed_loop import Episode
from act_inference_ros.evaluation.metrics.tally import setpoint_sums
from act_inference_ros.evaluation.results import COMPLETE, PARTIAL, EvaluationResult, SimulatedEpisode, SimulationResult
from act_inference_ros.evaluation.run_settings import RunSettings
from act_inference_ros.evaluation.statistics import SmoothnessStatistics, TimeStatistics
from act_inference_ros.simulation.success import wilson_interval


@dataclass(frozen=True)
class Film:
    """A GIF of an episode."""

    caption: str
    gif: bytes


@dataclass(frozen=True)
class Run:
    """A result with a label that distinguishes it (`local`, `triton`, a folder), and episodes of this process.

    `episodes` and `films` are empty for bags, and for a run that was read from a metrics.json.
    """

    label: str
    result: EvaluationResult
    episodes: tuple[Episode, ...] = ()
    films: tuple[Film, ...] = ()


def simulation_result(settings: RunSettings, episodes: Sequence[Episode], wanted: int) -> EvaluationResult:
    """The result of simulated episodes; partial if there are fewer than wanted. Interrupted ones do not count."""
    finished = [episode for episode in episodes if not episode.interrupted]
    successes = sum(episode.success for episode in finished)
    low, high = wilson_interval(successes, len(finished))
    simulation = SimulationResult(
        episodes=tuple(
            SimulatedEpisode(
                seed=episode.seed + episode.index,
                success=episode.success,
                steps=len(episode.times),
                predictions=len(episode.chunks),
                cube_height_m=episode.cube_height_m[-1] if episode.cube_height_m else 0.0,
                commanded_steps=episode.commanded_steps,
                holds=dict(episode.holds),
                largest_deviation=dict(episode.largest_deviation),
                smoothness=_smoothness([episode]),
            )
            for episode in finished
        ),
        successes=successes,
        success_rate=successes / len(finished) if finished else math.nan,
        success_rate_low=low,
        success_rate_high=high,
        inference_time=time_statistics([chunk.inference_s for each in finished for chunk in each.chunks]),
        smoothness=_smoothness(finished),
    )
    if len(finished) < wanted:
        reasons = (f"interrupted after {len(finished)} of {wanted} episodes",)
        return EvaluationResult(settings, PARTIAL, reasons, simulation=simulation)
    return EvaluationResult(settings, COMPLETE, simulation=simulation)


def _smoothness(episodes: Sequence[Episode]) -> dict[str, SmoothnessStatistics]:
    """Of all these episodes together, joint -> statistics."""
    judged = [(episode.joints, episode.smoothness) for episode in episodes if episode.smoothness is not None]
    if not judged:
        return {}
    joints = judged[0][0]
    sums = setpoint_sums(len(joints))
    for _, each in judged:
        sums.merge(each)
    return sums.statistics(joints)


def time_statistics(seconds: Sequence[float]) -> TimeStatistics:
    """Mean and percentiles of spans in s; nan where there are none."""
    if not seconds:
        return TimeStatistics(0, *[math.nan] * 5)
    values = np.asarray(seconds)
    p50, p95, p99 = (float(value) for value in np.percentile(values, (50, 95, 99)))
    return TimeStatistics(len(values), float(values.mean()), p50, p95, p99, float(values.max()))
