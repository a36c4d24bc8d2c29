"""StreamCommander: sends one target after the other to a controller that jumps to every target."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from act_inference_ros.control.commander import SOON_S, Commander
from act_inference_ros.control.cubic import Array, Cubic
from act_inference_ros.control.limiter.braking import brake
from act_inference_ros.interfaces import Command
from act_inference_ros.joints import Joint
from act_inference_ros.robot.configuration import ticks_per_command

ROUNDING = 1e-6
"""The share by which a step may exceed what the velocity limit allows."""
BISECTIONS = 20
"""Number of bisection steps in the search for the largest step that the velocity limit allows."""


class StreamCommander(Commander):
    """Samples the commanded motion at each tick, or every few ticks if `command_rate` is lower than the tick rate.

    It is `behind` where a tick came so late that a part of the motion was missed; the stream then brakes.
    """

    streams = True
    _sent_at = -math.inf
    _sent: Array | None = None
    _begun: Cubic | None = None
    """What was told where the motion began, until a hold."""

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
        self._give_up_what_is_missed(now)
        self._sent, self.behind = None, False
        super().start_at(now, here)
        self._begun = self._told.motion

    def hold(self, now: float, in_any_case: bool = False, overlap: bool = False) -> None:
        """Tell the controller to come to rest; `finish` sends the remaining targets."""
        self._give_up_what_is_missed(now)
        super().hold(now, in_any_case)
        self._begun = None
        self._send_target(now)

    def hold_at(self, now: float, measured: Mapping[str, float], overlap: bool = False) -> None:
        """Tell the controller to stay where its joints are measured; `finish` sends the targets that lead there."""
        self._give_up_what_is_missed(now)
        self._sent, self.behind = None, False
        super().hold_at(now, measured)
        self._begun = None
        self._send_target(now)

    def take_back(self, command: Command) -> bool:
        """Note that nothing was published from `command` on; the next tick is one that comes late."""
        self._sent_at, self._sent = self._under_way.take_back(command, (self._sent_at, self._sent))
        if self._sent is None and self._begun is not None:
            self._told.put_back(self._begun)
        return self._sent is not None

    def forget(self) -> None:
        """Forget the commanded motion, and what is still under way of it."""
        super().forget()
        self._under_way.clear()
        self._sent_at, self._sent, self._begun, self.behind = -math.inf, None, None, False

    def restart_clock(self, before: float, now: float) -> None:
        """The clock jumped from `before` to `now`: forget the past, and stay at the position commanded for `before`."""
        self._give_up_what_is_missed(before)
        super().restart_clock(before, now)
        self._sent_at = now  # at rest at the commanded position: there is nothing to finish

    def _tell(self, motion: Cubic, now: float, overlap: bool) -> None:
        """Remember the motion; `tick` sends its targets."""
        self.behind = False
        self._told.set(motion)

    def _send_target(self, now: float) -> None:
        self._give_up_what_is_missed(now)
        position = self._told.position_at(now)
        if position is not None:
            before = self._sent_at, self._sent
            self._sent_at, self._sent = now, position
            self._give(now, position, before)

    def _give(self, now: float, position: Array, before: tuple[float, Array | None]) -> None:
        """Send the target (joints,) for now; `before`: when the target before it was sent, and that target."""
        publish_by = now + max(SOON_S, 1.0 / self._command_rate)
        command = Command(now, np.zeros(1), position[None], publish_by=publish_by)
        self._under_way.add(command, before)
        self._send(command)

    def _give_up_what_is_missed(self, now: float) -> None:
        """Slow down where a tick comes so late that the next step would be too big.

        The controller jumps to every target, so no step may be larger than the velocity limit allows for a tick that is
        on time. Such a step was made in a longer time, so the joints were slower than they were told to be: from that
        speed the stream brakes, until `follow` or `hold` tells how to go on.
        """
        motion, sent, gap = self._told.motion, self._sent, now - self._sent_at
        if motion is None or sent is None or gap <= 1.0 / self._command_rate or self._within_reach(motion, sent, now):
            return
        lowest, highest = 1.0 / self._command_rate, gap
        for _ in range(BISECTIONS):
            middle = (lowest + highest) / 2.0
            if self._within_reach(motion, sent, self._sent_at + middle):
                lowest = middle
            else:
                highest = middle
        reached = motion.at(self._sent_at + lowest)
        slowed = Cubic.straight(now, reached.position, reached.velocity * (lowest / gap))
        self._limiter.clear()
        self._told.go_on(self._sent_at, brake(slowed, now, self._limiter.limits, ~self._smooth))
        self.behind = True

    def _within_reach(self, motion: Cubic, sent: Array, time: float) -> bool:
        """Whether no joint would make too big a step from what was `sent` to its position at `time`."""
        reach = self._limiter.limits.max_velocity / self._command_rate * (1.0 + ROUNDING)
        return bool((np.abs(motion.at(time).position - sent) <= reach).all())
