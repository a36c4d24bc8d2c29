"""Figures of a setpoint, sampled at every cycle of its controller, and its delay after a step of the target."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np

from act_inference_ros.evaluation.metrics.smoothness import smoothness
from benchmarks.motion.plan import Plan, SteppingPlan
from benchmarks.motion.robot import PERIOD_S, Recording
from benchmarks.motion.senders import Floats

DELAYS_S = np.arange(-0.05, 0.45, PERIOD_S)
"""Candidate delays, among which the motion's best fit to the plan is searched."""
SETTLED_S = 1.5
"""Plain scenarios are judged from this time on; the beginning has a separate scenario."""
SHARES = (0.05, 0.5)
"""The delay after a step of the target is measured at these shares of the way."""


@dataclass(frozen=True)
class Figures:
    """The figures of `smoothness` for the worst joint of a setpoint, and the setpoint's distance from the ideal plan.

    `step_mrad` is the largest step from one cycle to the next and `seam_mrad` the largest where a chunk came, mrad;
    `peak_velocity` rad/s and `peak_acceleration` rad/s2 are by differences; `rms_jerk` is over all joints, rad/s3;
    `seam_jerk` is by how much it is higher where a chunk came, rad/s3; `mean_jerk` is the fitted one, rad/s3;
    `sparc` is the spectral arc length. `error_mrad` is the RMS distance from the ideal plan, and `delay_ms` the delay
    by which the setpoint fits the plan best.
    """

    step_mrad: float
    seam_mrad: float
    peak_velocity: float
    peak_acceleration: float
    rms_jerk: float
    seam_jerk: float
    mean_jerk: float
    sparc: float
    error_mrad: float
    delay_ms: float

    def as_dict(self) -> dict[str, float | None]:
        """For JSON, which has no NaN."""
        return {name: round(value, 4) if math.isfinite(value) else None for name, value in asdict(self).items()}


NAMES = tuple(field.name for field in fields(Figures))


def figures_of(setpoints: Floats, times: Floats, plan: Plan, seams: Sequence[int] = ()) -> Figures:
    """The figures of `setpoints` (n, joints), rad, at `times` (n,), which are PERIOD_S apart.

    `seams` are the indices of the first samples after a chunk came.
    """
    found = smoothness(setpoints, PERIOD_S, seams)
    step = float(found.largest_step.max())
    return Figures(
        step_mrad=step * 1e3,
        seam_mrad=float(found.seam_jump.max()) * 1e3,
        peak_velocity=step / PERIOD_S,
        peak_acceleration=float(found.peak_acceleration.max()),
        rms_jerk=_rms(found.rms_jerk),
        seam_jerk=float(found.boundary_minus_interior_jerk.max()),
        mean_jerk=-_least(-found.mean_jerk),
        sparc=_least(found.sparc),
        error_mrad=_rms(setpoints - plan.at(times)) * 1e3,
        delay_ms=_delay_s(setpoints, times, plan) * 1e3,
    )


def figures_since(recording: Recording, begin_s: float, plan: Plan) -> Figures:
    """The figures of a recording from `begin_s` on."""
    first = int(np.searchsorted(recording.times, begin_s))
    seams = [join - first for join in recording.joins if first <= join]
    return figures_of(recording.setpoints[first:], recording.times[first:], plan, seams)


def largest_at_s(recording: Recording, begin_s: float, order: int) -> float:
    """When, from `begin_s` on, the difference of this order from cycle to cycle was largest."""
    first = int(np.searchsorted(recording.times, begin_s))
    sizes = np.abs(np.diff(recording.setpoints[first:], order, axis=0)).max(axis=1)
    return float(recording.times[first + order + int(sizes.argmax())])


def ideal_figures(recording: Recording, begin_s: float, plan: Plan) -> Figures:
    """The figures of the plan itself, over the same time."""
    times = recording.times[recording.times >= begin_s]
    return figures_of(plan.at(times), times, plan)


def medians(figures: Sequence[Figures]) -> Figures:
    """Each figure's median, of the runs that have it."""
    columns = ([value for value in (getattr(each, name) for each in figures) if math.isfinite(value)] for name in NAMES)
    return Figures(*(float(np.median(column)) if column else math.nan for column in columns))


def responses(motion: Floats, times: Floats, plan: SteppingPlan) -> Floats:
    """Seconds (events, shares) from each step of the target until `motion` (n, joints) has covered each of SHARES.

    The slowest joint counts. NaN if it has not reached the share before the next step.
    """
    ends = np.r_[plan.events[1:], times[-1]]
    answers = np.full((len(plan.events), len(SHARES)), np.nan)
    for row, (begin, end) in enumerate(zip(plan.events.tolist(), ends.tolist(), strict=True)):
        during = (times >= begin) & (times < end)
        here = motion[during]
        if not len(here):
            continue
        goal = plan.at(np.array([begin]))[0]
        done = ((here - here[0]) / (goal - here[0])).min(axis=1)
        for column, share in enumerate(SHARES):
            reached = np.flatnonzero(done >= share)
            if len(reached):
                answers[row, column] = times[during][reached[0]] - begin
    return answers


def _least(values: Floats) -> float:
    """Return the smallest value of the joints that have one; nan if the whole arm stood still."""
    known = values[np.isfinite(values)]
    return float(known.min()) if len(known) else math.nan


def _rms(values: Floats) -> float:
    return float(np.sqrt((values**2).mean()))


def _delay_s(positions: Floats, times: Floats, plan: Plan) -> float:
    """The delay at the lowest point of a parabola through the three delays that fit best."""
    errors = np.array([((positions - plan.at(times - delay)) ** 2).mean() for delay in DELAYS_S])
    best = int(errors.argmin())
    if not 0 < best < len(errors) - 1:
        return float(DELAYS_S[best])
    before, here, after = errors[best - 1 : best + 2]
    bend = before - 2.0 * here + after
    return float(DELAYS_S[best] + (PERIOD_S * (before - after) / (2.0 * bend) if bend > 0.0 else 0.0))
