"""What every rule of the witness needs: a recording with the setpoints that came of it, and the common tolerances."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from act_inference_ros.interfaces import command_interface
from test.witness.motion import Setpoints, setpoints
from test.witness.recording import CHUNK, STATUS, Contract, ControllerRules, Event, Recording

SHARE, NEAR = 0.002, 1e-6
"""What numbers may exceed a limit by: a share, and ROS units. Stamps that are read as float64 lose far less."""
JITTER_S = 0.02
"""Between the time for which a stream's value was made and that at which it was published."""
TOLD_S = 0.1
"""The status tells a change of the state so much later than the first command of the new state, at most."""
STATUS_S = 1.0
"""The status is repeated within this."""
SILENT = ("inactive", "paused", "stopped", "waiting", "holding")
"""States in which nothing is commanded, but the way to rest."""


@dataclass(frozen=True)
class Breach:
    """A rule that was broken, when (s), and how."""

    rule: str
    time: float
    detail: str


Found: TypeAlias = Iterator[tuple[float, str]]
"""What a rule gives: when it was broken, s, and how."""


class Evidence:
    """A recording with what every rule needs of it."""

    def __init__(self, recording: Recording, contract: Contract) -> None:
        self.recording, self.contract = recording, contract
        # Chunks may be told after the time that is judged.
        times = [event.time for event in recording.events if event.kind != CHUNK]
        self.begin, self.end = min(times, default=0.0), max(times, default=0.0)
        self.statuses = recording.of(STATUS)
        self.setpoints = {name: setpoints(recording, name, rules) for name, rules in contract.controllers.items()}
        moving = [each.moving for each in self.setpoints.values()]
        self.moving = np.sort(np.concatenate(moving)) if moving else np.zeros(0)
        """When any setpoint moved, s."""

    def moves_within(self, begin: float, end: float) -> float | None:
        """The last time in (begin, end] at which a setpoint moved; None for rest."""
        inside = self.moving[(self.moving > begin) & (self.moving <= min(end, self.end))]
        return float(inside[-1]) if len(inside) else None

    def commanded(self) -> Iterator[tuple[str, Setpoints, ControllerRules]]:
        """Each controller that was commanded: name, setpoints, rules."""
        for name, rules in self.contract.controllers.items():
            if len(self.setpoints[name].times):
                yield name, self.setpoints[name], rules

    def heard(self, name: str, begin: float, end: float) -> bool:
        """Whether the recording has all commands of a controller between two times."""
        return not any(deaf == name and since < end and until > begin for deaf, since, until in self.recording.deaf)


def streams(rules: ControllerRules) -> bool:
    """Whether a controller jumps to one target after the other."""
    interface = command_interface(rules.interface)
    return interface.streams and not goes_by_itself(rules)


def goes_by_itself(rules: ControllerRules) -> bool:
    """Whether a controller (a gripper) takes goals and moves to each of them as it likes."""
    return command_interface(rules.interface).action is not None


def word_of(event: Event) -> str:
    """The state that a status tells."""
    return str(event.message.message)
