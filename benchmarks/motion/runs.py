"""Runs of scenarios: each way of sending on each controller, and the results, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from act_inference_ros.control.limiter.limiter import OFFSET_S
from act_inference_ros.interfaces import BLEND, TEMPORAL_ENSEMBLE
from act_inference_ros.simulation.trajectory_controller import DISTROS
from benchmarks.motion import demands
from benchmarks.motion.figures import (
    SETTLED_S,
    SHARES,
    Figures,
    figures_since,
    ideal_figures,
    largest_at_s,
    responses,
)
from benchmarks.motion.ours import Ours
from benchmarks.motion.plan import SmoothPlan, SteppingPlan
from benchmarks.motion.robot import Recording, Robot, Setup
from benchmarks.motion.scenarios import Scenario
from benchmarks.motion.senders import LEAD_S, OnePoint, Overlapping, Queue, Sender, StampedAhead

OURS, BASELINE = "ours", "stamped ahead"
FORMS: Mapping[str, Callable[[Scenario], Sender]] = {
    OURS: Ours,
    BASELINE: StampedAhead,
    "one point": OnePoint,
    "queue": Queue,
    "overlap": Overlapping,
}
"""Name of a way of sending -> its sender."""
DEFAULT_SETUPS = tuple(Setup(distro) for distro in DISTROS.values())
ALL_SETUPS = tuple(Setup(distro, wish) for wish in (False, True) for distro in DISTROS.values())
PLAIN, FAULT, GUARD, REACTION = "plain", "fault", "guard", "reaction"
"""Groups of scenarios, each with its own demands."""

STEPS, STEP_SIZE, STEP_GAP_S = 12, 0.05, 1.7
"""A reaction is measured at this number of steps of the target, of this size (rad), at least this far apart (s)."""
BLEND_TIME_S = 0.2
"""The default of blend_time."""


@dataclass(frozen=True)
class Outcome:
    """One run: where, how, its figures and those of the plan, the demands that it misses, and why the arm was held.

    `step_at_s` and `acceleration_at_s` say when the largest of either was, s after the beginning.
    """

    group: str
    scenario: str
    setup: str
    form: str
    figures: Figures
    ideal: Figures
    failures: tuple[str, ...]
    holds: dict[str, int]
    step_at_s: float
    acceleration_at_s: float


@dataclass(frozen=True)
class Reaction:
    """The delay after a step of the target, ms: the mean of `setpoint` and `arm`, and the worst, for each of SHARES.

    `bound` is the expected mean at half the way; nan if none can be computed.
    """

    scenario: str
    setup: str
    form: str
    setpoint: tuple[float, ...]
    setpoint_worst: tuple[float, ...]
    arm: tuple[float, ...]
    arm_worst: tuple[float, ...]
    bound: float
    step_mrad: float
    peak_acceleration: float


def outcomes(group: str, scenario: Scenario, setups: Sequence[Setup], forms: Sequence[str]) -> list[Outcome]:
    """Run a scenario on each of `setups` in each of `forms`."""
    plan = SmoothPlan(scenario.seed, 0.0)
    begin = SETTLED_S if group == PLAIN else 0.0
    found = []
    for setup in setups:
        recordings = {form: record(scenario, setup, form) for form in {*forms, BASELINE}}
        figures = {form: figures_since(each, begin, plan) for form, each in recordings.items()}
        ideal = ideal_figures(recordings[BASELINE], begin, plan)
        for form in forms:
            failures = _failures(group, figures[form], ideal, None if setup.from_last_command else figures[BASELINE])
            failures += [f"refused: {reason}" for reason in dict.fromkeys(recordings[form].refused)]
            holds = recordings[form].holds
            failures += [f"held: {reason}" for reason in (holds if group == PLAIN else ())]
            found.append(
                Outcome(
                    group,
                    scenario.label,
                    setup.label,
                    form,
                    figures[form],
                    ideal,
                    tuple(failures),
                    holds,
                    step_at_s=largest_at_s(recordings[form], begin, order=1),
                    acceleration_at_s=largest_at_s(recordings[form], begin, order=2),
                )
            )
    return found


def record(scenario: Scenario, setup: Setup, form: str) -> Recording:
    """Run a scenario with the smooth plan."""
    return Robot(scenario, setup, SmoothPlan(scenario.seed, scenario.noise), FORMS[form]).run()


def reactions(scenario: Scenario, setups: Sequence[Setup], forms: Sequence[str]) -> list[Reaction]:
    """Run a scenario in which the target steps now and then."""
    plan = stepping_plan(scenario)
    scenario = replace(scenario, duration_s=float(plan.events[-1]) + STEP_GAP_S)
    found = []
    for setup in setups:
        for form in forms:
            recording = Robot(scenario, setup, plan, FORMS[form]).run()
            bound = float(np.mean(recording.latencies)) + expected_wait_s(scenario)
            answers = {
                name: responses(motion, recording.times, plan) * 1e3
                for name, motion in (("setpoint", recording.setpoints), ("arm", recording.positions))
            }
            figures = figures_since(recording, 0.0, plan)
            found.append(
                Reaction(
                    scenario.label,
                    setup.label,
                    form,
                    setpoint=_columns(np.nanmean, answers["setpoint"]),
                    setpoint_worst=_columns(np.nanmax, answers["setpoint"]),
                    arm=_columns(np.nanmean, answers["arm"]),
                    arm_worst=_columns(np.nanmax, answers["arm"]),
                    bound=bound * 1e3,
                    step_mrad=figures.step_mrad,
                    peak_acceleration=figures.peak_acceleration,
                )
            )
    return found


def stepping_plan(scenario: Scenario) -> SteppingPlan:
    """Steps at all phases of the interval between two observations alike, in a random order.

    Observations are taken at multiples of the interval, so the mean wait for one is half an interval, without the
    chance of a few random phases.
    """
    phases = np.random.default_rng(scenario.seed + 2).permutation(np.arange(STEPS) + 0.5) / STEPS
    intervals = np.ceil(STEP_GAP_S / scenario.interval_s) + 1.0
    return SteppingPlan((intervals * np.arange(1, STEPS + 1) + phases) * scenario.interval_s, STEP_SIZE)


def expected_wait_s(scenario: Scenario) -> float:
    """The expected mean time from a step until our setpoint is half the way, without the latency, s; nan if unknown.

    It is the sum of half an interval (until an observation shows the step), half of the longer of two times (the fade
    between chunks, and the decay of the offset), and the lead. For an ensemble it is unknown.
    """
    if scenario.merge == TEMPORAL_ENSEMBLE:
        return float("nan")
    fade = BLEND_TIME_S if scenario.merge == BLEND else 0.0
    return scenario.interval_s / 2.0 + max(fade, OFFSET_S) / 2.0 + LEAD_S


def _failures(group: str, figures: Figures, ideal: Figures, baseline: Figures | None) -> list[str]:
    if group == PLAIN:
        return demands.plain_failures(figures, ideal, baseline)
    return demands.fault_failures(figures) if group == FAULT else demands.guard_failures(figures)


def _columns(function: Callable[..., Any], answers: Any) -> tuple[float, ...]:
    known = [column[np.isfinite(column)] for column in answers.T]
    return tuple(float(function(column)) if len(column) else float("nan") for column in known)


assert len(SHARES) == 2, "the tables have a column for each"
