"""report.html: everything is drawn, offline, on a desk and on a phone; its size is bounded, its texts are escaped."""

import math
import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from act_inference_ros.evaluation.bags.bag_evaluation import EvaluationOptions, evaluate_bags
from act_inference_ros.evaluation.cli.runners import run_settings
from act_inference_ros.evaluation.episodes.expert_policy import EXPERT_SPEC
from act_inference_ros.evaluation.episodes.film import film
from act_inference_ros.evaluation.report.html_report import MOST_BYTES, render, write_report
from act_inference_ros.evaluation.report.report_data import JOINT_COLOURS, line_style
from act_inference_ros.evaluation.results import PLAN_POINTS, Finding, SampledChunk, Series
from act_inference_ros.evaluation.runs import Film, Run, simulation_result
from act_inference_ros.inference.client import InferenceClient
from test.evaluation.browser import needs_chromium, open_report
from test.evaluation.demo_runs import configuration, expert_episode, write_demo_checkpoint

NASTY = '</script><script>alert("x")</script><b>"&\'@js@'
JOINT_PLOTS = {f"joint-{i}" for i in range(6)}
LATENCY_PLOTS = {"latency", "latency-time"}
SPLICE_PLOTS = {"splice-position", "splice-velocity", "splice-acceleration"}
ENDS = {0: (0, 8.0), 1: (0, 0.7)}
"""Index -> seed and limit: the second episode has no time to lift anything."""
WIDTHS = pytest.mark.parametrize("width", [390, 1280])


@pytest.fixture(scope="module")
def bag_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    directory = tmp_path_factory.mktemp("bags")
    for seed in (0, 1):
        expert_episode(seed, limit_s=1.5, record=directory / "bags" / f"operator{seed}")
    parameters = configuration()
    with InferenceClient.create("local", checkpoint=write_demo_checkpoint(directory / "checkpoint")) as client:
        settings = run_settings("local", NASTY, parameters, [], client.spec)
        result = evaluate_bags([directory / "bags"], parameters, client, settings, EvaluationOptions(merges="all"))
    assert result.status == "complete"
    return Run("local", result)


@pytest.fixture(scope="module")
def simulated_run() -> Run:
    episodes = tuple(replace(expert_episode(seed, limit_s=limit_s), index=i) for i, (seed, limit_s) in ENDS.items())
    settings = run_settings("local", "the expert", configuration(), [], EXPERT_SPEC)
    films = tuple(Film(f"episode {episode.index + 1}", film(episode, 60)) for episode in episodes)
    return Run("local", simulation_result(settings, episodes, 2), episodes, films)


@needs_chromium
@WIDTHS
def test_a_report_of_bags_is_drawn_completely_and_fits(tmp_path: Path, bag_run: Run, width: int) -> None:
    write_report(tmp_path / "report.html", [bag_run])
    seen = open_report(tmp_path / "report.html", width, tmp_path)
    assert seen.console == []
    assert seen.requests == []
    assert set(seen.drawn) == JOINT_PLOTS | LATENCY_PLOTS | SPLICE_PLOTS | {"horizon"}
    assert all(traces >= 1 for traces in seen.drawn.values()), seen.drawn
    assert all(seen.drawn[plot] == 3 for plot in JOINT_PLOTS)  # chunks, commanded, plan
    assert all(seen.drawn[plot] == 2 for plot in SPLICE_PLOTS)  # the setpoint and the demonstration
    assert seen.drawn["horizon"] == 6
    assert seen.images
    assert all(seen.images)
    assert seen.width == width, "the page must not scroll sideways"
    assert NASTY in seen.text
    assert re.search(
        r"^joint\tmean\tshifted\trms\tlargest\tbias\texecuted\tseam jump\tRMS jerk", seen.text, re.MULTILINE
    )
    for motion in ("blend", "temporal_ensemble", "latest", "demonstration"):
        assert re.search(rf"^pan\t{motion}(\t\S+){{7}}$", seen.text, re.MULTILINE), motion


@needs_chromium
@WIDTHS
def test_a_report_of_episodes_is_drawn_completely_and_fits(tmp_path: Path, simulated_run: Run, width: int) -> None:
    write_report(tmp_path / "report.html", [simulated_run])
    seen = open_report(tmp_path / "report.html", width, tmp_path)
    assert (seen.console, seen.requests) == ([], [])
    assert set(seen.drawn) == JOINT_PLOTS | LATENCY_PLOTS | SPLICE_PLOTS | {"height"}
    assert all(traces >= 1 for traces in seen.drawn.values()), seen.drawn
    assert all(seen.drawn[plot] == 1 for plot in SPLICE_PLOTS)
    assert seen.images == [True, True]
    assert seen.width == width
    assert "1/2" in seen.text
    assert "not lifted in 0.7 s" in seen.text
    assert re.search(r"^pan\tblend(\t\S+){7}$", seen.text, re.MULTILINE)


@needs_chromium
@WIDTHS
def test_joints_can_be_chosen(tmp_path: Path, bag_run: Run, width: int) -> None:
    write_report(tmp_path / "report.html", [bag_run])
    choose = 'page.getElementById("no-joints").click(); page.querySelector(\'[data-shows="2"]\').click()'
    seen = open_report(tmp_path / "report.html", width, tmp_path, choose)
    assert seen.console == []
    assert [plot for plot in seen.visible if plot in JOINT_PLOTS] == ["joint-2"]
    assert seen.drawn["joint-2"] == 3
    assert seen.drawn["horizon"] == 1
    assert seen.width == width
    everything = choose + '; page.getElementById("all-joints").click()'
    seen = open_report(tmp_path / "report.html", width, tmp_path, everything)
    assert set(seen.visible) > JOINT_PLOTS
    assert all(seen.drawn[plot] == 3 for plot in JOINT_PLOTS)
    assert seen.drawn["horizon"] == 6


@needs_chromium
def test_two_runs_are_drawn_side_by_side(tmp_path: Path, bag_run: Run) -> None:
    other = Run("triton", replace(bag_run.result, settings=replace(bag_run.result.settings, mode="triton")))
    write_report(tmp_path / "report.html", [bag_run, other])
    seen = open_report(tmp_path / "report.html", 1280, tmp_path)
    assert seen.console == []
    assert all(seen.drawn[plot] == 5 for plot in JOINT_PLOTS)  # chunks and plan of each, and what was commanded
    assert seen.drawn["horizon"] == 12
    assert "mode\tlocal\ttriton" in seen.text


def test_nothing_is_loaded_from_anywhere(bag_run: Run) -> None:
    page = render([bag_run])
    # What plotly.js has in its code is not requested; the browser's tests show that. This is about our own markup.
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"""(?:src|href|action)\s*=(?!\s*["']?data:)|@import|url\(""", markup)
    assert "default-src 'none'" in markup


def test_names_are_text_and_no_markup(bag_run: Run) -> None:
    page = render([bag_run])
    assert "alert(" not in page.split('id="data"')[0].split("<script>")[0].replace("alert(&quot;x", "")
    assert "<b>" not in page.split("<script>")[0]


def test_numbers_that_do_not_exist_leave_no_trace_of_it(bag_run: Run) -> None:
    series = bag_run.result.episodes[0].series
    holes = replace(series, truth=tuple((math.nan,) * 6 for _ in series.truth))
    result = replace(bag_run.result, episodes=(replace(bag_run.result.episodes[0], series=holes),))
    data = render([Run("local", result)]).split('id="data">')[1].split("</script>")[0]
    assert "NaN" not in data
    assert "null" in data


def test_findings_and_reasons_come_first(bag_run: Run) -> None:
    finding = Finding("offset", ("wrist",), 0.1, 0.9, "wrist is 0.1 rad too far")
    total = replace(bag_run.result.total, findings=(finding,))
    result = replace(bag_run.result, total=total, status="partial", reasons=("interrupted: 1 of 2",))
    page = render([Run("local", result)])
    assert page.index("interrupted: 1 of 2") < page.index("wrist is 0.1 rad too far") < page.index("<h2>")
    assert 'class="badge partial"' in page


def test_a_report_of_many_long_bags_stays_small(bag_run: Run) -> None:
    joints = tuple(f"joint_number_{i}" for i in range(14))
    row = tuple(-1.2345678 + i for i in range(14))
    times = tuple(i / 50 for i in range(PLAN_POINTS))
    chunks = tuple(SampledChunk(float(i), (row,) * 100) for i in range(40))
    series = Series(times, (row,) * PLAN_POINTS, (row,) * PLAN_POINTS, chunks, times, times, times)
    episodes = tuple(replace(bag_run.result.episodes[0], name=f"bag{i}", series=series) for i in range(30))
    settings = replace(bag_run.result.settings, joints=joints)
    page = render([Run("local", replace(bag_run.result, settings=settings, episodes=episodes))])
    assert len(page.encode()) <= MOST_BYTES
    assert "bag29" in page


def test_the_colours_of_two_arms_differ_for_the_eye() -> None:
    assert len(JOINT_COLOURS) == 14
    points = [lab(colour) for colour in JOINT_COLOURS]
    assert min(float(np.linalg.norm(a - b)) for a, b in combinations(points, 2)) > 40.0


def lab(colour: str) -> npt.NDArray[np.float64]:
    """CIELAB (3,) of `#rrggbb`, sRGB seen in daylight (CIE 15, D65); what the eye just tells apart is 1 to 2 away."""
    coded = np.array([int(colour[i : i + 2], 16) / 255.0 for i in (1, 3, 5)])
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    x, y, z = np.cbrt(np.array(to_xyz) @ linear / [0.95047, 1.0, 1.08883])  # none of ours is in the dark, linear part
    return np.array([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)])


def test_fourteen_joints_of_two_runs_are_told_apart() -> None:
    styles = {tuple(line_style(place, run).values()) for place in range(14) for run in (0, 1)}
    assert len(styles) == 28
