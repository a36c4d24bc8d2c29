"""StreamCommander: sends one target after the other to a controller that jumps to every target."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from act_inference_ros.control.commander import Commander
from act_inference_ros.control.cubic import Array, Cubic
from act_inference_ros.interfaces import Command
from act_inference_ros.joints import Joint
from act_inference_ros.robot.configuration import ticks_per_command

ROUNDING = 1e-6
"""The share by which a step may exceed what the velocity limit allows."""


class StreamCommander(Commander):
    """Samples the commanded motion at each tick, or every few ticks if `command_rate` is lower than the tick rate."""

    streams = True
    _sent_at = -math.inf
    _sent: Array | None = None

    def configure(self, action_joints: Sequence[Joint], lead_s: float, command_rate: float) -> None:
        """Take new limits and rate while running."""
        super().configure(action_joints, lead_s, command_rate)
        ticks = ticks_per_command(command_rate)
        # Half a tick of tolerance, because ticks come a little early or late.
        self._shortest_gap_s = (1.0 - 0.5 / ticks) / command_rate if ticks > 1 else 0.0

    def tick(self, now: float) -> None:
        """Send the commanded position for now, if it is time."""
        if self._told.known and not 0.0 <= now - self._sent_at < self._shortest_gap_s:
            self._send_target(now)

    def finish(self, now: float) -> None:
        """Send the rest of a motion; its end is sent once."""
        if self.unfinished and now > self._sent_at:
            self.tick(now)

    @property
    def unfinished(self) -> bool:
        """Whether the end of the motion has not been sent yet."""
        end = self._told.rests_from
        return end is not None and self._sent_at < end

    def start_at(self, now: float, here: Mapping[str, float]) -> None:
        """Let the next motion start at rest at the positions `here`."""
        self._make_up_for_lateness(now)
        self._sent = None
        super().start_at(now, here)

    def hold(self, now: float, in_any_case: bool = False, overlap: bool = False) -> None:
        """Tell the controller to come to rest; `finish` sends the remaining targets."""
        self._make_up_for_lateness(now)
        super().hold(now, in_any_case)
        self._send_target(now)

    def hold_at(self, now: float, measured: Mapping[str, float], overlap: bool = False) -> None:
        """Tell the controller to stay where its joints are measured; `finish` sends the targets that lead there."""
        self._make_up_for_lateness(now)
        self._sent = None
        super().hold_at(now, measured)
        self._send_target(now)

    def forget(self) -> None:
        """Forget the commanded motion."""
        super().forget()
        self._sent_at, self._sent = -math.inf, None

    def restart_clock(self, before: float, now: float) -> None:
        """The clock jumped from `before` to `now`: forget the past, and stay at the position commanded for `before`."""
        self._make_up_for_lateness(before)
        super().restart_clock(before, now)
        self._sent_at = now  # at rest at the commanded position: there is nothing to finish

    def _tell(self, motion: Cubic, now: float, overlap: bool) -> None:
        """Remember the motion; `tick` sends its targets."""
        self._told.set(motion)

    def _send_target(self, now: float) -> None:
        self._make_up_for_lateness(now)
        position = self._told.position_at(now)
        if position is not None:
            self._sent_at, self._sent = now, position
            self._give(now, position)

    def _give(self, now: float, position: Array) -> None:
        """Send the target (joints,) for now."""
        self._send(Command(now, np.zeros(1), position[None]))

    def _make_up_for_lateness(self, now: float) -> None:
        """Delay the rest of the motion if a late tick would cause too big a step.

        The controller jumps to every target, so no step may be larger than the velocity limit allows for a tick that is
        on time.
        """
        position, period_s = self._told.position_at(now), 1.0 / self._command_rate
        late = now - self._sent_at - period_s
        if position is None or self._sent is None or late <= 0.0:
            return
        reach = self._limiter.limits.max_velocity * period_s * (1.0 + ROUNDING)
        if (np.abs(position - self._sent) > reach).any():
            self._told.delay(self._sent_at, late)
