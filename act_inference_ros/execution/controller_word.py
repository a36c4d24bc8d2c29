"""What a trajectory controller reports about itself: its parameters, and where it wants its joints. Times are s."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

REFERENCE_AGE_S = 0.3
"""A controller that has reported nothing for longer than this is not active, however rarely it reports."""
SHORTEST_AGE_S = 0.1
"""This applies instead if it reports often: for a while after its deactivation it seems to be where it was told."""
STATES_MISSED = 5.0
"""A controller that has reported nothing for this many of its intervals is not active."""
STATES_KEPT = 20
"""So many states are used to measure how far the controller's clock is from ours, because some states come late."""


@dataclass(frozen=True)
class Reference:
    """Where a controller wants its joints at `time`: joint -> position, and joint -> velocity if it is known.

    `speed` is the factor by which the controller slows all motion down, 1.0 for full speed.
    """

    time: float
    positions: Mapping[str, float]
    velocities: Mapping[str, float]
    speed: float


class ControllerWord:
    """What one controller reports about itself: its parameters once, its states repeatedly."""

    def __init__(self) -> None:
        self.forbids: str | None = "it has not shown itself through its parameter service"
        """Why the controller's messages must not overlap; None if nothing forbids overlap."""
        self.reference: Reference | None = None
        self.offers = False
        """Whether the controller publishes its state, at least while it is active."""
        self._apart: deque[float] = deque(maxlen=STATES_KEPT)
        self._interval = REFERENCE_AGE_S

    def add(self, positions: Mapping[str, float], time: float, speed: float, now: float) -> None:
        """Take a state of the controller, stamped `time`, that arrived at `now`."""
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
            else:  # between the two states it moved at both speeds
                velocities = {name: each * speed / before.speed for name, each in before.velocities.items()}
        self.reference = Reference(time, dict(positions), velocities, speed)
        self._apart.append(now - time)

    def silent(self, now: float) -> float | None:
        """How long the controller has been silent; None before its first state, and while its last one counts."""
        if self.reference is None:
            return None
        age = now - self.reference.time
        longest = max(SHORTEST_AGE_S, min(REFERENCE_AGE_S, STATES_MISSED * self._interval))
        return age if age > longest else None

    @property
    def clocks_apart(self) -> float:
        """How far the controller's clock is from ours, at least."""
        return min(self._apart, key=abs, default=0.0)

    def forget(self) -> None:
        """Forget the states, because the clock was set back."""
        self.reference = None
        self._apart.clear()
