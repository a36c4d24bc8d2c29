"""What the node says of itself, and what it does then; and what has to come of a fault."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from test.witness.evidence import (
    SILENT,
    STATUS_S,
    TOLD_S,
    Evidence,
    Found,
    goes_by_itself,
    word_of,
)
from test.witness.recording import CHUNK, COMMAND, COMMANDING, Event

COMES_S = 1.0
"""A node that commands sends something within this, or within a plan's age where that is longer; or it says why not."""


def silent(evidence: Evidence) -> Found:
    """A node that says that it does not command publishes nothing but the way to rest, and nothing moves after it.

    A node that comes to rest for another reason may tell the controllers to hold once more.
    """
    contract = evidence.contract
    grace = contract.braking_s + contract.tick_s + contract.allowance_s
    before = TOLD_S + contract.allowance_s
    for yes, statuses, over in _runs(evidence, is_silent):
        if not yes:
            continue
        changes = _changes(statuses)

        def wrong(time: float, changes: Sequence[float] = changes, end: float = over - before) -> bool:
            judged = changes[0] + grace < time < end
            return judged and not any(change - before < time <= change + grace for change in changes)

        word = word_of(statuses[0])
        for command in evidence.recording.of(COMMAND):
            if wrong(command.time):
                yield command.time, f"{command.name}: a command while {word}"
        moving = [time for time in evidence.moving.tolist() if time <= evidence.end and wrong(time)]
        if moving:
            yield moving[-1], f"moving {moving[-1] - changes[0]:.3f} s after {word} was told"


def known_words(evidence: Evidence) -> Found:
    """The status is one of the states that there are."""
    for event in evidence.statuses:
        if word_of(event) not in (*SILENT, COMMANDING):
            yield event.time, f"a state {word_of(event)!r}"


def no_chunks(evidence: Evidence) -> Found:
    """A node that is inactive tells no plans; one that was being computed may still come."""
    grace = STATUS_S + evidence.contract.allowance_s
    before = TOLD_S + evidence.contract.allowance_s
    for _, statuses, over in _runs(evidence, lambda event: word_of(event) == "inactive"):
        begins = statuses[0].time + grace if word_of(statuses[0]) == "inactive" else np.inf
        for chunk in evidence.recording.of(CHUNK):
            if begins < chunk.time < over - before:
                yield chunk.time, "a chunk while inactive"


def is_silent(event: Event) -> bool:
    """Whether a status tells a state in which nothing is commanded."""
    return word_of(event) in SILENT


def is_well(event: Event) -> bool:
    """Whether a status tells that the arm is commanded, and nothing that is in the way of it."""
    return word_of(event) == COMMANDING and not reason_of(event.message)


def _runs(evidence: Evidence, which: Callable[[Event], bool]) -> Iterator[tuple[bool, list[Event], float]]:
    """Statuses one after the other that are all `which`, or all not: which of both, they, and when that ended, s."""
    groups = [(yes, list(group)) for yes, group in itertools.groupby(evidence.statuses, which)]
    ends = [began(group[0]) for _, group in groups[1:]] + [np.inf]
    yield from ((yes, group, end) for (yes, group), end in zip(groups, ends, strict=False))


def began(event: Event) -> float:
    """When the state began that a status tells, s: on a busy machine the status comes later, but not much."""
    since = next((float(pair.value) for pair in event.message.values if pair.key == "since"), event.time)
    return float(np.clip(since, event.time - STATUS_S, event.time))


def _changes(statuses: Sequence[Event]) -> list[float]:
    """When a status says something else than the one before, s; the first one does."""
    told = [(word_of(event), reason_of(event.message)) for event in statuses]
    return [event.time for place, event in enumerate(statuses) if place == 0 or told[place] != told[place - 1]]


def commands_come(evidence: Evidence) -> Found:
    """A node that says all the time that it commands, and names no reason why not, sends each controller something.

    A node that does not repeat its status in time does not run, and need not.
    """
    contract = evidence.contract
    most = max(COMES_S, contract.max_plan_age) + contract.tick_s + contract.allowance_s
    names = [name for name, rules in contract.controllers.items() if not goes_by_itself(rules)]
    for yes, statuses, _ in _runs(evidence, is_well):
        said = np.array([event.time for event in statuses])
        frozen = np.flatnonzero(np.diff(said) > STATUS_S + contract.allowance_s) + 1
        for name, ran in itertools.product(names if yes else (), np.split(said, frozen)):
            times = [event.time for event in evidence.recording.of(COMMAND, name)]
            for before, after in itertools.pairwise([-np.inf, *times, np.inf]):
                inside = ran[(ran > before) & (ran < after)]
                if len(inside) and inside[-1] - inside[0] > most and evidence.heard(name, inside[0], inside[-1]):
                    yield float(inside[-1]), f"{name}: nothing for {inside[-1] - inside[0]:.3f} s while commanding"


def status_goes_on(evidence: Evidence) -> Found:
    """The status is repeated; a node that is gone says so by its silence, and commands nothing meanwhile."""
    times = [evidence.begin, *(event.time for event in evidence.statuses)]
    limit = STATUS_S + evidence.contract.allowance_s
    grace = TOLD_S + evidence.contract.allowance_s  # a node that wakes up brakes first, and then says so
    for before, after in zip(times, [*times[1:], evidence.end], strict=True):
        late = [event for event in evidence.recording.of(COMMAND) if before + limit < event.time < after - grace]
        if late:
            yield late[0].time, f"a command {late[0].time - before:.3f} s after the last status"


def rest(evidence: Evidence) -> Found:
    """After a fault the arm is at rest within the fault's bound."""
    for fault in evidence.recording.faults:
        if fault.rest_s is not None:
            last = evidence.moves_within(fault.begin + fault.rest_s + evidence.contract.allowance_s, fault.end)
            if last is not None:
                yield last, f"{fault.name}: moving {last - fault.begin:.3f} s after it began"


def back(evidence: Evidence) -> Found:
    """After a fault's end the arm goes on within the fault's bound."""
    for fault in evidence.recording.faults:
        if fault.back_s is not None:
            until = fault.end + fault.back_s + evidence.contract.allowance_s
            if evidence.moves_within(fault.end, until) is None:
                yield until, f"{fault.name}: still at rest {until - fault.end:.3f} s after it ended"


def reason(evidence: Evidence) -> Found:
    """During a fault the status says why, in whole words."""
    for fault in evidence.recording.faults:
        told = {words_of(event.message) for event in evidence.statuses if fault.begin < event.time <= fault.end + 0.1}
        if fault.reasons and not any(_says(text, words) for text in told for words in fault.reasons):
            yield fault.end, f"{fault.name}: expected {' or '.join(fault.reasons)}, the status said {told}"


def _says(text: str, words: str) -> bool:
    return re.search(rf"{re.escape(words)}(?!\w)", text) is not None


def reason_of(status: Any) -> str:
    """The reason of a status, in fixed words."""
    return next((str(pair.value) for pair in status.values if pair.key == "reason"), "")


def words_of(status: Any) -> str:
    """The state and its reason, as people read them."""
    values = {pair.key: pair.value for pair in status.values}
    return f"{status.message}: {values.get('reason', '')} ({values.get('detail', '')})"
