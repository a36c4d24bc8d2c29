"""The data of the report's plots: plain JSON of bounded size. Times in s, positions in ROS units."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.evaluation.episodes.closed_loop import Episode
from act_inference_ros.evaluation.report.summary import figure
from act_inference_ros.evaluation.results import EpisodeResult, Splice
from act_inference_ros.evaluation.runs import Run
from act_inference_ros.evaluation.statistics import SETPOINT_PERIOD_S, pooled
from act_inference_ros.simulation.scene import LIFTED_RISE_M

EPISODES_SHOWN = 6
"""Episodes whose motion is plotted: the worst ones. All are in the table."""
POINTS_SHOWN = 1000
"""Most points of a line: more than a screen has columns."""
CHUNKS_SHOWN = 40
LATENCIES_SHOWN = 2000

SPLICE_PLOTS = {"position": "Setpoint", "velocity": "Its velocity", "acceleration": "Its acceleration"}
"""Quantity plotted around the worst seam -> title. Velocity and acceleration are differences of the setpoint."""

JOINT_COLOURS = (
    "#2563eb", "#d97706", "#00c3b4", "#ff0096", "#00c300", "#4b2d3c", "#e100ff",
    "#3c5a00", "#1eb4ff", "#f096a5", "#ff0f3c", "#780078", "#b4b400", "#0000ff",
)  # fmt: skip
"""Colours of two arms' joints: fourteen that the eye distinguishes well on white (CIELAB distance above 40)."""
DASHES = (("solid", "dash"), ("dot", "dashdot"))
"""Dashes of the first and the second run; with more joints than colours, the colours repeat with other dashes."""

Json = dict[str, Any]


def plot_data(runs: Sequence[Run], episodes_shown: int = EPISODES_SHOWN) -> Json:
    """Everything that report.js reads; `episodes_shown` bounds its size."""
    settings = runs[0].result.settings
    simulated = any(run.episodes for run in runs)
    return {
        "runs": [run.label for run in runs],
        "fps": settings.fps,
        "joints": list(settings.joints),
        "episodes": (_simulated(runs) if simulated else _recorded(runs))[:episodes_shown],
        "horizon": [line for index, run in enumerate(runs) for line in _horizon(index, run)],
        "latency": [each for index, run in enumerate(runs) for each in _latency(index, run)],
        "height": [line for index, run in enumerate(runs) for line in _heights(index, run, len(runs) > 1)],
        "lifted_mm": LIFTED_RISE_M * 1e3,
    }


def line_style(place: int, run: int) -> Json:
    """Colour and dash of the joint at `place` of the action, for run 0 or 1: another for each, up to 28 joints."""
    round_, colour = divmod(place, len(JOINT_COLOURS))
    return {"colour": JOINT_COLOURS[colour], "dash": DASHES[round_ % len(DASHES)][run % 2]}


def worst_first(episodes: Iterable[EpisodeResult]) -> list[EpisodeResult]:
    """Sort by mean error of the chunks; episodes without an error come last."""

    def error(episode: EpisodeResult) -> float:
        mae = pooled(episode.metrics.chunk_error).mae_ros_units
        return -mae if math.isfinite(mae) else 0.0

    return sorted(episodes, key=error)


def failures_first(episodes: Iterable[Episode]) -> list[Episode]:
    """Sort failures first, then the slowest successes."""
    return sorted(episodes, key=lambda episode: (episode.success, -episode.duration_s))


def _recorded(runs: Sequence[Run]) -> list[Json]:
    """One entry per bag of the first run, with what the other run says about it."""
    shown = []
    for episode in worst_first(runs[0].result.episodes):
        if not episode.series.plan_times_s:
            continue
        others = [[e for e in run.result.episodes if e.name == episode.name] for run in runs[1:]]
        pair = [episode, *(found[0] if found else None for found in others)]
        times, truth = episode.series.plan_times_s, np.asarray(episode.series.truth, dtype=float)
        shown.append(
            {
                "name": episode.name,
                "lines": [_line("commanded", times, truth)] if truth.ndim == 2 else [],
                "runs": [
                    _recorded_run(each, run.result.settings.joints) if each is not None else None
                    for each, run in zip(pair, runs, strict=True)
                ],
            }
        )
    return shown


def _recorded_run(episode: EpisodeResult, joints: Sequence[str]) -> Json:
    series = episode.series
    error = figure(pooled(episode.metrics.chunk_error).mae_ros_units)
    return {
        "verdict": f"mean error {error}" + (f", {episode.status}" if episode.status != "complete" else ""),
        "plan": _line("", series.plan_times_s, np.asarray(series.plan, dtype=float)),
        "chunks": [_chunk(chunk.t_s, np.asarray(chunk.rows)) for chunk in _evenly(series.chunks, CHUNKS_SHOWN)],
        "splice": _splice(series.splice, joints),
    }


def _simulated(runs: Sequence[Run]) -> list[Json]:
    shown = []
    for episode in failures_first(runs[0].episodes):
        pair = [next((each for each in run.episodes if each.index == episode.index), None) for run in runs]
        shown.append(
            {
                "name": f"episode {episode.index + 1}",
                "lines": [_line("measured", episode.times, np.array(episode.measured), dash="dot")],
                "runs": [_simulated_run(each) if each is not None else None for each in pair],
            }
        )
    return shown


def _simulated_run(episode: Episode) -> Json:
    return {
        "verdict": outcome(episode),
        "plan": _line("", episode.times, np.array(episode.targets)),
        "chunks": [_chunk(chunk.t_obs, chunk.ros_rows) for chunk in _evenly(episode.chunks, CHUNKS_SHOWN)],
        "splice": _splice(episode.splice, episode.joints),
    }


def _splice(splice: Splice | None, joints: Sequence[str]) -> Json | None:
    """The joint with the largest jerk around the worst seam: a line of each of SPLICE_PLOTS."""
    if splice is None or splice.joint not in joints:
        return None
    column = list(joints).index(splice.joint)
    jerk, time = figure(splice.jerk_ros_units_per_s3), figure(splice.t_s)
    lines = [("setpoint", np.asarray(splice.setpoints)[:, column])]
    if splice.demonstration:
        lines.append(("demonstration", np.asarray(splice.demonstration)[:, column]))
    return {
        "text": f"{splice.joint} at {time} s, jerk {jerk} (rad/s³ or m/s³)",
        "ms": [_rounded(1e3 * time) for time in splice.times_s],
        "lines": {name: _derivatives(values) for name, values in lines},
    }


def _derivatives(values: npt.NDArray[Any]) -> Json:
    """Name of SPLICE_PLOTS -> a value for each of `values` (n,), the first of the differences empty."""
    return {
        name: [None] * order
        + [_rounded(value) for value in (np.diff(values, n=order) / SETPOINT_PERIOD_S**order).tolist()]
        for order, name in enumerate(SPLICE_PLOTS)
    }


def outcome(episode: Episode) -> str:
    """`lifted after 2.7 s`, in words for people."""
    if episode.interrupted:
        return f"interrupted after {episode.duration_s:.1f} s"
    return f"{'lifted after' if episode.success else 'not lifted in'} {episode.duration_s:.1f} s"


def _horizon(index: int, run: Run) -> list[Json]:
    if run.result.total is None:
        return []
    lines = []
    for place, (joint, error) in enumerate(run.result.total.horizon_error.items()):
        steps = [i for i, count in enumerate(error.count) if count]
        if steps:
            ms = [_rounded(1e3 * i / run.result.settings.fps) for i in steps]
            mae = [_rounded(error.mae_ros_units[i]) for i in steps]
            lines.append({"run": index, "joint": joint, **line_style(place, index), "ms": ms, "mae": mae})
    return lines


def _latency(index: int, run: Run) -> list[Json]:
    if run.episodes:
        seconds = [chunk.inference_s for episode in run.episodes for chunk in episode.chunks]
    else:
        seconds = [value for episode in run.result.episodes for value in episode.series.inference_s]
    finite = [value for value in seconds if math.isfinite(value)]
    ms = [_rounded(value * 1e3) for value in _evenly(finite, LATENCIES_SHOWN)]
    return [{"run": index, "ms": ms}] if ms else []


def _heights(index: int, run: Run, several: bool) -> list[Json]:
    return [
        {
            "run": index,
            "name": f"{run.label}: episode {episode.index + 1}" if several else f"episode {episode.index + 1}",
            "success": episode.success,
            "t": [_rounded(time) for time in _evenly(episode.times, POINTS_SHOWN // 4)],
            "mm": [_rounded(height * 1e3) for height in _evenly(episode.cube_height_m, POINTS_SHOWN // 4)],
        }
        for episode in run.episodes
    ]


def _line(name: str, times: Sequence[float], values: npt.NDArray[Any], dash: str = "solid") -> Json:
    """`values` (n, joints) at `times` (n,), thinned; a gap where a value is not finite."""
    keep = _evenly(range(len(times)), POINTS_SHOWN)
    columns: Iterable[Any] = values[keep].T if len(values) else []
    return {
        "name": name,
        "dash": dash,
        "t": [_rounded(times[i]) for i in keep],
        "y": [[_rounded(value) for value in column] for column in columns],
    }


def _chunk(time: float, rows: npt.NDArray[Any]) -> Json:
    return {"t": _rounded(time), "y": [[_rounded(value) for value in column] for column in rows.T]}


def _evenly(values: Sequence[Any], most: int) -> list[Any]:
    """At most `most` of the values, evenly spread, the first and the last among them."""
    if len(values) <= most:
        return list(values)
    return [values[i] for i in np.linspace(0, len(values) - 1, most).round().astype(int)]


def _rounded(value: float) -> float | None:
    """Round to five significant digits or microunits: a plot shows no more, and the JSON is half as long."""
    return round(float(value), 5) if math.isfinite(value) else None
