"""Benchmarks run: none may end with an error for a reason that lies in themselves. What they measure is not judged."""

import contextlib
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.interfaces import ONNXRUNTIME, TORCH
from act_inference_ros.simulation.trajectory_controller import HUMBLE
from benchmarks import (
    bench_evaluation,
    bench_local,
    bench_motion,
    bench_start,
    bench_stream,
    others,
    report_page,
    report_pictures,
)
from benchmarks.bench_local import Candidate
from benchmarks.motion import plots, runs
from benchmarks.motion.robot import Setup
from benchmarks.motion.scenarios import Scenario, plain_scenarios
from benchmarks.stream_parts import stream_parameters
from test.evaluation.browser import needs_chromium

MS = 1_000_000
"""In nanoseconds."""


def test_one_scenario_of_the_motion_is_measured_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "motion.json"
    only = ["--only", "hold and resume, 100 at 30 fps, each 250 ms, latency 150 ms, blend, lag 100 ms, seed 0"]
    options = [*only, "--controller", "humble", "--jobs", "1", "--output", str(output)]
    monkeypatch.setattr(sys, "argv", ["bench_motion", *options])
    assert bench_motion.main() == 0
    rows = json.loads(output.read_text())["runs"]
    assert {row["form"] for row in rows} == {runs.OURS, runs.BASELINE}
    assert all(row["holds"] for row in rows)


def test_what_another_process_has_found_comes_back_as_it_was() -> None:
    scenario = replace(plain_scenarios(every=False)[0], duration_s=2.2)
    found: list[runs.Outcome] | list[runs.Reaction]
    for found in (
        runs.outcomes(runs.PLAIN, scenario, [Setup(HUMBLE)], [runs.OURS]),
        [runs.Reaction("a", "b", "c", (1.0, 2.0), (3.0, 4.0), (5.0, 6.0), (7.0, 8.0), math.inf, 9.0, 10.0)],
    ):
        text = json.dumps([asdict(each) for each in found])
        back = bench_motion.from_rows(json.loads(text))
        assert [type(each) for each in back] == [type(each) for each in found]
        assert json.dumps([asdict(each) for each in back]) == text  # not `==`: a figure may be nan


def test_two_processes_share_the_scenarios(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = bench_motion.tasks(False, "", "humble", [runs.REACTION])
    assert len(chosen) > 1
    started: list[list[str]] = []

    class Process:
        def __init__(self, command: list[str], **options: Any) -> None:
            started.append(command)
            first, _, jobs = command[-1].partition("/")
            numbers = range(len(chosen))[int(first) :: int(jobs)]
            reaction = runs.Reaction("", "b", "c", (1.0,), (3.0,), (5.0,), (7.0,), 1.0, 9.0, 10.0)
            found = [replace(reaction, scenario=chosen[i].scenario.label) for i in numbers]
            self.said = json.dumps([[asdict(each)] for each in found])

        def communicate(self) -> tuple[str, None]:
            return self.said, None

        kill = wait = lambda self: None

    monkeypatch.setattr(subprocess, "Popen", Process)
    parts = bench_motion.run_in_processes(["--groups", runs.REACTION], 2)
    assert [part[0].scenario for part in parts] == [task.scenario.label for task in chosen]
    assert [command[-2:] for command in started] == [["--share", "0/2"], ["--share", "1/2"]]


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


def stream_round(stamps_ms: list[float], **changes: Any) -> dict[str, Any]:
    """What the receiver notes of commands that were published and received at these times."""
    stamps = [round(stamp * MS) for stamp in stamps_ms]
    noted = {"published": stamps, "received": stamps, "chunks_per_s": 4.0, "states": ["commanding"]}
    return {**noted, "node_peak_memory_mb": 100.0, "others": 0.0, **changes}


def test_the_period_of_a_stream_never_reaches_from_one_round_into_the_next() -> None:
    found = bench_stream.summary([stream_round([0, 10, 20]), stream_round([900, 908, 920])])
    assert found["commands"] == 6
    assert found["published"]["max_ms"] == pytest.approx(12.0)
    assert found["published"]["deviation_ms"] == pytest.approx(2.0**0.5)  # of 10, 10, 8 and 12


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "met"),
        ({"received": [0, 10 * MS, 30 * MS]}, "missed"),
        ({"states": ["commanding", "holding"]}, "not judged: the node was commanding, holding"),
        ({"states": []}, "not judged: the node was silent"),
        ({"others": 0.5}, "not judged: other programs took 50% of the processor"),
    ],
)
def test_a_stream_is_good_only_where_it_could_be_judged(changes: dict[str, Any], said: str) -> None:
    idle = {"cameras": 1, **bench_stream.summary([stream_round([0, 10, 20])])}
    run = {"cameras": 1, **bench_stream.summary([stream_round([0, 10, 20], **changes)])}
    assert bench_stream.judgement(run, idle)["verdict"] == said


@pytest.mark.parametrize("stamps_ms", [[0.0, 10.0, 20.0], [0.0, 10.0, 30.0]])
def test_nothing_is_said_of_inference_where_the_idle_node_is_no_better(stamps_ms: list[float]) -> None:
    idle = {"cameras": 1, **bench_stream.summary([stream_round([0, 10, 30])])}
    run = {"cameras": 1, **bench_stream.summary([stream_round(stamps_ms)])}
    assert bench_stream.judgement(run, idle)["verdict"] == "not judged: on this machine the idle node misses them, too"


def test_a_stream_of_the_real_node_is_received(tmp_path: Path) -> None:
    pytest.importorskip("rclpy")
    noted = bench_stream.one_round(bench_stream.IDLE, 1, 0.5, stream_parameters(1), tmp_path)
    assert len(noted["published"]) == len(noted["received"]) > 2
    assert noted["published"] == sorted(noted["published"])
    assert noted["node_peak_memory_mb"] > 10.0


def test_the_time_of_a_child_is_not_others() -> None:
    busy = "import sys, time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\nsys.stdin.read()"
    before = others.ours()
    with subprocess.Popen([sys.executable, "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        running = others.ours() - before
    ended = others.ours() - before
    assert 0.2 < running <= ended


def test_engines_take_turns_and_the_first_of_each_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_local, "PAUSE_S", 0.0)
    called: list[str] = []
    calls = {name: lambda _observation, name=name: called.append(name) for name in ("plain", "thread")}
    times = bench_local.alternated(calls, None, repeat=3)
    assert called == ["plain", "thread"] * 4
    assert {name: len(values) for name, values in times.items()} == {"plain": 3, "thread": 3}


def test_an_engine_that_does_not_run_is_listed_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(bench_local.Setting):
        def __init__(self, error: Exception) -> None:
            self.error = error

        @contextlib.contextmanager
        def client(self, candidate: Candidate, isolation: str) -> Iterator[Any]:
            raise self.error
            yield

    candidate = Candidate(ONNXRUNTIME, "bfloat16", "cpu")
    refused = bench_local.measured(Refusing(ConfigurationError("no bfloat16\nat all")), candidate)
    assert refused == {"does_not_run": "no bfloat16"}
    failed = bench_local.measured(Refusing(KeyError("provider")), candidate)
    assert failed == {"does_not_run": "KeyError: 'provider'", "unforeseen": True}


def test_bfloat16_is_judged_only_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    candidate = Candidate(TORCH, "bfloat16")
    monkeypatch.setattr(bench_local, "instructions", lambda flags: flags[:1])
    assert [bench_local.target(candidate, cameras, "cpu") for cameras in (1, 4)] == [0.38, 0.42]
    monkeypatch.setattr(bench_local, "instructions", lambda flags: ())
    assert bench_local.target(candidate, 1, "cpu") is None


def test_every_engine_and_precision_is_measured_on_each_device() -> None:
    for device, count in (("cpu", 10), ("cuda", 10)):
        every = bench_local.candidates(device, quick=False)
        assert len(set(every)) == count
        assert set(bench_local.candidates(device, quick=True)) < set(every)
    assert Candidate(ONNXRUNTIME, "float16", "tensorrt") in bench_local.candidates("cuda", quick=False)


def test_without_a_gpu_one_line_says_so() -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    command = [sys.executable, "-m", "benchmarks", "bench_local", "--device", "cuda"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0
    assert done.stderr.startswith("error: device cuda: torch")
    assert len(done.stderr.splitlines()) == 2  # and which benchmark failed
    assert "written to" not in done.stdout


def test_a_start_that_comes_to_nothing_says_why_in_one_line(tmp_path: Path) -> None:
    options = {"checkpoint": str(tmp_path / "absent"), "engine": ONNXRUNTIME}
    (reason,) = bench_start.start(options, tmp_path / "cache").values()
    assert str(tmp_path / "absent") in reason
    row = bench_start.judged(bench_start.Kind("it", options, 1.0), [{"does_not_run": reason}], 0.0)
    assert row == {"kind": "it", "does_not_run": reason}


def test_the_first_start_of_each_kind_does_not_count() -> None:
    starts = [{"chunk_s": seconds, "peak_memory_mb": 300.0} for seconds in (9.0, 0.5, 2.0, 0.7)]
    row = bench_start.judged(bench_start.Kind("it", {}, 1.0, 350.0), starts, 0.0)
    assert (row["chunk_s"], row["first_start_s"]) == (0.7, 9.0)
    assert (row["verdict_s"], row["verdict_mb"]) == ("met", "met")


def test_bags_and_their_data_set_are_evaluated_and_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av")
    output = tmp_path / "evaluation.json"
    monkeypatch.setattr(sys, "argv", ["bench_evaluation", "--quick", "--output", str(output)])
    assert bench_evaluation.main() == 0
    found = json.loads(output.read_text())
    assert {"speed, sqlite3", "speed, mcap", "export", "memory", "report", "data set"} < set(found)
    assert found["speed, mcap"]["chunks"] == 20
    assert found["speed, mcap"]["times_reading"] > 1.0
    assert found["memory"]["times_short"] > 0.5
    both = found["data set"]
    assert both["bags"]["chunks"] == both["dataset"]["chunks"] == 3 * 30
    assert both["bags"]["status"] == both["dataset"]["status"] == "complete"
    assert all("verdict" in found[name] for name in ("speed, mcap", "memory", "data set"))


def test_a_target_is_judged_where_the_machine_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    parts: dict[str, dict[str, Any]] = {"a": {"met": True}, "b": {"met": False}, "c": {"wall_s": 1.0}}
    found = bench_evaluation.judged(parts, 0.05)
    assert [figures.get("verdict") for figures in found.values()] == ["met", "missed", None]
    assert bench_evaluation.judged({"a": {"met": True}}, 0.5)["a"]["verdict"].startswith("not judged")
    assert capsys.readouterr().out.startswith("a: ")


PAGE = """<html><head><meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"></head>
<body style="margin:0;background:#00f"><main>text</main><div class="plot" style="height:9px"></div><script>
const drawn = '<svg><g class="scatterlayer"><g class="trace"><path d="M0 0H9"/></g></g></svg>';
setTimeout(() => { document.querySelector(".plot").innerHTML = drawn; }, 300);
</script></body></html>"""


@needs_chromium
def test_a_page_is_open_once_its_plots_are_drawn() -> None:
    (times,) = report_page.opening_times(PAGE, 1)
    assert times["plots"] == 1
    assert 0.0 < times["text_s"] < times["plots_s"]
    assert times["plots_s"] >= 0.3


@needs_chromium
def test_a_picture_shows_a_report_as_wide_as_a_phone(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(PAGE)
    report_pictures.take(tmp_path / "report.html", report_pictures.PHONE, tmp_path / "picture.png")
    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.size == (390, 1560)
        assert picture.convert("RGB").getpixel((380, 1500)) == (0, 0, 255)


def test_a_report_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nothing\.html: no such report"):
        report_pictures.take(tmp_path / "nothing.html", report_pictures.DESK, tmp_path / "picture.png")
