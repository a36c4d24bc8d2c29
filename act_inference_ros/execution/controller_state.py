"""The published state of a joint_trajectory_controller: where it wants its joints, and how far it slows them down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

TOPIC = "controller_state"
"""The topic, relative to the controller's node."""
WANTED, MEASURED = ("reference", "desired"), ("feedback", "actual")
"""The fields for the wanted and the measured joint positions; the current name of each field comes first."""
FULL_SPEED = 1.0
SHORTEST_INTERVAL_S = 0.01
"""From Jazzy on a state comes with each control cycle; a state that comes sooner than this after another is skipped."""


@dataclass(frozen=True)
class ControllerState:
    """Joint -> where the controller wants it at `time` (ROS units, s), and the factor by which it scales its speed."""

    positions: dict[str, float]
    time: float
    speed: float


class ControllerStateReader:
    """Reads the states (control_msgs/msg/JointTrajectoryControllerState) of one controller that moves `joints`.

    Not every controller fills in `speed_scaling_factor`: up to Humble, and in the scaled controllers of some arms, it
    is 0.0 at any speed. A zero counts as a standstill only if the controller has shown that it fills the factor in:
    through its parameters (`fills_speed`), or by an earlier factor above zero. Otherwise full speed is assumed; an arm
    that really stands still is found because its reference does not move.

    `ignored` counts messages that could not be read; `last_ignored` says why the last of them could not.
    """

    def __init__(self, joints: Sequence[str]) -> None:
        self.ignored = 0
        self.last_ignored = ""
        self.fills_speed = False
        self._joints = tuple(joints)
        self._newest = -math.inf

    def read(self, message: Any) -> ControllerState | None:
        """Return the state, or None for a message that cannot be read or follows another too soon. Never raises."""
        try:
            state = self._read(message)
        except (AttributeError, TypeError, ValueError, OverflowError) as error:
            self.ignored += 1
            self.last_ignored = str(error)
            return None
        if 0.0 <= state.time - self._newest < SHORTEST_INTERVAL_S:
            return None
        self._newest = state.time
        return state

    def _read(self, message: Any) -> ControllerState:
        time = float(message.header.stamp.sec) + 1e-9 * float(message.header.stamp.nanosec)
        if time <= 0.0:
            raise ValueError("it has no stamp")
        names = list(message.joint_names)
        positions = positions_in(message, WANTED)
        if len(positions) != len(names):
            raise ValueError(f"it has {len(positions)} positions of {len(names)} joints")
        known = dict(zip(names, positions, strict=True))
        missing = [joint for joint in self._joints if joint not in known]
        if missing:
            raise ValueError(f"it says nothing of {', '.join(missing)}")
        wanted = {joint: known[joint] for joint in self._joints}
        if not all(math.isfinite(position) for position in wanted.values()):
            raise ValueError("a position is not a finite number")
        return ControllerState(wanted, time, self._speed(float(getattr(message, "speed_scaling_factor", 0.0))))

    def _speed(self, factor: float) -> float:
        if not (math.isfinite(factor) and factor >= 0.0):
            raise ValueError(f"its speed_scaling_factor is {factor}")
        if factor > 0.0:
            self.fills_speed = True
        return factor if self.fills_speed else FULL_SPEED


def positions_in(message: Any, fields: Sequence[str]) -> list[float]:
    """The positions in the first of these fields that the message has and has filled in; otherwise an empty list."""
    for field in fields:
        point = getattr(message, field, None)
        if point is not None and len(point.positions):
            return [float(position) for position in point.positions]
    return []
