"""The tables and the JSON of `bench_motion`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.motion.figures import Figures, medians
from benchmarks.motion.runs import BASELINE, FORMS, OURS, Outcome, Reaction

COMMAND = "python -m benchmarks bench_motion"
ROOM_MS = 10.0
"""A reaction is not late by less than this: the 12 steps have other latencies than the average of all chunks."""


def print_motion(title: str, outcomes: Sequence[Outcome]) -> None:
    """Print medians and worst values, with the plan's own figures in the first row."""
    if not outcomes:
        return
    count = len({each.scenario for each in outcomes})
    print(f"\n{title}: {count} scenarios; medians, in brackets the worst")
    print(
        f"{'controller':23}{'sent':15}{'step mrad':>16}{'acceleration':>20}{'RMS jerk':>20}"
        f"{'error mrad':>12}{'delay ms':>10}{'acc. / plan':>13}{'/ baseline':>12}"
    )
    ideal = [each.ideal for each in outcomes]
    _print_row("the plan itself", "", ideal, ideal, [])
    for setup in dict.fromkeys(each.setup for each in outcomes):
        baseline = _figures(outcomes, setup, BASELINE)
        for form in FORMS:
            figures = _figures(outcomes, setup, form)
            if figures:
                _print_row(setup, form, figures, ideal, baseline)


def print_reactions(reactions: Sequence[Reaction]) -> None:
    """Print the delays of setpoint and arm after a step, beside the smoothness."""
    if not reactions:
        return
    print(
        "\nreaction to a step of the target: ms until 5 % and 50 % of the way, mean of 12 steps (in brackets the worst)"
    )
    for scenario in dict.fromkeys(each.scenario for each in reactions):
        print(scenario)
        for each in reactions:
            if each.scenario != scenario:
                continue
            bound = f", bound {each.bound:4.0f}" if each.form == OURS and math.isfinite(each.bound) else ""
            print(
                f"  {each.setup:10}{each.form:15}setpoint {_times(each.setpoint, each.setpoint_worst)}, "
                f"arm {_times(each.arm, each.arm_worst)}, step {each.step_mrad:5.1f} mrad, "
                f"acceleration {each.peak_acceleration:7.0f} rad/s2{bound}"
            )


def print_failures(outcomes: Sequence[Outcome], reactions: Sequence[Reaction]) -> None:
    """Print each demand that this package's way of sending misses, and the command that runs its scenario alone."""
    ours = [each for each in outcomes if each.form == OURS]
    missed = [each for each in ours if each.failures]
    print(f"\ndemands: {len(ours) - len(missed)} of {len(ours)} runs of {OURS!r} meet all of theirs")
    for scenario in dict.fromkeys(each.scenario for each in missed):
        alike = [each for each in missed if each.scenario == scenario]
        first = alike[0]
        setups = "; ".join(each.setup for each in alike)
        when = f"largest step at {first.step_at_s:.3f} s, acceleration at {first.acceleration_at_s:.3f} s"
        held = f", held: {', '.join(first.holds)}" if first.holds else ""
        print(f"  {first.group}, {scenario} on {setups}\n    {'; '.join(first.failures)} ({when}{held})")
        print(f'    {COMMAND} --only "{scenario}" --controller "{first.setup}"')
    for late in late_reactions(reactions):
        print(f"  {late.scenario} on {late.setup}")
        print(f"    half the way after {late.setpoint[-1]:.0f} ms, bound {late.bound:.0f}")


def late_reactions(reactions: Sequence[Reaction]) -> list[Reaction]:
    """Return the reactions of our own form that are later than expected."""
    return [each for each in reactions if each.form == OURS and each.setpoint[-1] > each.bound + ROOM_MS]


def summary(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Medians of each group, controller and form, also as ratios to the plan's own and to the baseline's; for JSON."""
    rows = []
    for group, setup, form in dict.fromkeys((each.group, each.setup, each.form) for each in outcomes):
        chosen = [each for each in outcomes if (each.group, each.setup, each.form) == (group, setup, form)]
        base = [each for each in outcomes if (each.group, each.setup, each.form) == (group, setup, BASELINE)]
        figures, ideal = medians([each.figures for each in chosen]), medians([each.ideal for each in chosen])
        row = {"group": group, "controller": setup, "form": form, "runs": len(chosen), "median": figures.as_dict()}
        row["of_plan"] = _ratios(figures, ideal)
        if base:
            row["of_baseline"] = _ratios(figures, medians([each.figures for each in base]))
        rows.append(row)
    return rows


def _ratios(figures: Figures, others: Figures) -> dict[str, float]:
    names = ("step_mrad", "peak_acceleration", "rms_jerk", "mean_jerk")
    return {name: round(getattr(figures, name) / getattr(others, name), 6) for name in names}


def _figures(outcomes: Sequence[Outcome], setup: str, form: str) -> list[Figures]:
    return [each.figures for each in outcomes if each.setup == setup and each.form == form]


def _print_row(
    setup: str, form: str, figures: Sequence[Figures], ideal: Sequence[Figures], baseline: Sequence[Figures]
) -> None:
    def both(name: str, digits: int) -> str:
        values = [getattr(each, name) for each in figures]
        return f"{np.median(values):.{digits}f} ({max(values):.{digits}f})"

    middle = medians(figures)
    peak = middle.peak_acceleration
    ratio = f"{peak / medians(baseline).peak_acceleration:.4f}" if baseline else ""
    print(
        f"{setup:23}{form:15}{both('step_mrad', 1):>16}{both('peak_acceleration', 0):>20}{both('rms_jerk', 0):>20}"
        f"{middle.error_mrad:12.1f}{middle.delay_ms:10.1f}{peak / medians(ideal).peak_acceleration:13.1f}{ratio:>12}"
    )


def _times(mean: Sequence[float], worst: Sequence[float]) -> str:
    return " ".join(f"{middle:4.0f} ({most:4.0f})" for middle, most in zip(mean, worst, strict=True))
