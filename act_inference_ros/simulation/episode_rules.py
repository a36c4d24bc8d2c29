"""When an episode of the simulated robot begins, when it ends and how: the rules, without ROS."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum

from act_inference_ros.simulation.success import LIFT_HOLD_S

SETTLE_S = 0.15
"""After a reset, before the policy is told: by then the images of the old episode have been replaced by new ones."""

STALE_MARGIN_S = 0.05
"""Commands stamped up to this long after the policy forgot its plan may still be of the old plan: stamps lead."""


class Phase(Enum):
    """Where the robot is between two episodes: after a reset it settles, the policy forgets, then it waits and runs."""

    SETTLING = "settling"
    FORGETTING = "the policy is forgetting its plan"
    WAITING = "waiting for the first command"
    RUNNING = "running"


@dataclass(frozen=True)
class Outcome:
    """How one episode ended. `duration_s` counts from the first command; `index` counts from 1."""

    index: int
    success: bool
    duration_s: float
    refused_commands: int

    def to_json(self) -> str:
        """The text published on ~/episode."""
        return json.dumps(
            {
                "index": self.index,
                "success": self.success,
                "duration_s": round(self.duration_s, 3),
                "refused_commands": self.refused_commands,
            }
        )

    def line(self, episodes: int) -> str:
        """One line for people: `episode  3/20: lifted after 3.9 s`."""
        end = f"lifted after {self.duration_s:.1f} s" if self.success else f"not lifted in {self.duration_s:.1f} s"
        refused = f", {self.refused_commands} commands refused" if self.refused_commands else ""
        return f"episode {self.index:{len(str(episodes))}}/{episodes}: {end}{refused}"


class EpisodeClock:
    """Judges one episode after the other: lifted for LIFT_HOLD_S is success, too long is failure."""

    def __init__(self, episode_time_s: float) -> None:
        self._episode_time_s = episode_time_s
        self._started_s: float | None = None
        self._lifted_since_s: float | None = None

    def start(self, now_s: float) -> None:
        """Begin an episode."""
        self._started_s = now_s
        self._lifted_since_s = None

    def verdict(self, now_s: float, cube_lifted: bool) -> tuple[bool, float] | None:
        """(success, duration in s) once the episode is over, else None."""
        if self._started_s is None:
            return None
        duration_s = now_s - self._started_s
        if not cube_lifted:
            self._lifted_since_s = None
        elif self._lifted_since_s is None:
            self._lifted_since_s = now_s
        if self._lifted_since_s is not None and now_s - self._lifted_since_s >= LIFT_HOLD_S:
            self._started_s = None
            return True, duration_s
        # A cube that is up when the time is over gets its hold time; it is not failed a moment too early.
        if duration_s >= self._episode_time_s and self._lifted_since_s is None:
            self._started_s = None
            return False, duration_s
        return None
