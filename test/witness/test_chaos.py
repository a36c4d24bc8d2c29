"""The schedule of the chaos run depends on its seed alone; overlapping faults hide nothing; and a run of it.

CHAOS_SECONDS says how long the run is (120), 0 that there is none.
"""

import itertools
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from test.ros.ros_helpers import NodeProcess
from test.witness import chaos_report
from test.witness.cells import BACK_S, Cell
from test.witness.chaos import Episode, Segment, segments
from test.witness.chaos_judge import BUSY, DOWN, Past, Window, judge_window
from test.witness.chaos_kinds import MODES, Kind, kinds
from test.witness.chaos_report import is_good, report
from test.witness.chaos_run import Run, run_chaos
from test.witness.chaos_show import lines as lines_of
from test.witness.made_up import BEGIN, CONTRACT, END, SILENT_FROM, SILENT_UNTIL, made_up, status
from test.witness.motion import seconds
from test.witness.recording import CHUNK, STATUS, Event, Recording
from test.witness.test_matrix import SAFETY
from test.witness.test_witness import too_abrupt

SECONDS = float(os.environ.get("CHAOS_SECONDS", "120"))
WHEN_IT_COMES = "for which environment has nothing good"
"""Its messages have no stamp and count from when the node gets them: how late that is, nobody measures here."""
EPISODE_S = 4.5
"""What an episode takes at most on a machine that is not busy, mostly."""


def first(segment: Segment, count: int = 40) -> list[Episode]:
    return list(itertools.islice(segment.episodes(), count))


def told(episodes: list[Episode]) -> list[Any]:
    return [(e.calm_s, [(made.kind.name, made.after_s, made.lasts_s) for made in e.faults]) for e in episodes]


def schedule(seed: int) -> list[Any]:
    return [(replace(segment, seed=0), told(first(segment))) for segment in segments(seed, 600.0)]


def test_the_same_seed_gives_the_same_schedule_and_another_one_another() -> None:
    assert schedule(3) == schedule(3)
    assert schedule(3) != schedule(4)


@pytest.mark.parametrize("seed", range(5))
def test_ten_minutes_have_forty_kinds_of_fault_in_both_modes(seed: int) -> None:
    plan = segments(seed, 600.0)
    assert sum(segment.lasts_s for segment in plan) == pytest.approx(600.0)
    made = {
        (segment.mode, fault.kind.name)
        for segment in plan
        for episode in first(segment, int(segment.lasts_s / EPISODE_S))
        for fault in episode.faults
    }
    for mode in MODES:
        assert len([kind for its, kind in made if its == mode]) >= 40


def test_two_faults_at_once_overlap_and_take_hold_of_different_things() -> None:
    pairs = [episode for segment in segments(1, 600.0) for episode in first(segment) if len(episode.faults) == 2]
    assert len(pairs) > 100
    for one, other in (episode.faults for episode in pairs):
        assert not one.kind.holds & other.kind.holds
        assert one.after_s <= other.after_s < one.until_s


@pytest.mark.parametrize("mode", MODES)
def test_kinds_have_names_of_their_own(mode: str) -> None:
    assert Counter(kind.name for kind in kinds(mode)).most_common(1)[0][1] == 1
    assert all(kind.cell.rest_s is None or kind.cell.lasts_s > kind.cell.rest_s for kind in kinds(mode))


def test_a_run_of_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="telepathy"):
        kinds("telepathy")


def kind(name: str, **fields: Any) -> Kind:
    return Kind(Cell(name, "off", lambda _: None, **fields), frozenset({name}))


def window(*past: Past, **fields: Any) -> Window:
    return Window("planted", BEGIN + 2.0, END - 1.0, over=SILENT_UNTIL, past=list(past), **fields)


CAMERA = Past(kind("camera", rest_s=CONTRACT.rest_s, reasons=("stale: front",)), SILENT_FROM, SILENT_UNTIL)


def broken(recording: Recording, *past: Past, **fields: Any) -> set[str]:
    return {breach.rule for breach in judge_window(recording, CONTRACT, window(*past, **fields)).breaches}


def test_overlapping_faults_that_were_answered_well_break_no_rule() -> None:
    other = Past(kind("other", rest_s=1.0), SILENT_FROM + 0.3, SILENT_UNTIL)
    verdict = judge_window(made_up(), CONTRACT, window(CAMERA, other))
    assert verdict.breaches == []
    assert 0.0 < verdict.back_s < BACK_S
    assert len(verdict.rests_s) == 2


def test_each_of_two_faults_keeps_its_own_bound_of_rest() -> None:
    unnoticed = Past(kind("other", rest_s=0.5), BEGIN + 2.5, SILENT_UNTIL)
    assert broken(made_up(), unnoticed, CAMERA) == {"rest"}


def test_an_arm_that_does_not_go_on_is_late() -> None:
    assert broken(made_up(goes_on=False), CAMERA) == {"back"}
    somebody = Past(kind("somebody", back_s=None), SILENT_FROM, SILENT_UNTIL)
    assert broken(made_up(goes_on=False), CAMERA, somebody) == set()


def test_a_fault_may_be_named_by_the_words_of_another_one_but_not_by_none() -> None:
    def other_words(event: Event) -> Event:
        return replace(event, message=status("holding", "paused")) if event.kind == STATUS else event

    recording = made_up()
    recording.events[:] = [other_words(event) for event in recording.events]
    pause = Past(kind("pause", reasons=("paused",)), SILENT_FROM + 0.3, SILENT_UNTIL)
    assert "reason" in broken(recording, CAMERA)
    assert "reason" not in broken(recording, CAMERA, pause)


def frozen(until: float) -> dict[str, Any]:
    return {"down": [(SILENT_FROM - 0.5, until)]}


def test_a_node_that_does_not_run_need_not_see_that_an_input_is_gone_but_only_while_a_plan_lasts() -> None:
    recording = made_up(fault=False)  # it moves on
    recording.events[:] = [
        event for event in recording.events if event.name != "front" or not SILENT_FROM < event.time < SILENT_UNTIL
    ]
    assert {"fresh", "rest"} <= broken(recording, CAMERA)
    assert {"fresh", "rest"} <= broken(recording, CAMERA, **frozen(SILENT_FROM + 0.2)), "longer than a plan lasts"
    verdict = judge_window(made_up(), CONTRACT, window(CAMERA, **frozen(SILENT_FROM + 0.2)))
    assert verdict.unjudged_s[DOWN] == pytest.approx(0.7)


def test_a_window_that_closes_between_two_inputs_leaves_their_chunk_to_the_next_one() -> None:
    recording = made_up(fault=False)
    observed = next(e.message.header.stamp for e in recording.of(CHUNK) if e.time > SILENT_FROM)
    closes = seconds(observed) + 0.002
    before = closes - 2.0 * CONTRACT.max_skew
    recording.events[:] = [
        replace(event, time=event.time + 0.005) if event.name == "state" else event
        for event in recording.events
        if event.name != "state" or not before < event.time < closes - 0.003  # the machine was busy
    ]
    earlier, later = Window("earlier", BEGIN + 2.0, closes), Window("later", closes, END - 1.0)
    assert [judge_window(recording, CONTRACT, each).breaches for each in (earlier, later)] == [[], []]
    recording.events[:] = [
        e for e in recording.events if e.name != "state" or abs(e.time - closes) > 2.0 * CONTRACT.max_skew
    ]
    assert "backed" in {breach.rule for breach in judge_window(recording, CONTRACT, later).breaches}


def test_what_is_moved_while_a_machine_is_too_busy_counts_as_not_judged() -> None:
    verdict = judge_window(made_up(), CONTRACT, window(CAMERA, late_s=0.6))
    assert verdict.unjudged_s[BUSY] == pytest.approx(END - 1.0 - BEGIN - 2.0)


def test_a_breach_is_kept_with_the_messages_around_it(tmp_path: Path) -> None:
    segment = segments(1, 100.0, ["local"])[0]
    verdict = judge_window(too_abrupt(), CONTRACT, window())
    run = Run(1, 100.0, [(segment, verdict)])
    assert not is_good(run)
    assert report(run)["broken_rules"] == {"acceleration": 1}
    assert report(run)["violations"] == 1
    kept = chaos_report.keep(tmp_path, 1, segment, verdict, "what the node wrote")
    assert json.loads((kept / "episode.json").read_text())["breaches"][0]["rule"] == "acceleration"
    assert (kept / "node.txt").read_text() == "what the node wrote"
    lines = [json.loads(line) for line in (kept / "messages.jsonl").read_text().splitlines()]
    assert {line["kind"] for line in lines} >= {"command", "input", "status"}
    shown = list(lines_of(kept, before_s=5.0, after_s=5.0, inputs=True))
    assert len(shown) > len(verdict.breaches) + 10
    assert any("broken +0.000 acceleration" in line for line in shown)
    assert all(abs(line["time"] - breach.time) < 8.0 for line in lines for breach in verdict.breaches)


@pytest.fixture
def chaos(tmp_path: Path) -> Iterator[NodeProcess]:
    environment = dict(os.environ, PYTHONUNBUFFERED="1")
    arguments = ("--duration", "60", "--modes", "local", "--out", str(tmp_path / "out"))
    name = "test.witness.chaos_run"
    with NodeProcess.module(name, *arguments, environment=environment, output=tmp_path / "out.txt") as process:
        yield process


def test_ctrl_c_ends_a_run_and_all_that_it_has_started(chaos: NodeProcess, tmp_path: Path) -> None:
    chaos.wait_for_line("^ +[0-9.]+ s  ", 90.0)  # an episode has been made
    assert chaos.stop(signal.SIGINT, 60.0) == 128 + signal.SIGINT
    assert json.loads((tmp_path / "out" / "report.json").read_text())["ended_early"]


@pytest.mark.skipif(SECONDS <= 0.0, reason="CHAOS_SECONDS=0")
def test_chaos_breaks_no_rule_of_safety(tmp_path: Path) -> None:
    run = run_chaos(1, SECONDS, tmp_path)
    assert run.verdicts
    found = [
        f"{verdict.window.name}: {breach.rule} {breach.detail} (granted {verdict.allowance_s:.2f} s)"
        for _, verdict in run.verdicts
        for breach in verdict.breaches
        if breach.rule in (*SAFETY, "answer") and not breach.detail.endswith(WHEN_IT_COMES)
    ]
    assert not found, f"{chaos_report.summary(run)}\n" + "\n".join(found)
    print(chaos_report.summary(run), file=sys.stderr)
