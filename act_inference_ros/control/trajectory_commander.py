"""TrajectoryCommander: whole motions for a joint_trajectory_controller; each message continues the one before."""

from __future__ import annotations

import numpy as np

from act_inference_ros.control.commander import Commander
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
    """

    streams = False

    def _takes_over(self, now: float) -> float:
        return now + self.lead_s

    def _tell(self, motion: Cubic, now: float, overlap: bool) -> None:
        self._told.set(motion)
        whole = self._told.again(now - OVERLAP_S)
        starts = whole is None or whole.begin >= now
        if overlap and whole is not None and not starts:
            self._send(_command(whole))
        elif starts and not motion.velocities[0].any() and self.lead_s >= SHORTEST_LEAD_S:
            # At the measured position: the controller must not move until the motion takes over.
            self._send(_command(motion.relative_to(motion.origin - self.lead_s / 2.0)))
        else:
            self._send(_command(motion, since=SHORTEST_SEGMENT_S))


def _command(motion: Cubic, since: float = 0.0) -> Command:
    """The command of the knots of `motion` from `since` s after its origin on."""
    apart = np.append(np.diff(motion.times) > SHORTEST_SEGMENT_S, True)
    told = apart & (motion.times >= since)
    return Command(motion.origin, motion.times[told], motion.positions[told], motion.velocities[told])
