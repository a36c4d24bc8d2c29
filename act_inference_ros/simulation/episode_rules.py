"""When an episode of the simulated robot begins, when it ends and how: the rules, without ROS."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum

from act_inference_ros.simulation.success import LIFT_HOLD_S

SETTLE_S = 0.15
"""Wait after a reset before the policy is told, so that new images have replaced those of the old episode."""

STALE_MARGIN_S = 0.05
"""Commands stamped up to this long after the policy forgot its plan may still be of the old plan: stamps lead.
That matters if the policy could not be paused. A paused policy has no old plan, and resumes on request.
"""


class Phase(Enum):
    """Where the robot is between two episodes, in this order.

    The policy pauses, so that nobody commands the arm while it is put home; then the arm settles, the policy forgets
    its plan and goes on, and the robot waits for the first command and runs.
    """

    PAUSING = "the policy is pausing"
    SETTLING = "settling"
    FORGETTING = "the policy is forgetting its plan"
    WAITING = "waiting for the first command"
    RUNNING = "running"


@dataclass(frozen=True)
class Outcome:
    """How one episode ended. `duration_s` counts from the first command; `index` counts from 1.

    `stops` counts how often the policy node stopped for good, until somebody cleared it. `ended_ns` is when, on
    the robot's clock.
    """

    index: int
    success: bool
    duration_s: float
    refused_commands: int
    stops: int = 0
    ended_ns: int = 0

    def to_json(self) -> str:
        """The text published on ~/episode."""
        return json.dumps(
            {
                "index": self.index,
                "success": self.success,
                "duration_s": round(self.duration_s, 3),
                "refused_commands": self.refused_commands,
                "stops": self.stops,
                "ended_ns": self.ended_ns,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Outcome:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))

    def line(self, episodes: int) -> str:
        """One line for people: `episode  3/20: lifted after 3.9 s`."""
        end = f"lifted after {self.duration_s:.1f} s" if self.success else f"not lifted in {self.duration_s:.1f} s"
        refused = f", {self.refused_commands} commands refused" if self.refused_commands else ""
        stops = f", the policy stopped {'once' if self.stops == 1 else f'{self.stops} times'}" if self.stops else ""
        return f"episode {self.index:{len(str(episodes))}}/{episodes}: {end}{refused}{stops}"


@dataclass(frozen=True)
class Blockade:
    """Holds the arm in each episode: from `after_s` after the first command on (0.0: never), for `for_s`."""

    after_s: float
    for_s: float

    def holds(self, elapsed_s: float | None) -> bool:
        """Whether the arm is held that long after an episode's first command; None: no episode runs."""
        return elapsed_s is not None and 0.0 < self.after_s <= elapsed_s < self.after_s + self.for_s


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

    def elapsed_s(self, now_s: float) -> float | None:
        """How long the episode has been running; None when there is none."""
        return None if self._started_s is None else now_s - self._started_s

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
