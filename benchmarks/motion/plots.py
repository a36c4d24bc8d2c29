"""The pictures of `docs/motion.md`: one run each of some forms, on a Jazzy controller with its default settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from act_inference_ros.simulation.trajectory_controller import JAZZY
from benchmarks.motion.charts import Axis, Line, write_chart
from benchmarks.motion.plan import SmoothPlan
from benchmarks.motion.robot import PERIOD_S, Recording, Robot, Setup
from benchmarks.motion.runs import BASELINE, FORMS, OURS, STEP_GAP_S, STEP_SIZE, record, stepping_plan
from benchmarks.motion.scenarios import Scenario
from benchmarks.motion.senders import Floats

SETUP = Setup(JAZZY)
SCENARIO = Scenario()
"""A chunk of 100 rows at 30 fps each 250 ms, 150 ms late, blended, and an arm of 100 ms lag."""
REACTION = Scenario(50, 50.0, lag_s=0.03, noise=0.0)
COLORS = {OURS: "#0a7d32", BASELINE: "#c0392b", "overlap": "#2471a3", "queue": "#8e44ad", "one point": "#b9770e"}
WINDOW_S = (2.0, 3.0)
RESPONSE_S = 0.8


def write_plots(folder: Path) -> list[Path]:
    """Write the pictures into `folder`; returns their paths."""
    recordings = {form: record(SCENARIO, SETUP, form) for form in FORMS}
    paths = [folder / f"motion_{name}.svg" for name in ("setpoint", "acceleration", "reaction")]
    _setpoint(paths[0], recordings)
    _acceleration(paths[1], recordings)
    _reaction(paths[2])
    return paths


def _setpoint(path: Path, recordings: dict[str, Recording]) -> None:
    """The fastest joint's setpoint beside its plan."""
    times = recordings[OURS].times
    ideal = SmoothPlan(SCENARIO.seed, 0.0).at(times)
    joint = int(np.abs(np.diff(ideal, axis=0)).max(axis=0).argmax())
    lines = [Line("the plan", "#888", times, ideal[:, joint], dashed=True)]
    lines += [
        Line(form, COLORS[form], times, recordings[form].setpoints[:, joint]) for form in (BASELINE, "queue", OURS)
    ]
    shown = np.concatenate([line.y[(times >= WINDOW_S[0]) & (times <= WINDOW_S[1])] for line in lines])
    y = Axis("setpoint, rad", float(shown.min()) - 0.02, float(shown.max()) + 0.02)
    write_chart(path, "What the arm is given: the setpoint of one joint", Axis("time, s", *WINDOW_S), y, lines)


def _acceleration(path: Path, recordings: dict[str, Recording]) -> None:
    """The worst joint's acceleration in each cycle."""
    times = recordings[OURS].times[2:]
    lines = [
        Line(form, COLORS[form], times, _accelerations(recordings[form].setpoints))
        for form in (BASELINE, "one point", "overlap", OURS)
    ]
    lines.append(
        Line("the plan", "#888", times, _accelerations(SmoothPlan(SCENARIO.seed, 0.0).at(recordings[OURS].times)), True)
    )
    y = Axis("acceleration of the setpoint, rad/s2", 1.0, 1e5, logarithmic=True)
    write_chart(path, "Acceleration of the worst joint, cycle by cycle", Axis("time, s", *WINDOW_S), y, lines)


def _reaction(path: Path) -> None:
    """The share of the way that the setpoint has done after a step of the target, on average over the steps."""
    plan = stepping_plan(REACTION)
    scenario = replace(REACTION, duration_s=float(plan.events[-1]) + STEP_GAP_S)
    since = np.arange(0.0, RESPONSE_S, PERIOD_S)
    lines = []
    for form in ("queue", BASELINE, OURS):
        recording = Robot(scenario, SETUP, plan, FORMS[form]).run()
        shares = []
        for event in plan.events.tolist():
            first = int(np.searchsorted(recording.times, event))
            way = recording.setpoints[first : first + len(since), 0]
            shares.append(np.abs(way - way[0]) / STEP_SIZE)
        lines.append(Line(form, COLORS[form], since, np.mean(shares, axis=0)))
    y = Axis("share of the way", 0.0, 1.05)
    title = "After a step of the target: the setpoint's way, mean of 12 steps"
    write_chart(path, title, Axis("time after the step, s", 0.0, RESPONSE_S), y, lines)


def _accelerations(positions: Floats) -> Floats:
    return np.asarray(np.abs(np.diff(positions, 2, axis=0)).max(axis=1) / PERIOD_S**2)
