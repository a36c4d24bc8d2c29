"""The report's joints: the choice of joints to show, and each joint's error and smoothness."""

from __future__ import annotations

import math
from collections.abc import Sequence

from act_inference_ros.evaluation.report.markup import safe, table
from act_inference_ros.evaluation.report.report_data import Json, line_style
from act_inference_ros.evaluation.report.summary import (
    ERROR_COLUMNS,
    LIMIT_COLUMNS,
    SEAM_COLUMNS,
    error_figures,
    executed_smoothness,
    figure,
    limit_shares,
    seam_figures,
)
from act_inference_ros.evaluation.results import Metrics
from act_inference_ros.evaluation.runs import Run


def joint_chooser(data: Json) -> str:
    """A box to tick for each joint, in its colour; it shows and hides the joint's plot and its lines elsewhere."""
    boxes = "".join(
        f'<label><input type="checkbox" data-shows="{i}" checked>'
        f'<i style="background:{line_style(i, 0)["colour"]}"></i>{safe(joint)}</label>'
        for i, joint in enumerate(data["joints"])
    )
    buttons = '<button type="button" id="all-joints">all</button><button type="button" id="no-joints">none</button>'
    return f'<fieldset class="joints"><legend>Joints</legend>{boxes}{buttons}</fieldset>'


def joints(runs: Sequence[Run]) -> str:
    """Errors per joint."""
    tables = [(run, run.result.total) for run in runs if run.result.total is not None and run.result.total.chunk_error]
    if not tables:
        return ""
    return (
        '<h2>Error per joint</h2><p class="note">rad or m, predicted minus commanded, over every row of every chunk; '
        "<em>executed</em> is what is left after merging and limits, <em>clamped</em> the share of targets beyond "
        "a limit of position, <em>smoothed</em> and <em>bridged</em> the shares of commands whose plan was beyond "
        "velocity or acceleration, or too far away to be followed at once. <em>Shifted</em> is the mean error at the "
        "best shift by whole steps, <em>seam jump</em> and <em>RMS jerk</em> (rad/s³, m/s³) say how smooth it is.</p>"
        + "".join(f'<div class="box scroll">{_joint_table(run, total, len(runs) > 1)}</div>' for run, total in tables)
    )


def _joint_table(run: Run, total: Metrics, several: bool) -> str:
    merged = total.by_merge.get(run.result.settings.merge)
    smooth = executed_smoothness(run.result)
    lines = []
    for joint in total.chunk_error:
        executed = merged.executed.get(joint) if merged else None
        limits = merged.limits.get(joint) if merged else None
        told = figure(executed.mae_ros_units if executed else math.nan)
        seams = [figure(value) for value in seam_figures(smooth.get(joint))]
        lines.append([joint, *error_figures(total, joint), told, *seams, *limit_shares(limits)])
    first = f"{run.label}: joint" if several else "joint"
    return table([first, *ERROR_COLUMNS, "executed", *SEAM_COLUMNS, *LIMIT_COLUMNS], lines)
