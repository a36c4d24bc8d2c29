"""The fault matrix: `python -m test.witness.matrix` tries every cell on a real node, in each mode, for each interface.

Each cell is judged by the witness from the messages alone, with an allowance for the machine: 0.05 s and how late a
thread of this process woke meanwhile, at worst.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from test.witness import table
from test.witness.cells import Cell, wait_for_chunk
from test.witness.evidence import Breach, Evidence
from test.witness.motion import seconds
from test.witness.recording import CHUNK, COMMAND, STATUS, Event, Fault, Recording
from test.witness.rules import UNSAFE, judge
from test.witness.rules_of_plans import CHUNK_BEHIND_S
from test.witness.rules_of_states import words_of
from test.witness.setups import LOCAL, MODES, SETUPS
from test.witness.stage import INTERFACES, Stage

AFTER_S, BEFORE_S = 0.3, 0.4
ALLOWANCE_S = 0.05
UNDER_WAY_S = 0.3
"""Chunks of observations from before may still come after a fault began."""


@dataclass(frozen=True)
class Result:
    """What came of a cell.

    `rest_s`: how long after the fault's begin it moved; `back_s`: how long after its end it stood still. None
    where that was not asked for.
    """

    interface: str
    cell: Cell
    breaches: list[Breach]
    near: list[str]
    """The commands around the first breach, for who looks for its cause."""
    rest_s: float | None
    back_s: float | None
    allowance_s: float
    mode: str = LOCAL

    @property
    def unsafe(self) -> list[Breach]:
        return [breach for breach in self.breaches if breach.rule in UNSAFE]


def attempt(on: Stage, interface: str, cell: Cell, mode: str = LOCAL) -> Result:
    """Make the fault on a node that commands, and judge what came of it."""
    on.settle()
    time.sleep(BEFORE_S)
    opened = time.time() - BEFORE_S
    begin = time.time()
    with cell.act(on):
        time.sleep(max(0.0, begin + cell.lasts_s - time.time()))
        end = time.time()
    if cell.waits_for_chunk:
        end = wait_for_chunk(on, begin + UNDER_WAY_S)
    if cell.back_s is not None:
        deadline = time.time() + cell.back_s + AFTER_S
        while time.time() < deadline and not on.stand.robot.commanded("arm", end + 0.1):
            time.sleep(0.05)
        time.sleep(AFTER_S)
    closed = time.time()
    time.sleep(CHUNK_BEHIND_S)
    late = ALLOWANCE_S + on.witness.latest_lateness(opened, closed)
    recording = on.witness.recording
    part = recording.between(opened, closed)
    # A command's chunk comes after it.
    part.events += [event for event in recording.between(closed, time.time()).events if is_chunk_of(event, closed)]
    ended = time.time() if end is None else end
    part.faults = [Fault(cell.name, begin, ended, cell.rest_s, cell.back_s, cell.reasons)]
    contract = replace(on.contract, allowance_s=late)
    evidence = Evidence(part, contract)
    breaches = judge(part, contract)
    moved = evidence.moves_within(begin, ended)
    first = evidence.moving[evidence.moving > ended]
    return Result(
        interface,
        cell,
        breaches,
        _near(part, breaches[0].time) if breaches else [],
        None if cell.rest_s is None or moved is None else moved - begin,
        None if cell.back_s is None or not len(first) else float(first[0]) - ended,
        late,
        mode,
    )


def is_chunk_of(event: Event, before: float) -> bool:
    """Whether an event is a chunk of an observation before a time."""
    return event.kind == CHUNK and seconds(event.message.header.stamp) < before


def _near(part: Recording, time: float) -> list[str]:
    lines = []
    for event in part.events:
        if abs(event.time - time) < 0.25 and event.kind == COMMAND and hasattr(event.message, "points"):
            stamp, points = seconds(event.message.header.stamp), event.message.points
            last = seconds(points[-1].time_from_start)
            lines.append(
                f"published {event.time - time:+.3f}, begins {stamp - time:+.3f}, {len(points)} points to "
                f"{stamp + last - time:+.3f}, first {np.round(points[0].positions, 3)}"
            )
        elif abs(event.time - time) < 0.25 and event.kind == STATUS:
            lines.append(f"status {event.time - time:+.3f} {words_of(event.message)[:70]}")
    return lines


def run(modes: Iterable[str], interfaces: Iterable[str], only: str = "", write: bool = False) -> list[Result]:
    """Try the cells whose names contain `only`; the page is written after each of them."""
    results = []
    for mode, interface, setup in itertools.product(modes, interfaces, SETUPS):
        chosen = [cell for cell in setup.cells() if only in cell.name]
        if not chosen or mode != setup.mode or interface not in setup.interfaces:
            continue
        with tempfile.TemporaryDirectory() as directory, setup.stage(Path(directory), interface) as on:
            on.settle(60.0)
            time.sleep(2.0)
            for cell in chosen:
                results.append(attempt(on, interface, cell, mode))
                _tell(results[-1])
                if write:
                    table.write(results)
    return results


def _tell(result: Result) -> None:
    rest = "" if result.rest_s is None else f"rest {result.rest_s:.2f}"
    back = "" if result.back_s is None else f"back {result.back_s:.2f}"
    print(
        f"{result.mode:6} {result.interface:16} {result.cell.name:45} {rest:10} {back:10} "
        f"allowed +{result.allowance_s:.2f}"
    )
    for breach in result.breaches[:6]:
        print(f"    {breach.rule}: {breach.detail}")
    for line in result.near:
        print(f"        {line}")
    sys.stdout.flush()


def quantiles(values: Sequence[float]) -> str:
    """p50 / p95, s."""
    return "/".join(f"{np.quantile(values, q):.2f}" for q in (0.5, 0.95)) if values else "-"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; the exit status is 1 if a rule was broken."""
    parser = argparse.ArgumentParser(description="Try every fault on a real node; the witness judges.")
    parser.add_argument("--modes", nargs="*", default=list(MODES), choices=list(MODES))
    parser.add_argument("--interfaces", nargs="*", default=list(INTERFACES), choices=list(INTERFACES))
    parser.add_argument("--only", default="", help="only the cells whose names contain this")
    parser.add_argument("--write", action="store_true", help="put the table into docs/reliability.md")
    given = parser.parse_args(arguments)
    results = run(given.modes, given.interfaces, given.only, given.write)
    broken = [result for result in results if result.breaches]
    rests = [result.rest_s for result in results if result.rest_s is not None]
    backs = [result.back_s for result in results if result.back_s is not None]
    print(
        f"{len(results)} cells, {sum(bool(result.unsafe) for result in results)} unsafe, {len(broken)} with a breach; "
        f"at rest p50/p95 {quantiles(rests)} s, back {quantiles(backs)} s; load {os.getloadavg()[0]:.1f} on "
        f"{os.cpu_count()} cores"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
