"""Benchmarks run: none may end with an error for a reason that lies in themselves. What they measure is not judged."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from act_inference_ros.simulation.trajectory_controller import HUMBLE
from benchmarks import bench_motion
from benchmarks.motion import plots, runs
from benchmarks.motion.robot import Setup
from benchmarks.motion.scenarios import Scenario, plain_scenarios


def test_one_scenario_of_the_motion_is_measured_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "motion.json"
    only = ["--only", "hold and resume, 100 at 30 fps, each 250 ms, latency 150 ms, blend, lag 100 ms, seed 0"]
    options = [*only, "--controller", "humble", "--jobs", "1", "--output", str(output)]
    monkeypatch.setattr(sys, "argv", ["bench_motion", *options])
    assert bench_motion.main() == 0
    rows = json.loads(output.read_text())["runs"]
    assert {row["form"] for row in rows} == {runs.OURS, runs.BASELINE}
    assert all(row["holds"] for row in rows)


def test_each_form_moves_the_arm_on_its_plan() -> None:
    scenario = replace(plain_scenarios(every=False)[0], duration_s=2.2)
    for outcome in runs.outcomes(runs.PLAIN, scenario, [Setup(HUMBLE)], list(runs.FORMS)):
        assert outcome.figures.peak_velocity > 0.2
        assert outcome.figures.error_mrad < 400.0


def test_every_form_answers_a_step_of_its_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "STEPS", 2)
    scenario = Scenario(50, 50.0, 0.1, 0.05, noise=0.0)
    for reaction in runs.reactions(scenario, [Setup(HUMBLE)], list(runs.FORMS)):
        first, half = reaction.setpoint
        assert 0.0 < first <= half < 1700.0


def test_the_quick_scenarios_are_some_of_108_different_ones() -> None:
    labels = [scenario.label for scenario in plain_scenarios(every=True)]
    assert len(set(labels)) == 108
    assert {scenario.label for scenario in plain_scenarios(every=False)} < set(labels)


def test_the_pictures_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "STEPS", 1)
    for path in plots.write_plots(tmp_path):
        lines = ElementTree.parse(path).findall("{http://www.w3.org/2000/svg}polyline")  # noqa: S314  # made here
        assert len(lines) >= 3
