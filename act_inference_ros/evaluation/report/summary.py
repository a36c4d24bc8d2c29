"""The most important numbers of a run, as text, for the terminal's table and the top of the report."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from act_inference_ros.evaluation.episodes.closed_loop import CONTROL_RATE
from act_inference_ros.evaluation.results import EvaluationResult, Metrics, SimulationResult
from act_inference_ros.evaluation.statistics import (
    ErrorStatistics,
    LimitStatistics,
    ShiftedError,
    SmoothnessStatistics,
    TimeStatistics,
    pooled,
)

DEMONSTRATION = "demonstration"
"""The operator's motion, used like the name of a merge."""

TOLD = 20
"""Most different reasons, or notes, that are printed; there may be hundreds of episodes."""

NOTHING = "-"
"""Shown for a number that does not exist."""


@dataclass(frozen=True)
class Number:
    """One number: `value` with its `unit`, and a `hint` that explains it."""

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


def of_episodes(told: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """Return the texts of episodes, given as (name, texts): each text once, after the names of its episodes.

    At most TOLD lines, and one with the number of further texts.
    """
    names: dict[str, list[str]] = {}
    for name, texts in told:
        for text in texts:
            names.setdefault(text, []).append(name)
    lines = [f"{who[0]}{f' and {len(who) - 1} more' if len(who) > 1 else ''}: {text}" for text, who in names.items()]
    more = len(lines) - TOLD
    return lines if more <= 0 else [*lines[:TOLD], f"and {more} more, in metrics.json"]


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
    """Return joint -> smoothness of the executed motion: with the configured merge, or in the simulator."""
    if result.total is not None:
        merged = result.total.by_merge.get(result.settings.merge)
        return {} if merged is None else merged.smoothness
    return {} if result.simulation is None else result.simulation.smoothness


def all_smoothness(result: EvaluationResult) -> dict[str, Mapping[str, SmoothnessStatistics]]:
    """Return merge, or DEMONSTRATION -> joint -> statistics; the executed one first, the operator's motion last."""
    found = {result.settings.merge: executed_smoothness(result)}
    if result.total is not None:
        found |= {merge: each.smoothness for merge, each in result.total.by_merge.items() if merge not in found}
        found[DEMONSTRATION] = result.total.demonstration
    return {what: joints for what, joints in found.items() if any(map(_is_judged, joints.values()))}


def _is_judged(joint: SmoothnessStatistics) -> bool:
    return math.isfinite(joint.largest_step_ros_units)


SMOOTHNESS_COLUMNS = (
    "seam jump",
    "largest step",
    "peak acc.",
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


SEAM_COLUMNS = ("seam jump", "RMS jerk")
"""The two figures of smoothness that stand beside the error."""


def seam_figures(joint: SmoothnessStatistics | None) -> tuple[float, float]:
    """The figures of SEAM_COLUMNS; NaN where a joint was not judged."""
    return (joint.seam_jump_ros_units, joint.rms_jerk_ros_units_per_s3) if joint else (math.nan, math.nan)


MOST_DECIMALS = 6


def figure(value: float) -> str:
    """Three significant digits: `0.0123`, `12.3`, `1230`; a dash for what does not exist, 0 for what rounds to it."""
    if not math.isfinite(value):
        return NOTHING
    if round(value, MOST_DECIMALS) == 0.0:
        return "0"
    return f"{value:.{max(0, min(MOST_DECIMALS, 2 - math.floor(math.log10(abs(value)))))}f}"


ERROR_COLUMNS = ("mean", "shifted", "rms", "largest", "bias")


def error_figures(metrics: Metrics, joint: str) -> list[str]:
    """One joint's error of the raw chunks, in the order of ERROR_COLUMNS."""
    error = metrics.chunk_error[joint]
    shifted = metrics.shift.shifted[joint].mae_ros_units
    values = (error.mae_ros_units, shifted, error.rmse_ros_units, error.max_ros_units, error.bias_ros_units)
    return [figure(value) for value in values]


LIMIT_COLUMNS = ("clamped", "smoothed", "bridged")


def limit_shares(joint: LimitStatistics | None) -> list[str]:
    """The shares of LIMIT_COLUMNS in %."""
    if joint is None:
        return [NOTHING] * len(LIMIT_COLUMNS)
    parts = ((joint.clamped, joint.targets), (joint.smoothed, joint.commands), (joint.bridged, joint.commands))
    return [f"{100.0 * part / whole:.1f} %" if whole else NOTHING for part, whole in parts]


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
    found += _of_shift(total.shift)
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


def _of_shift(shift: ShiftedError) -> list[Number]:
    """The mean error at the best shift, beside that of the same positions at none."""
    error, without = pooled(shift.shifted), pooled(shift.unshifted)
    if not error.count:
        return []
    hint = "no shift by whole steps makes it smaller"
    if shift.steps:
        n = abs(shift.steps)
        when = f"{n} step{'s' * (n != 1)} {'later' if shift.steps > 0 else 'earlier'}"
        hint = f"mean, against the truth {when}; without a shift {figure(without.mae_ros_units)}"
    return [Number("Error at best shift", figure(error.mae_ros_units), "rad, m", hint)]


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
