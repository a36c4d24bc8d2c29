"""The numbers that matter of a run, as text: the terminal's table and the top of the report are made of these."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from act_inference_ros.evaluation.episodes.closed_loop import CONTROL_RATE
from act_inference_ros.evaluation.results import (
    ErrorStatistics,
    EvaluationResult,
    Metrics,
    SimulationResult,
    SmoothnessStatistics,
    TimeStatistics,
    pooled,
)

DEMONSTRATION = "demonstration"
"""What the operator did, in place of a way of merging."""

NOTHING = "-"
"""For a number that does not exist."""


@dataclass(frozen=True)
class Number:
    """One of the numbers: `value` with its `unit`, and a `hint` that says what it is made of."""

    name: str
    value: str
    unit: str = ""
    hint: str = ""


def numbers(result: EvaluationResult) -> list[Number]:
    """The most important first."""
    of_simulation = _of_simulation(result.simulation) if result.simulation else []
    return of_simulation + (_of_bags(result, result.total) if result.total else [])


def rows(results: Sequence[EvaluationResult]) -> list[tuple[str, list[Number | None]]]:
    """Name -> each result's number of that name, or None; in the order of the first result that has it."""
    found = [{number.name: number for number in numbers(result)} for result in results]
    names = dict.fromkeys(name for each in found for name in each)
    return [(name, [each.get(name) for each in found]) for name in names]


def worst_joint(metrics: Metrics) -> tuple[str, ErrorStatistics] | None:
    """The joint with the largest mean error of the chunks, or None where nothing could be compared."""
    compared = {joint: error for joint, error in metrics.chunk_error.items() if error.count}
    return max(compared.items(), key=lambda item: item[1].mae_ros_units) if compared else None


def inference_time(result: EvaluationResult) -> TimeStatistics | None:
    """Of the bags, else of the simulated episodes."""
    if result.total is not None:
        return result.total.inference_time
    return result.simulation.inference_time if result.simulation is not None else None


def executed_smoothness(result: EvaluationResult) -> Mapping[str, SmoothnessStatistics]:
    """Joint -> how smooth what was executed is: with the configured way of merging, or in the simulator."""
    if result.total is not None:
        merged = result.total.by_merge.get(result.settings.merge)
        return {} if merged is None else merged.smoothness
    return {} if result.simulation is None else result.simulation.smoothness


def all_smoothness(result: EvaluationResult) -> dict[str, Mapping[str, SmoothnessStatistics]]:
    """Way of merging, or DEMONSTRATION -> joint -> statistics; what was executed first, what the operator did last."""
    found = {result.settings.merge: executed_smoothness(result)}
    if result.total is not None:
        found |= {merge: each.smoothness for merge, each in result.total.by_merge.items() if merge not in found}
        found[DEMONSTRATION] = result.total.demonstration
    return {what: joints for what, joints in found.items() if joints}


SMOOTHNESS_COLUMNS = (
    "seam jump",
    "largest step",
    "peak acceleration",
    "RMS jerk",
    "seams minus rest",
    "mean jerk",
    "SPARC",
)


def smoothness_figures(joint: SmoothnessStatistics) -> list[str]:
    """The figures of one joint, in the order of SMOOTHNESS_COLUMNS."""
    values = (
        joint.seam_jump_ros_units,
        joint.largest_step_ros_units,
        joint.peak_acceleration_ros_units_per_s2,
        joint.rms_jerk_ros_units_per_s3,
        joint.boundary_minus_interior_jerk_ros_units_per_s3,
        joint.mean_jerk_ros_units_per_s3,
        joint.sparc,
    )
    return [figure(value) for value in values]


def figure(value: float) -> str:
    """Three significant digits: `0.0123`, `12.3`, `1230`; a dash for what does not exist."""
    if not math.isfinite(value):
        return NOTHING
    if value == 0.0:
        return "0"
    return f"{value:.{max(0, min(6, 2 - math.floor(math.log10(abs(value)))))}f}"


def milliseconds(seconds: float) -> str:
    """A time span in ms, without the unit."""
    return figure(seconds * 1e3)


def _of_simulation(simulation: SimulationResult) -> list[Number]:
    n = len(simulation.episodes)
    lifted = [episode.steps / CONTROL_RATE for episode in simulation.episodes if episode.success]
    interval = f"{simulation.success_rate_low * 100:.0f} to {simulation.success_rate_high * 100:.0f} %"
    return [
        Number("Success", f"{simulation.successes}/{n}", hint=f"95 % interval of the rate: {interval}"),
        Number("Time to lift", figure(sum(lifted) / len(lifted) if lifted else math.nan), "s", "mean of the successes"),
        *_of_smoothness(simulation.smoothness, {}),
        _inference(simulation.inference_time),
        Number("Chunks", str(sum(episode.predictions for episode in simulation.episodes)), hint="predicted in all"),
    ]


def _of_bags(result: EvaluationResult, total: Metrics) -> list[Number]:
    worst, error = worst_joint(total), pooled(total.chunk_error)
    found = [Number("Mean error", figure(error.mae_ros_units), "rad, m", f"of {error.count:,} predicted positions")]
    if worst is not None:
        joint, largest = worst[0], _largest(total.chunk_error)
        found += [
            Number("Worst joint", figure(worst[1].mae_ros_units), "rad, m", f"{joint}, mean error"),
            Number("Largest error", figure(largest[1]), "rad, m", f"{largest[0]}, one position"),
        ]
    merged = total.by_merge.get(result.settings.merge)
    if merged is not None:
        executed = pooled(merged.executed)
        found.append(
            Number("Executed error", figure(executed.mae_ros_units), "rad, m", "mean, after merging and limits")
        )
        found += _of_smoothness(merged.smoothness, total.demonstration)
    refused, failed = sum(total.refused.values()), sum(total.failed_inferences.values())
    return [
        *found,
        _inference(total.inference_time),
        Number("Observation age", milliseconds(total.observation_age.p95_s), "ms", "95 %, when its chunk arrives"),
        Number("Chunks", str(total.chunks), hint=f"{refused} inputs refused, {failed} inferences failed"),
    ]


def _of_smoothness(
    motion: Mapping[str, SmoothnessStatistics], demonstration: Mapping[str, SmoothnessStatistics]
) -> list[Number]:
    """The worst joint's figures, and the operator's of the same joint."""

    def number(name: str, unit: str, value: Callable[[SmoothnessStatistics], float]) -> list[Number]:
        joint, largest = _largest_of(motion, lambda joint: value(motion[joint]))
        if not math.isfinite(largest):
            return []
        theirs = value(demonstration[joint]) if joint in demonstration else math.nan
        against = f"; the demonstration has {figure(theirs)}" if math.isfinite(theirs) else ""
        return [Number(name, figure(largest), unit, f"{joint}, the worst joint{against}")]

    return [
        *number("Jump at seams", "rad, m", lambda joint: joint.seam_jump_ros_units),
        *number("Peak acceleration", "rad/s², m/s²", lambda joint: joint.peak_acceleration_ros_units_per_s2),
        *number("RMS jerk", "rad/s³, m/s³", lambda joint: joint.rms_jerk_ros_units_per_s3),
    ]


def _inference(time: TimeStatistics) -> Number:
    hint = f"95 %; median {milliseconds(time.p50_s)}, longest {milliseconds(time.max_s)} ms"
    return Number("Inference time", milliseconds(time.p95_s), "ms", hint)


def _largest(errors: Mapping[str, ErrorStatistics]) -> tuple[str, float]:
    return _largest_of(errors, lambda joint: errors[joint].max_ros_units)


def _largest_of(names: Mapping[str, object], value: Callable[[str], float]) -> tuple[str, float]:
    finite = [(name, value(name)) for name in names if math.isfinite(value(name))]
    return max(finite, key=lambda pair: pair[1]) if finite else ("no joint", math.nan)
