"""What the witness knows: what went over the topics, when it was published, and which faults were made meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

INPUT, CHUNK, COMMAND, STATUS = "input", "chunk", "command", "status"
COMMANDING = "commanding"
"""What the status says while the arm is commanded."""


@dataclass(frozen=True)
class Event:
    """A message of an input, a chunk, a command or a status, and when it was published (s, by its publisher)."""

    time: float
    kind: str
    name: str
    message: Any


@dataclass(frozen=True)
class Fault:
    """A fault from `begin` to `end`, s, and what has to come of it.

    `rest_s`: how long after the begin the arm may move at most; None: it may go on. `back_s`: how long after the end
    it may stay at rest; None: it need not go on by itself. `reasons`: one of these words must stand in `~/status`
    meanwhile, unless there are none.
    """

    name: str
    begin: float
    end: float
    rest_s: float | None = None
    back_s: float | None = None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class ControllerRules:
    """A controller: interface, joints in its order, and the limits of each, arrays (joints,) in ROS units, s."""

    interface: str
    joints: tuple[str, ...]
    lowest: npt.NDArray[np.float64]
    highest: npt.NDArray[np.float64]
    max_velocity: npt.NDArray[np.float64]
    max_acceleration: npt.NDArray[np.float64]

    @property
    def braking_s(self) -> float:
        """How long coming to rest may take: 0.1 s, or longer from the greatest velocity at 8 ROS units/s2 at most."""
        return max(0.1, float((self.max_velocity / np.minimum(8.0, self.max_acceleration)).max()))


@dataclass(frozen=True)
class Contract:
    """What was promised: the node's parameters as its user wrote them, all times in s.

    `inputs` maps each input to what must be in its messages: the joints of a JointState, (height, width) of an image,
    the length of an environment state. `allowance_s` is what is granted for the machine: how late a thread may wake.
    """

    controllers: Mapping[str, ControllerRules]
    inputs: Mapping[str, Sequence[str] | tuple[int, int] | int]
    max_age: float
    max_skew: float
    max_plan_age: float
    tick_s: float
    allowance_s: float = 0.0

    @property
    def braking_s(self) -> float:
        """How long coming to rest may take on any controller."""
        return max(rules.braking_s for rules in self.controllers.values())

    @property
    def rest_s(self) -> float:
        """How long the arm may move after the last good message of an input."""
        return self.max_age + self.tick_s + self.braking_s + self.allowance_s


@dataclass
class Recording:
    """Events, in the order of their times as far as one publisher sent them, and the faults."""

    events: list[Event] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    deaf: list[tuple[str, float, float]] = field(default_factory=list)
    """Controllers of which some commands are missing, and from when until when, s."""

    def of(self, kind: str, name: str | None = None) -> list[Event]:
        """The events of a kind (and of a name), by time."""
        found = [event for event in list(self.events) if event.kind == kind and name in (None, event.name)]
        return sorted(found, key=lambda event: event.time)

    def between(self, begin: float, end: float) -> Recording:
        """The part of the recording between two times, with the faults that begin in it."""
        events = [event for event in list(self.events) if begin <= event.time < end]
        return Recording(events, [fault for fault in self.faults if begin <= fault.begin < end], list(self.deaf))
