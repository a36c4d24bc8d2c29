"""TrajectoryCommander: whole motions for a joint_trajectory_controller; each message continues the one before."""

from __future__ import annotations

import numpy as np

from act_inference_ros.control.commander import SOON_S, Commander
from act_inference_ros.control.cubic import Cubic
from act_inference_ros.interfaces import Command

OVERLAP_S = 0.3
"""An overlapping message begins this long ago, so that it still covers the controller's now when it arrives late."""
SHORTEST_LEAD_S = 0.002
"""With a shorter lead there is no room for a point before the motion begins."""
SHORTEST_SEGMENT_S = 1e-6
"""If two points are closer than this, the first is left out."""


class TrajectoryCommander(Commander):
    """Sends the rest of the plan each time a chunk arrives; the message takes over `lead` later.

    A joint_trajectory_controller starts a new trajectory from the measured position (or from another one, depending on
    parameters and distribution), which throws its setpoint back by lag x speed. A message that *overlaps* begins with
    what the controller has been told already: its first point lies before the controller's now, so the controller needs
    no start point and plays exactly what was told. A message that does not overlap is stamped ahead: by half the lead
    if the motion begins at the measured position, so that the first point can repeat that position, otherwise by the
    whole lead. It has no point at its stamp, because distributions of joint_trajectory_controller treat such a point
    differently.

    It is `behind` where a message was taken back because it had not been published in time.
    """

    streams = False
    _sent: Cubic | None = None
    """What the controller knows if all that was sent was published."""

    def hold(self, now: float, in_any_case: bool = False, overlap: bool = False) -> None:
        """Tell the controller to come to rest, if it is not at rest before; see `Commander.hold`."""
        super().hold(now, in_any_case, overlap)
        self.behind = False

    @property
    def unfinished(self) -> bool:
        """Whether the controller has not been told yet to come to rest."""
        return self.behind

    def take_back(self, command: Command) -> bool:
        """Note that nothing was published from `command` on: the controller goes on with what it was told before."""
        self._sent = self._under_way.take_back(command, self._sent)
        self._told.put_back(self._sent)
        self.behind = True
        return self._sent is not None and self._told.moving_at(command.publish_by)

    def forget(self) -> None:
        """Forget the commanded motion, and what is still under way of it."""
        super().forget()
        self._under_way.clear()
        self._sent, self.behind = None, False

    def restart_clock(self, before: float, now: float) -> None:
        """The clock jumped from `before` to `now`: forget the past, and stay at the position commanded for `before`."""
        super().restart_clock(before, now)
        self._under_way.clear()
        self._sent = self._told.motion

    def _takes_over(self, now: float) -> float:
        return now + self.lead_s

    def _tell(self, motion: Cubic, now: float, overlap: bool) -> None:
        self._told.set(motion)
        # Later it would begin with a step, because what it begins with is not what the controller is doing by then.
        command = self._message(motion, now, overlap)._replace(publish_by=now + max(self.lead_s, SOON_S))
        self._under_way.add(command, self._sent)
        self._sent, self.behind = self._told.motion, False
        self._send(command)

    def _message(self, motion: Cubic, now: float, overlap: bool) -> Command:
        whole = self._told.again(now - OVERLAP_S)
        starts = whole is None or whole.begin >= now
        if overlap and whole is not None and not starts:
            return _command(whole)
        if starts and not motion.velocities[0].any() and self.lead_s >= SHORTEST_LEAD_S:
            # At the measured position: the controller must not move until the motion takes over.
            return _command(motion.relative_to(motion.origin - self.lead_s / 2.0))
        return _command(motion, since=SHORTEST_SEGMENT_S)


def _command(motion: Cubic, since: float = 0.0) -> Command:
    """The command of the knots of `motion` from `since` s after its origin on."""
    apart = np.append(np.diff(motion.times) > SHORTEST_SEGMENT_S, True)
    told = apart & (motion.times >= since)
    return Command(motion.origin, motion.times[told], motion.positions[told], motion.velocities[told])
