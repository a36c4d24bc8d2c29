"""The report's section about smoothness: the figures of every motion, and plots of the worst seam."""

from __future__ import annotations

from collections.abc import Sequence

from act_inference_ros.evaluation.report.markup import safe, table
from act_inference_ros.evaluation.report.report_data import SPLICE_PLOTS, Json
from act_inference_ros.evaluation.report.summary import (
    DEMONSTRATION,
    SMOOTHNESS_COLUMNS,
    all_smoothness,
    smoothness_figures,
)
from act_inference_ros.evaluation.runs import Run
from act_inference_ros.evaluation.statistics import SETPOINT_PERIOD_S


def smoothness(runs: Sequence[Run], data: Json) -> str:
    """Plots around the worst seam of the chosen episode, and each joint's figures; empty if there are none."""
    tables = "".join(f'<div class="box scroll">{_table(run, len(runs) > 1)}</div>' for run in runs if _lines(run))
    plots = _plots(data) if any(run and run["splice"] for each in data["episodes"] for run in each["runs"]) else ""
    if not (tables or plots):
        return ""
    return (
        '<h2>Smoothness</h2><p class="note">Of the setpoint, sampled every '
        f"{1e3 * SETPOINT_PERIOD_S:g} ms; rad or m, and s. A seam is where a new chunk joins the motion. <em>Seam jump"
        "</em> and <em>largest step</em> are ways within one sample, which an even motion has, too; <em>peak acc."
        "</em> is the largest acceleration. <em>Seams minus rest</em> is the RMS jerk at seams minus that elsewhere, "
        "about 0 where nobody can tell them apart. <em>SPARC</em> is the spectral arc length: nearer to 0 is smoother. "
        f"<em>{DEMONSTRATION}</em> is what the operator did meanwhile.</p>{plots}{tables}"
    )


def _plots(data: Json) -> str:
    boxes = "".join(
        f'<div class="box"><h3>{safe(title)}</h3><div class="plot" id="splice-{name}"></div></div>'
        for name, title in SPLICE_PLOTS.items()
    )
    return (
        '<h3>The worst seam of the episode chosen above: <span id="splice-what"></span></h3>'
        f'<div class="grid">{boxes}</div>'
    )


def _table(run: Run, several: bool) -> str:
    first = f"{run.label}: joint" if several else "joint"
    return table([first, "motion", *SMOOTHNESS_COLUMNS], _lines(run))


def _lines(run: Run) -> list[list[str]]:
    """Joint by joint, what was executed first."""
    found = all_smoothness(run.result)
    joints = dict.fromkeys(joint for each in found.values() for joint in each)
    return [
        [joint, what, *smoothness_figures(each[joint])]
        for joint in joints
        for what, each in found.items()
        if joint in each
    ]
