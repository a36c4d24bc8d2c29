"""What makes another recording of the made-up one: messages changed, left out, later, or with other stamps."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from test.witness.made_up import BEGIN, header, made_up, status
from test.witness.motion import seconds
from test.witness.recording import COMMAND, STATUS, Event, Recording

DROPPED: list[Event] = []
"""What becomes of an event that is left out."""
Change = Callable[[Event], "Event | list[Event] | None"]
"""Takes an event with a message of its own, which it may change; gives what it becomes, None for itself."""


def edited(recording: Recording, kind: str, name: str, begin: float, end: float, change: Change) -> Recording:
    """The recording with its events of a kind (and of a name, unless empty) changed, from `begin` to `end`, s."""
    events: list[Event] = []
    for event in recording.events:
        if event.kind == kind and name in ("", event.name) and begin < event.time - BEGIN < end:
            own = replace(event, message=copy.deepcopy(event.message))
            became = change(own)
            events += [own] if became is None else [became] if isinstance(became, Event) else became
        else:
            events.append(event)
    return Recording(sorted(events, key=lambda event: event.time), recording.faults)


def good() -> Recording:
    """Nothing fails: the arm is commanded all the time."""
    return made_up(fault=False)


def held() -> Recording:
    """A hold that nothing ends; no fault is noted."""
    recording = made_up(goes_on=False)
    recording.faults.clear()
    return recording


def set_time(message: Any, time: float) -> None:
    message.header = header(time)


def later(by: float) -> Change:
    """Published later, and the same."""
    return lambda event: replace(event, time=event.time + by)


def stamped(by: float) -> Change:
    """With a stamp that is off."""
    return lambda event: set_time(event.message, seconds(event.message.header.stamp) + by)


def set_target(message: Any, place: float) -> None:
    if hasattr(message, "data"):
        message.data = [place]
    else:
        message.position = [place]


def streamed(name: str, path: Callable[[float], float], recording: Recording | None = None) -> Recording:
    """The targets of a stream replaced by a path over the time since the begin, s."""

    def follow(event: Event) -> None:
        set_target(event.message, path(event.time - 0.002 - BEGIN))

    return edited(recording or good(), COMMAND, name, -1.0, 9.0, follow)


def without(kind: str, name: str, begin: float, end: float, recording: Recording | None = None) -> Recording:
    return edited(recording or good(), kind, name, begin, end, lambda _: DROPPED)


def one_trajectory(change: Callable[[Any], None]) -> Recording:
    """One trajectory of the middle changed."""
    return edited(good(), COMMAND, "arm", 2.95, 3.05, lambda event: change(event.message))


def said(word: str, begin: float, end: float, recording: Recording | None = None) -> Recording:
    return edited(
        recording or good(), STATUS, "", begin, end, lambda event: replace(event, message=status(word, "stale: front"))
    )
