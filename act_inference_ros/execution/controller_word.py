"""What a trajectory controller says of itself: its parameters, and where it wants its joints. Times are s."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

REFERENCE_AGE_S = 0.3
"""A controller that has said nothing of itself for longer is not active, however rarely it says something."""
SHORTEST_AGE_S = 0.1
"""The same for one that says something often: for a while after it went inactive it seems to be where it was told."""
STATES_MISSED = 5.0
"""A controller that has said nothing for so many of its intervals is not active."""
STATES_KEPT = 20
"""So many of a controller's states are looked at for how far its clock is from ours: some come late."""


@dataclass(frozen=True)
class Reference:
    """Where a controller wants its joints at `time`: joint -> position, and -> velocity as far as it is known.

    `speed` is the factor by which it slows everything down, 1.0 for full speed.
    """

    time: float
    positions: Mapping[str, float]
    velocities: Mapping[str, float]
    speed: float


class ControllerWord:
    """What one controller says of itself: its parameters, once, and its states, again and again."""

    def __init__(self) -> None:
        self.forbids: str | None = "it has not shown itself through its parameter service"
        """Why its messages must not overlap; None where nothing forbids it."""
        self.reference: Reference | None = None
        self.offers = False
        """It publishes its state, if only while it is active."""
        self._apart: deque[float] = deque(maxlen=STATES_KEPT)
        self._interval = REFERENCE_AGE_S

    def add(self, positions: Mapping[str, float], time: float, speed: float, now: float) -> None:
        """Take a state of the controller, stamped `time`, that came at `now`."""
        before = self.reference
        velocities = dict.fromkeys(positions, 0.0)
        if before is not None and 0.0 < time - before.time < REFERENCE_AGE_S:
            self._interval = time - before.time
            if speed == before.speed or before.speed == 0.0:
                velocities = {
                    name: (position - before.positions[name]) / (time - before.time)
                    for name, position in positions.items()
                    if name in before.positions
                }
            else:  # on the way between the two it went at both speeds
                velocities = {name: each * speed / before.speed for name, each in before.velocities.items()}
        self.reference = Reference(time, dict(positions), velocities, speed)
        self._apart.append(now - time)

    def silent(self, now: float) -> float | None:
        """For how long it has said nothing, if that is so long that what it said last does not count; else None."""
        if self.reference is None:
            return None
        age = now - self.reference.time
        longest = max(SHORTEST_AGE_S, min(REFERENCE_AGE_S, STATES_MISSED * self._interval))
        return age if age > longest else None

    @property
    def clocks_apart(self) -> float:
        """How far its clock is from ours, at least."""
        return min(self._apart, key=abs, default=0.0)

    def forget(self) -> None:
        """Forget the states: the clock was set back."""
        self.reference = None
        self._apart.clear()
