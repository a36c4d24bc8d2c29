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
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.motion import tables
from benchmarks.motion.figures import Figures
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
        """Run it in every form; with faults, only in our own form and the baseline's."""
        if self.group == REACTION:
            return reactions(self.scenario, self.setups, list(FORMS))
        forms = list(FORMS) if self.group == PLAIN else [OURS, BASELINE]
        return outcomes(self.group, self.scenario, self.setups, forms)


Parts = list[list[Outcome] | list[Reaction]]
"""What was found, for each scenario."""


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
        if only:  # scenarios of the quick run can be repeated, too
            scenarios = list(dict.fromkeys([*make(False), *scenarios]))
        found += [Task(group, scenario, setups) for scenario in scenarios if only in scenario.label]
    return found


def run(chosen: Sequence[Task]) -> Parts:
    """Run everything here, one scenario after the other."""
    return [task.run() for task in chosen]


def run_in_processes(arguments: Sequence[str], jobs: int) -> Parts:
    """Run every scenario in one of `jobs` processes that are started with these arguments, each with its share of them.

    What they found comes back as JSON.
    """
    command = [sys.executable, "-m", "benchmarks.bench_motion", *arguments, "--share"]
    processes = [subprocess.Popen([*command, f"{i}/{jobs}"], stdout=subprocess.PIPE) for i in range(jobs)]
    try:
        shares = [json.loads(process.communicate()[0] or "null") for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    if None in shares:
        raise SystemExit("bench_motion: a process ended before its scenarios were run (see above)")
    parts: Parts = [[] for _ in range(sum(len(share) for share in shares))]
    for i, share in enumerate(shares):
        parts[i::jobs] = [from_rows(rows) for rows in share]
    return parts


def from_rows(rows: Sequence[dict[str, Any]]) -> list[Outcome] | list[Reaction]:
    """What `asdict` and JSON made of a scenario's runs, as it was."""
    if rows and "setpoint" in rows[0]:
        lists = ("setpoint", "setpoint_worst", "arm", "arm_worst")
        return [Reaction(**{**row, **{name: tuple(row[name]) for name in lists}}) for row in rows]
    return [
        Outcome(
            **{
                **row,
                "figures": Figures(**row["figures"]),
                "ideal": Figures(**row["ideal"]),
                "failures": tuple(row["failures"]),
            }
        )
        for row in rows
    ]


def sorted_out(parts: Parts) -> tuple[list[Outcome], list[Reaction]]:
    """The runs of motions, and those of reactions."""
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
    parser.add_argument("--share", help=argparse.SUPPRESS)  # 1/4: the second of four processes
    options = parser.parse_args()
    if options.plots:
        for path in write_plots(options.plots):
            print(path)
        return 0
    chosen = tasks(options.all, options.only, options.controller, options.groups)
    if not chosen:
        parser.error(f"no scenario has {options.only!r} in its label")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if options.share:
        first, _, jobs = options.share.partition("/")
        json.dump([[asdict(each) for each in part] for part in run(chosen[int(first) :: int(jobs)])], sys.stdout)
        return 0
    jobs = min(options.jobs, len(chosen))
    found, answers = sorted_out(run_in_processes(sys.argv[1:], jobs) if jobs > 1 else run(chosen))
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
