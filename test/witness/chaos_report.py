"""What is told of a chaos run: lines while it goes on, a report in JSON, and the messages around each breach."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from test.witness.chaos import Segment
from test.witness.chaos_judge import BLOCKED, BUSY, DOWN, STARTS, Verdict, Window
from test.witness.recording import Recording
from test.witness.rules import UNSAFE

if TYPE_CHECKING:
    from test.witness.chaos_run import Run

BACK_P95_S = 1.0
NEAR_S = 2.0
"""So much before and after a breach is kept of the messages."""


def tell_window(window: Window) -> None:
    """One line for an episode that has been made."""
    notes = ["helped"] if window.helped else []
    notes += [f"restarted in {window.restart_s:.1f} s"] if window.restart_s is not None else []
    notes += window.failures
    print(f"  {window.closed - window.opened:5.1f} s  {window.name}  {'; '.join(notes)}".rstrip(), flush=True)


def tell_verdict(segment: Segment, verdict: Verdict) -> None:
    """The breaches of an episode."""
    print(f"  BROKEN {segment.mode}, {segment.interface}: {verdict.window.name} (granted {verdict.allowance_s:.2f} s)")
    for breach in verdict.breaches[:4]:
        print(f"    {breach.rule}: {breach.detail}")
    print(end="", flush=True)


def report(run: Run) -> dict[str, Any]:
    """All that is known of a run, for JSON; times in s."""
    verdicts = [verdict for _, verdict in run.verdicts]
    windows = [verdict.window for verdict in verdicts]
    kinds = Counter(past.kind.name for window in windows for past in window.past)
    unjudged = {name: sum(verdict.unjudged_s.get(name, 0.0) for verdict in verdicts) for name in (BUSY, DOWN, BLOCKED)}
    unjudged[STARTS] = run.starts_s
    return {
        "seed": run.seed,
        "duration_s": run.duration_s,
        "acted_s": round(run.acted_s, 1),
        "ended_early": run.ended_early,
        "not_tried": run.not_tried,
        "episodes": len(windows),
        "two_faults_at_once": sum(len(window.past) > 1 for window in windows),
        "kinds": len(kinds),
        "times_of_each_kind": dict(sorted(kinds.items())),
        "violations": sum(any(b.rule in UNSAFE for b in verdict.breaches) for verdict in verdicts),
        "other_breaches": sum(
            bool(verdict.breaches) and not any(b.rule in UNSAFE for b in verdict.breaches) for verdict in verdicts
        ),
        "broken_rules": dict(Counter(rule for v in verdicts for rule in {breach.rule for breach in v.breaches})),
        "broken": [_told(segment, verdict) for segment, verdict in run.verdicts if verdict.breaches],
        "recovery_s": quantiles([verdict.back_s for verdict in verdicts if verdict.back_s is not None]),
        "recovery_not_judged": dict(Counter(v.no_back for v in verdicts if v.no_back)),
        "rest_s": quantiles([rest for verdict in verdicts for rest in verdict.rests_s]),
        "restart_of_the_node_s": quantiles([w.restart_s for w in windows if w.restart_s is not None]),
        "granted_to_the_machine_s": quantiles([verdict.allowance_s for verdict in verdicts]),
        "unjudged_s": {name: round(seconds, 1) for name, seconds in unjudged.items()},
        "helped": sum(window.helped for window in windows),
        "machine": {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)},
    }


def quantiles(values: Sequence[float]) -> dict[str, float | int | None]:
    """Number, p50, p95 and the greatest."""
    if not values:
        return {"n": 0, "p50": None, "p95": None, "max": None}
    p50, p95, most = (round(float(np.quantile(values, q)), 3) for q in (0.5, 0.95, 1.0))
    return {"n": len(values), "p50": p50, "p95": p95, "max": most}


def is_good(run: Run) -> bool:
    """Whether no rule was broken, the arm went on soon enough, and all was tried."""
    told = report(run)
    back = told["recovery_s"]["p95"]
    return not told["broken"] and not run.not_tried and back is not None and back <= BACK_P95_S


def summary(run: Run) -> str:
    """A few lines for people."""
    told = report(run)
    back, granted, rest = told["recovery_s"], told["granted_to_the_machine_s"], told["rest_s"]
    lines = [
        f"seed {run.seed}: {told['episodes']} episodes in {told['acted_s']:.0f} s, {told['two_faults_at_once']} with "
        f"two faults at once; {told['kinds']} kinds of fault",
        f"{told['violations']} with a broken rule of safety, {told['other_breaches']} only with one of what a person "
        f"sees or waits for {told['broken_rules'] or ''}".rstrip(),
        f"at rest p50/p95 {rest['p50']}/{rest['p95']} s, back {back['p50']}/{back['p95']} s (at most {BACK_P95_S:g})",
        f"granted to the machine p50/p95/max {granted['p50']}/{granted['p95']}/{granted['max']} s, load "
        f"{told['machine']['load']} on {told['machine']['cores']} cores",
        "not judged: " + ", ".join(f"{name} {seconds:g} s" for name, seconds in told["unjudged_s"].items()),
    ]
    lines += [f"recovery not judged {n} times: {why}" for why, n in told["recovery_not_judged"].items()]
    lines += [f"NOT TRIED: {what}" for what in run.not_tried]
    return "\n".join(lines)


def write(path: Path, run: Run) -> None:
    """Write the report."""
    path.write_text(json.dumps(report(run), indent=1) + "\n")


def keep(out: Path, number: int, segment: Segment, verdict: Verdict, log: str) -> Path:
    """Keep what is needed to look for a breach's cause: the faults, the messages around it, the node's output."""
    name = re.sub(r"[^a-z0-9]+", "_", verdict.window.name.lower()).strip("_")
    directory = out / "violations" / f"{number:03d}_{segment.mode}_{segment.interface}_{name}"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "episode.json").write_text(json.dumps(_told(segment, verdict), indent=1) + "\n")
    times = [breach.time for breach in verdict.breaches]
    near = verdict.part.between(min(times) - NEAR_S, max(times) + NEAR_S)
    write_messages(directory / "messages.jsonl", near)
    (directory / "node.txt").write_text(log)
    return directory


def write_messages(path: Path, part: Recording) -> None:
    """One message a line: when it was published, what it is, and what it holds."""
    with path.open("w") as file:
        for event in sorted(part.events, key=lambda event: event.time):
            line = {"time": event.time, "kind": event.kind, "name": event.name, "message": plain(event.message)}
            file.write(json.dumps(line) + "\n")


def plain(message: Any) -> Any:
    """A message, or a part of one, for JSON."""
    if hasattr(message, "get_fields_and_field_types"):
        return {name: plain(getattr(message, name)) for name in message.get_fields_and_field_types()}
    if isinstance(message, Mapping):
        return {name: plain(value) for name, value in message.items()}
    if isinstance(message, (str, int, float, bool)) or message is None:
        return message
    return plain(vars(message)) if hasattr(message, "__dict__") else [plain(each) for each in message]


def _told(segment: Segment, verdict: Verdict) -> dict[str, Any]:
    window = verdict.window
    return {
        "mode": segment.mode,
        "interface": segment.interface,
        "episode": window.name,
        "opened": window.opened,
        "over": window.over,
        "closed": window.closed,
        "granted_s": round(verdict.allowance_s, 3),
        "down": window.down,
        "faults": [{"kind": past.kind.name, "begin": past.begin, "end": past.end} for past in window.past],
        "breaches": [asdict(breach) for breach in verdict.breaches],
    }
