"""Following: compares the commanded positions with the measured ones to see whether the arm follows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from act_inference_ros.control.commander import Commander
from act_inference_ros.joints import Joint

SAME_TIME_S = 0.05
"""Joints of one controller that were measured within this time are compared together."""
PATIENCE_S = 0.1
"""How long a joint may be too far from its commanded position before the arm is stopped."""


@dataclass(frozen=True)
class Measured:
    """Where a joint was measured, ROS units, and when, s."""

    position: float
    time: float


def measured_together(names: Iterable[str], here: Mapping[str, Measured]) -> dict[str, Measured]:
    """Return those of the joints `names` that were measured at the time of the newest of them, or shortly before.

    The present position of the other joints is unknown: they must not be compared, nor be told to stay at their old
    one.
    """
    known = {name: here[name] for name in names if name in here}
    newest = max((each.time for each in known.values()), default=0.0)
    return {name: each for name, each in known.items() if each.time > newest - SAME_TIME_S}


class Following:
    """Remembers since when each joint has been too far from its commanded positions.

    `deviations` has each commanded joint's newest deviation: its smallest distance from all positions commanded in the
    last `lag` s, so that an arm that is only late counts as following.
    """

    def __init__(self) -> None:
        self.deviations: dict[str, float] = {}
        self._too_far_since: dict[str, float] = {}

    def restart(self) -> None:
        """Start again, as at the beginning of a motion."""
        self.deviations = {}
        self._too_far_since = {}

    def judge(
        self,
        commanders: Sequence[Commander],
        measured: Mapping[str, Measured],
        joints: Mapping[str, Joint],
        lag: float,
        now: float,
    ) -> str | None:
        """Return what is wrong with the joint that does not follow, or None. Call this at every tick."""
        for commander in commanders:
            # The supervisor handles a joint that is no longer measured; the others are judged without it.
            known = measured_together(commander.joint_names, measured)
            if not known:
                continue
            when = min(each.time for each in known.values())
            positions = {name: each.position for name, each in known.items()}
            self.deviations.update(commander.deviations(positions, min(when, now), lag, with_lost=True))
        for name, deviation in self.deviations.items():
            if deviation <= joints[name].max_deviation:
                self._too_far_since.pop(name, None)
            elif now - self._too_far_since.setdefault(name, now) >= PATIENCE_S:
                return (
                    f"{name} is {deviation:.3f} from where it was told to be, max_deviation is "
                    f"{joints[name].max_deviation:g}; is it blocked, switched off, or too slow for max_velocity?"
                )
        return None

    @property
    def largest(self) -> tuple[str, float] | None:
        """The joint with the largest deviation, and this deviation in ROS units; None before any comparison."""
        if not self.deviations:
            return None
        return max(self.deviations.items(), key=lambda item: item[1])
