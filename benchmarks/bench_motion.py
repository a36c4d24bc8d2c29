"""What the arm gets from each way of telling a trajectory controller a plan, on the controllers of three releases.

Messages of five forms go through models of joint_trajectory_controller (`simulation/trajectory_controller.py`), which
run at 500 Hz, to an arm of first order. `ours` is the package's whole pipeline; `stamped ahead` has positions only and
begins ahead of now, as the first version of this package did, and is the baseline of the ratios; `one point` comes each
1 / fps without a stamp; `queue` plays the newest chunk row by row, as LeRobot does; `overlap` begins with what was
told, and has positions only.
Everything is seeded and on simulated time: the figures do not depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.motion import tables
from benchmarks.motion.plots import write_plots
from benchmarks.motion.robot import Setup
from benchmarks.motion.runs import (
    ALL_SETUPS,
    BASELINE,
    DEFAULT_SETUPS,
    FAULT,
    FORMS,
    GUARD,
    OURS,
    PLAIN,
    REACTION,
    Outcome,
    Reaction,
    outcomes,
    reactions,
)
from benchmarks.motion.scenarios import (
    Scenario,
    fault_scenarios,
    guard_scenarios,
    plain_scenarios,
    reaction_scenarios,
)

MAKERS = {
    PLAIN: plain_scenarios,
    FAULT: fault_scenarios,
    GUARD: guard_scenarios,
    REACTION: reaction_scenarios,
}
TITLES = {
    PLAIN: "nothing goes wrong",
    FAULT: "chunks or observations fail",
    GUARD: "the controller does not do what it is told",
}


@dataclass(frozen=True)
class Task:
    """A scenario to run, and on which controllers."""

    group: str
    scenario: Scenario
    setups: tuple[Setup, ...]

    def run(self) -> list[Outcome] | list[Reaction]:
        """In every form; where something goes wrong, in our own and as the baseline."""
        if self.group == REACTION:
            return reactions(self.scenario, self.setups, list(FORMS))
        forms = list(FORMS) if self.group == PLAIN else [OURS, BASELINE]
        return outcomes(self.group, self.scenario, self.setups, forms)


def tasks(every: bool, only: str, controller: str, groups: Sequence[str]) -> list[Task]:
    """The scenarios whose label contains `only`, on the controllers whose label is `controller`; empty: any."""
    found = []
    for group in groups or MAKERS:
        make = MAKERS[group]
        setups = ALL_SETUPS if controller or (every and group == PLAIN) else DEFAULT_SETUPS
        if group == REACTION and not (every or controller):
            setups = tuple(setup for setup in setups if setup.label == "jazzy")
        setups = tuple(setup for setup in setups if controller in ("", setup.label))
        scenarios = make(every or bool(only))
        if only:  # those of the quick run are worth repeating, too
            scenarios = list(dict.fromkeys([*make(False), *scenarios]))
        found += [Task(group, scenario, setups) for scenario in scenarios if only in scenario.label]
    return found


def run(chosen: Iterable[Task], jobs: int) -> tuple[list[Outcome], list[Reaction]]:
    """Run everything, `jobs` scenarios at a time."""
    if jobs > 1:
        with ProcessPoolExecutor(jobs) as pool:
            parts = list(pool.map(Task.run, chosen))
    else:
        parts = [task.run() for task in chosen]
    results = [each for part in parts for each in part]
    return (
        [each for each in results if isinstance(each, Outcome)],
        [each for each in results if isinstance(each, Reaction)],
    )


def as_json(found: list[Outcome], answers: list[Reaction]) -> dict[str, Any]:
    """Everything that was measured, a summary first."""
    rows = [{**asdict(each), "figures": each.figures.as_dict(), "ideal": each.ideal.as_dict()} for each in found]
    return {
        "baseline": BASELINE,
        "summary": tables.summary(found),
        "missed": [row for row in rows if row["form"] == OURS and row["failures"]],
        "reactions": [asdict(each) for each in answers],
        "late_reactions": [asdict(each) for each in tables.late_reactions(answers)],
        "runs": rows,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="all 108 plain scenarios, every fault in every variant")
    parser.add_argument("--groups", nargs="*", choices=list(MAKERS), default=[], help="which scenarios (default: all)")
    parser.add_argument("--only", default="", metavar="TEXT", help="scenarios whose label has this")
    parser.add_argument("--controller", default="", help="one only, such as: jazzy, or: humble, from desired")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes (default: 2 at most)")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "motion.json")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="only draw the pictures of docs/motion.md")
    options = parser.parse_args()
    if options.plots:
        for path in write_plots(options.plots):
            print(path)
        return 0
    chosen = tasks(options.all, options.only, options.controller, options.groups)
    if not chosen:
        parser.error(f"no scenario has {options.only!r} in its label")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    found, answers = run(chosen, options.jobs)
    for group, title in TITLES.items():
        tables.print_motion(title, [each for each in found if each.group == group])
    tables.print_reactions(answers)
    tables.print_failures(found, answers)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(as_json(found, answers), indent=1, allow_nan=True) + "\n")
    print(f"written to {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
