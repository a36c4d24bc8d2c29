"""LateCommand: a command that could not be published in time, because the machine was busy."""

from __future__ import annotations

from typing import NamedTuple

from act_inference_ros.interfaces import Command

MOST_IN_A_ROW = 2
"""If more commands of a controller than these, one after the other, cannot be published in time, the arm holds."""


class LateCommand(NamedTuple):
    """The oldest `command` that was not published, by how much it was too late, s, and how many that makes in a row."""

    command: Command
    late_s: float
    in_a_row: int

    @property
    def again_and_again(self) -> bool:
        """Whether so many commands in a row were late that the arm must hold, instead of another try at once."""
        return self.in_a_row > MOST_IN_A_ROW

    @property
    def text(self) -> str:
        """What happened, and what to do, for people."""
        times = f"{self.in_a_row} commands, one after the other, were" if self.in_a_row > 1 else "a command was"
        return f"{times} ready {self.late_s:.3f} s too late: the machine is too busy; give this node more of it"
