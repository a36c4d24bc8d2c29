"""What the witness can say of an episode in which faults overlap, and what it cannot.

The rules of the messages (limits of motion, the plan's age, fresh inputs, silence) hold whatever is done, and each
second is judged by them. Of the rules that belong to a fault:

* `rest`: each fault has its own bound, from its own begin, as if it were alone. Where the node does not run, because
  it is frozen or dead, the bound is the age of a plan after that began: nobody is there who could hold the arm.
* `fresh` cannot hold in that time either, nor can a stream be led to rest (`goes_on`): that they are not judged there
  is counted.
* An arm that is blocked is told where it is measured, which is a step of the setpoint and none of the arm: the rules of
  smoothness are not judged meanwhile, and that is counted.
* `reason`: one of the words of any of the faults, unless one of them may hide them.
* `back`: from the end of the last fault, when all that had failed is there again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from test.witness.chaos_kinds import MAY_STOP, Kind
from test.witness.evidence import Breach, Evidence
from test.witness.matrix import is_chunk_of
from test.witness.motion import seconds
from test.witness.recording import CHUNK, STATUS, Contract, Fault, Recording
from test.witness.rules import judge
from test.witness.rules_of_states import words_of

UNDER_WAY_S = 0.3
"""Chunks of observations from before may still come after a fault began."""
WARM_S = 1.0
"""So much from before is given to the rules, which have to know where the arm came from."""
ALLOWANCE_S, TOO_BUSY_S = 0.05, 0.5
"""What is granted for the machine at least; where it is more than the second, rules are too loose to judge by."""
MOVED_S = 0.3
FOLLOWS_S = 1.0
"""After its end an arm that had been blocked follows again."""

BUSY, DOWN, BLOCKED, STARTS = (
    "the machine was too busy",
    "inputs and the ends of streams, while the node did not run",
    "how smoothly, while the arm did not follow",
    "starts and ends of stages",
)
SMOOTH = ("velocity", "acceleration", "in_time")


@dataclass(frozen=True)
class Past:
    """A fault that was made, from `begin` to `end`, s."""

    kind: Kind
    begin: float
    end: float


@dataclass
class Window:
    """What happened between two times: the faults, when all was there again (`over`), and what needs no rule.

    `down`: when the node was frozen or dead. `failures`: what went wrong that the messages do not show.
    """

    name: str
    opened: float
    closed: float = 0.0
    over: float = 0.0
    past: list[Past] = field(default_factory=list)
    down: list[tuple[float, float]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    late_s: float = 0.0
    """How late a thread of the witness woke at worst."""
    restart_s: float | None = None
    """How long a restarted node took to its first chunk."""
    helped: bool = False
    """Whether the arm had to be helped before."""


@dataclass
class Verdict:
    """What came of a window. `unjudged_s`: what could not be judged, and for how many seconds."""

    window: Window
    breaches: list[Breach]
    part: Recording
    allowance_s: float
    rests_s: list[float]
    back_s: float | None
    unjudged_s: dict[str, float]
    no_back: str = ""
    """Why it was not judged whether the arm goes on."""


def judge_window(recording: Recording, contract: Contract, window: Window) -> Verdict:
    """Judge a window by all rules."""
    granted = ALLOWANCE_S + window.late_s
    contract = replace(contract, allowance_s=granted)
    part = recording.between(window.opened - WARM_S, window.closed)
    # A command's chunk comes after it.
    part.events += [e for e in recording.events if e.time >= window.closed and is_chunk_of(e, window.closed)]
    no_back = why_no_back(part, window)
    part.faults = faults_of(part, window, contract, judges_back=not no_back)
    evidence = Evidence(part, contract)
    unjudged: dict[str, float] = {}
    if granted > TOO_BUSY_S:
        unjudged[BUSY] = window.closed - window.opened
    if window.down:
        unjudged[DOWN] = sum(min(end - begin, contract.max_plan_age) for begin, end in window.down)
    for begin, end in _blocked(window):
        unjudged[BLOCKED] = end - begin
    breaches = [
        breach
        for breach in judge(part, contract)
        if breach.time >= window.opened
        # A later chunk is the next window's, which knows what else came when it was observed.
        and not (breach.rule == "backed" and breach.time >= window.closed)
        and not _excused(breach, window, contract)
    ]
    breaches += [Breach("answer", window.opened, failure) for failure in window.failures]
    rests = []
    for past in window.past:
        moved = evidence.moves_within(past.begin - MOVED_S, past.end)
        if past.kind.cell.rest_s is not None and moved is not None:
            rests.append(max(0.0, moved - past.begin))
    first = evidence.moving[evidence.moving > window.over]
    back = float(first[0]) - window.over if window.past and not no_back and len(first) else None
    return Verdict(window, breaches, part, granted, rests, back, unjudged, no_back)


def faults_of(part: Recording, window: Window, contract: Contract, judges_back: bool) -> list[Fault]:
    """What has to come of the faults, each by itself and all together."""
    found = []
    alone = len(window.past) == 1
    words = tuple(word for past in window.past for word in past.kind.cell.reasons)
    for past in window.past:
        hidden = any(other is not past and other.kind.hides for other in window.past)
        rest = past.kind.cell.rest_s if alone else past.kind.rest_beside_another_s
        end = min(past.end, chunk_after(part, past)) if past.kind.cell.waits_for_chunk else past.end
        reasons = () if hidden or not past.kind.cell.reasons else words
        found.append(
            Fault(past.kind.name, past.begin, end, _rest_while_down(past, rest, window, contract), None, reasons)
        )
    if window.past and judges_back:
        back = max(past.kind.cell.back_s or 0.0 for past in window.past)
        found.append(Fault(window.name, window.past[0].begin, window.over, None, back))
    return found


def _rest_while_down(past: Past, rest: float | None, window: Window, contract: Contract) -> float | None:
    if rest is None or past.kind.cell.what == "node":
        return rest
    for begin, end in window.down:
        if begin < past.begin + rest and end > past.begin:
            rest = max(rest, begin + contract.max_plan_age + contract.tick_s - past.begin)
    return rest


def _excused(breach: Breach, window: Window, contract: Contract) -> bool:
    longest = contract.max_plan_age + contract.tick_s + contract.allowance_s
    if breach.rule == "fresh":
        return any(begin < breach.time <= begin + longest for begin, _ in window.down)
    if breach.rule == "goes_on":  # it is told with the time of the last command, which came shortly before
        shortly = 2.0 * contract.tick_s + contract.allowance_s
        return any(begin - shortly < breach.time <= end for begin, end in window.down)
    return breach.rule in SMOOTH and any(begin < breach.time <= end for begin, end in _blocked(window))


def _blocked(window: Window) -> list[tuple[float, float]]:
    return [(past.begin, past.end + FOLLOWS_S) for past in window.past if past.kind.name in MAY_STOP]


def chunk_after(part: Recording, past: Past) -> float:
    """The observation of the first chunk that was taken after a fault began."""
    stamps = [seconds(event.message.header.stamp) for event in part.of(CHUNK)]
    return min((stamp for stamp in stamps if stamp > past.begin + UNDER_WAY_S), default=float("inf"))


def why_no_back(part: Recording, window: Window) -> str:
    """Why the arm need not go on by itself after these faults; empty if it has to."""
    told = " ".join(words_of(event.message) for event in part.of(STATUS))
    for past in window.past:
        if past.kind.cell.back_s is None:
            return f"{past.kind.name}: a person has to look"
        if past.kind.name in MAY_STOP and f"stopped: {MAY_STOP[past.kind.name]}" in told:
            return f"{past.kind.name}: stopped, until a person clears it"
    return ""
