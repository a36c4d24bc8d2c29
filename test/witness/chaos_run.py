"""The chaos run: `python -m test.witness.chaos_run --duration 600 --seed 1`. One node lives through many faults.

The faults and their times are those of the schedule (`chaos.py`), which depends on the seed only. What the machine
makes of them is judged by the witness (`chaos_judge.py`).
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from act_inference_ros.program.signals import StoppedBySignal, StopSignals
from test.inference.triton_process import RunningTriton
from test.witness import chaos_report
from test.witness.cells import wait_for_chunk
from test.witness.chaos import Episode, Made, Segment, segments
from test.witness.chaos_judge import UNDER_WAY_S, Past, Verdict, Window, judge_window
from test.witness.chaos_kinds import MODES
from test.witness.chaos_stage import (
    bring_to_motion,
    chaos_stage,
    log_of,
    restart_server,
    server_lives,
    wait_until_active,
)
from test.witness.rules_of_plans import CHUNK_BEHIND_S
from test.witness.stage import INTERFACES, Stage
from test.witness.triton_stage import SERVER

AFTER_S = 0.3
POLL_S = 0.02
LATEST = 100
"""Events that are looked at to see whether the witness hears anything."""


@dataclass
class Run:
    """What came of a run so far."""

    seed: int
    duration_s: float
    verdicts: list[tuple[Segment, Verdict]] = field(default_factory=list)
    acted_s: float = 0.0
    """How long faults were made and waited for."""
    starts_s: float = 0.0
    """How long the stages took to start and to end, in which nothing is judged."""
    not_tried: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.time)
    ended_early: bool = False


def play(on: Stage, episode: Episode, opened: float) -> Window:
    """Make an episode's faults on a node that commands, and wait for what comes of them."""
    window = Window(episode.name, opened)
    on.extra.update(down=[], started=0.0)
    try:
        if on.stand.node.returncode is not None:
            window.failures.append(f"the node ended by itself, with status {on.stand.node.returncode}")
        if not server_lives(on):
            window.failures.append(f"the server ended by itself, with status {restart_server(on)}")
        window.helped = not bring_to_motion(on)
        time.sleep(episode.calm_s)
        _make(on, episode, window)
        window.over = _all_there_again(on, window)
        _wait_for_motion(on, window)
    except AssertionError as error:
        window.failures.append(str(error))
    window.closed = time.time()
    if not any(event.time > opened for event in on.witness.recording.events[-LATEST:]):
        window.failures.append("the witness hears nothing any more")
    window.over = window.over or window.closed
    window.down = [(begin, end or window.closed) for begin, end in on.extra["down"]]
    time.sleep(CHUNK_BEHIND_S)
    window.late_s = on.witness.latest_lateness(window.opened, window.closed)
    return window


def _make(on: Stage, episode: Episode, window: Window) -> None:
    """Begin each fault at its time, and end it after its own; what takes longer delays the other one."""
    moments = [(made.after_s, place, True) for place, made in enumerate(episode.faults)]
    zero = time.monotonic()
    acts = [contextlib.ExitStack() for _ in episode.faults]
    began: dict[int, float] = {}
    with contextlib.ExitStack() as whatever_comes:
        for act in acts:
            whatever_comes.push(act)
        while moments:
            moments.sort()
            due, place, begins = moments.pop(0)
            time.sleep(max(0.0, zero + due - time.monotonic()))
            made: Made = episode.faults[place]
            try:
                if begins:
                    began[place] = time.time()
                    moments.append((time.monotonic() - zero + made.lasts_s, place, False))
                    acts[place].enter_context(made.kind.cell.act(on))
                else:
                    window.past.append(Past(made.kind, began[place], time.time()))
                    acts[place].close()
            except AssertionError as error:
                window.failures.append(f"{made.kind.name}: {error}")
    window.past.sort(key=lambda past: past.begin)


def _all_there_again(on: Stage, window: Window) -> float:
    """Wait until all that had failed is there again; a restarted node is told to go on. Gives the time."""
    server: RunningTriton | None = on.extra.get(SERVER)
    if server is not None and any(past.kind.cell.what == "server" for past in window.past):
        server.wait_ready(deadline_s=60.0)
    if on.extra["started"]:
        wait_until_active(on)
        window.restart_s = wait_for_chunk(on, on.extra["started"]) - on.extra["started"]
    for past in window.past:
        if past.kind.restart:
            on.stand.ask("resume")
    over = time.time()
    for past in window.past:
        if past.kind.cell.waits_for_chunk:
            over = max(over, wait_for_chunk(on, past.begin + UNDER_WAY_S))
    return over


def _wait_for_motion(on: Stage, window: Window) -> None:
    bounds = [past.kind.cell.back_s for past in window.past]
    deadline = window.over + (0.0 if None in bounds else max(bound or 0.0 for bound in bounds))
    while time.time() < deadline and not on.stand.robot.commanded("arm", window.over + 0.1):
        time.sleep(POLL_S)
    time.sleep(AFTER_S)


def run_segment(run: Run, segment: Segment, out: Path) -> None:
    """Run a segment on a stage of its own, and judge it when its node has ended."""
    windows: list[Window] = []
    entered = time.time()
    on: Stage | None = None
    with tempfile.TemporaryDirectory() as directory:
        try:
            with chaos_stage(Path(directory), segment.mode, segment.interface) as on:
                on.extra["random"] = random.Random(f"{segment.seed} {segment.mode} {segment.number} requests")
                bring_to_motion(on)
                time.sleep(1.0)
                begin = opened = time.time()
                for episode in segment.episodes():
                    windows.append(play(on, episode, opened))
                    opened = windows[-1].closed
                    chaos_report.tell_window(windows[-1])
                    if time.time() - begin > segment.lasts_s:
                        break
        finally:
            if on is not None and windows:
                acted = windows[-1].closed - windows[0].opened
                run.acted_s += acted
                run.starts_s += time.time() - entered - acted
                _judge(run, segment, windows, on, log_of(on), out)


def _judge(run: Run, segment: Segment, windows: Sequence[Window], on: Stage, log: str, out: Path) -> None:
    recording = on.witness.recording
    recording.events.sort(key=lambda event: event.time)
    for window in windows:
        verdict = judge_window(recording, on.contract, window)
        run.verdicts.append((segment, verdict))
        if verdict.breaches:
            chaos_report.keep(out, len(run.verdicts), segment, verdict, log)
            chaos_report.tell_verdict(segment, verdict)


def run_chaos(
    seed: int,
    duration_s: float,
    out: Path,
    modes: Sequence[str] = MODES,
    interfaces: Sequence[str] = tuple(INTERFACES),
) -> Run:
    """Run a schedule. Where there is no Triton its segments are not tried, and named in the report."""
    run = Run(seed, duration_s)
    out.mkdir(parents=True, exist_ok=True)
    try:
        for segment in segments(seed, duration_s, modes, interfaces):
            print(f"{segment.mode}, {segment.interface}: {segment.lasts_s:.0f} s", flush=True)
            try:
                run_segment(run, segment, out)
            except pytest.skip.Exception as reason:
                run.not_tried.append(f"{segment.mode}: {reason}")
    except KeyboardInterrupt:
        run.ended_early = True
        raise
    finally:
        chaos_report.write(out / "report.json", run)
    return run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; the exit status is 1 if a rule was broken, or if something was not tried or came back too slowly."""
    parser = argparse.ArgumentParser(description="Faults at random, two at once, on real nodes; the witness judges.")
    parser.add_argument("--duration", type=float, default=600.0, help="s in which faults are made (default 600)")
    parser.add_argument("--seed", type=int, default=1, help="of the schedule (default 1)")
    parser.add_argument("--modes", nargs="+", default=list(MODES), choices=MODES)
    parser.add_argument("--interfaces", nargs="+", default=list(INTERFACES), choices=list(INTERFACES))
    parser.add_argument("--out", type=Path, help="directory for the report and the messages (default .chaos/seed_N)")
    given = parser.parse_args(arguments)
    if given.duration <= 0.0:
        parser.error("--duration: expected more than 0 s")
    stop = StopSignals()
    out = given.out or Path(".chaos", f"seed_{given.seed}")
    try:
        with stop.interrupting():
            run = run_chaos(given.seed, given.duration, out, given.modes, given.interfaces)
    except StoppedBySignal as stopped:
        print(f"ended early; what was judged until then is in {out / 'report.json'}")
        return stopped.exit_status
    print(chaos_report.summary(run))
    print(f"report: {out / 'report.json'}")
    return 0 if chaos_report.is_good(run) else 1


if __name__ == "__main__":
    sys.exit(main())
