"""GripperCommander: sends goals to a gripper's action server, but only when the target has moved far enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from act_inference_ros.control.commander import Send
from act_inference_ros.control.cubic import Array
from act_inference_ros.control.stream_commander import StreamCommander
from act_inference_ros.interfaces import Command
from act_inference_ros.joints import JointBinding

RESTING_DEADBAND = 1e-6
"""ROS units: after the gripper is told to rest, its last goal is never further than this from the resting place."""


class GripperCommander(StreamCommander):
    """Samples the commanded motion at each tick, as a stream does, but sends the targets as goals.

    Each goal replaces the goal before, so a goal is sent only when the target is more than `deadband` (ROS units) away
    from the last goal. A motion that comes to rest is followed to its end: its last target is sent if it is more than
    RESTING_DEADBAND away. The first target of each motion is always sent, because the driver may have been restarted
    since.

    In a hold the gripper keeps its last goal: nothing is sent that could open it, nothing is cancelled, and the next
    motion continues from that goal. `max_effort` (N or Nm; None for the driver's default) goes with every goal.
    """

    def __init__(
        self,
        joints: Sequence[str],
        action: JointBinding,
        lead_s: float,
        command_rate: float,
        send: Send,
        deadband: float,
        max_effort: float | None,
    ) -> None:
        self._deadband = deadband
        self._max_effort = max_effort
        self._goal: Array | None = None
        self._begins = True
        super().__init__(joints, action, lead_s, command_rate, send)

    def begin(
        self,
        now: float,
        measured: Mapping[str, float],
        was_free: bool = False,
        measured_at: float | None = None,
    ) -> None:
        """Choose where the next motion starts; its first target is always sent."""
        super().begin(now, measured, was_free, measured_at)
        self._begins = True

    def hold(self, now: float, in_any_case: bool = False, overlap: bool = False) -> None:
        """Keep the last goal; with `in_any_case` it is sent again, because it may not have arrived."""
        self._stay_with_goal(now)
        if in_any_case and self._goal is not None:
            self._send_goal(now, self._goal)

    def hold_at(self, now: float, measured: Mapping[str, float], overlap: bool = False) -> None:
        """Keep the last goal: a gripper that does not follow holds something."""
        self._stay_with_goal(now)

    def forget(self) -> None:
        """Forget the commanded motion and the last goal."""
        super().forget()
        self._goal, self._begins = None, True

    def restart_clock(self, before: float, now: float) -> None:
        """The clock jumped from `before` to `now`: forget the past, and stay with the last goal."""
        super().restart_clock(before, now)
        self._stay_with_goal(now)

    def _stay_with_goal(self, now: float) -> None:
        told = self._told.position_at(now)
        if told is None:
            return
        self._limiter.clear()
        position = told if self._goal is None else self._goal
        self._told.stay(now, position)
        self._sent_at, self._sent = now, position

    def _give(self, now: float, position: Array, before: tuple[float, Array | None]) -> None:
        if self._is_worth_a_goal(now, position):
            self._send_goal(now, position)

    def _is_worth_a_goal(self, now: float, position: Array) -> bool:
        if self._goal is None or self._begins:
            return True
        rests_from = self._told.rests_from
        rests = rests_from is not None and now >= rests_from
        deadband = min(self._deadband, RESTING_DEADBAND) if rests else self._deadband
        return bool((np.abs(position - self._goal) > deadband).any())

    def _send_goal(self, now: float, position: Array) -> None:
        self._goal, self._begins = position, False
        self._send(Command(now, np.zeros(1), position[None], max_effort=self._max_effort))
