"""StartPose: a slow, straight motion to the start pose, renewed like a policy's plan."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from act_inference_ros.control.timeline import ActionTimeline
from act_inference_ros.interfaces import LATEST
from act_inference_ros.joints import nearest_turn
from act_inference_ros.robot.configuration import RobotConfiguration

Floats = npt.NDArray[np.float64]

SPEED_SHARE = 0.25
"""Share of each joint's `max_velocity`: slow enough to watch."""
RENEW_S = 0.1
"""How often the way is planned again from the joints' current commanded positions."""
REACHED = 1e-3
"""At this distance, ROS units, the pose counts as reached."""


class StartPose:
    """The way to `pose` (n,), ROS units, in the order of the action's joints; all joints arrive together.

    Continuous joints go to the nearest turn of the pose.
    """

    NEAR = 0.05
    """The joints must be measured this close to the pose for it to be reached, ROS units."""
    WAIT_S = 1.0
    """How long the arm may take to arrive after its commanded position has reached the pose."""

    def __init__(self, configuration: RobotConfiguration, pose: tuple[float, ...]) -> None:
        self.timeline = ActionTimeline(configuration.fps, LATEST)
        self._action = configuration.action
        self._fps = configuration.fps
        self._pose = np.array(pose)
        self._continuous = np.array([joint.continuous for joint in configuration.action.joints])
        self._fastest = SPEED_SHARE * np.array([joint.max_velocity for joint in configuration.action.joints])
        self._renewed = -np.inf
        self._told_at = np.inf

    def reached(self, told: Mapping[str, float]) -> bool:
        """Return whether the commanded positions (joint -> position) have reached the pose."""
        return bool(np.abs(self._left(self._from(told))).max() <= REACHED)

    def distance(self, measured: Mapping[str, float]) -> float:
        """The largest distance of a joint's measured position from the pose; infinite if one is not measured."""
        if any(name not in measured for name in self._action.names):
            return float("inf")
        return float(np.abs(self._left(self._from(measured))).max())

    def waited(self, now: float) -> bool:
        """Return whether the arm has had the time to arrive; call it as soon as `reached` is true."""
        self._told_at = min(self._told_at, now)
        return now >= self._told_at + self.WAIT_S

    def renew(self, told: Mapping[str, float], now: float, span: float) -> bool:
        """Plan the next `span` s again from the commanded positions, if it is time; return whether it was."""
        if now < self._renewed + RENEW_S:
            return False
        self._renewed = now
        here = self._from(told)
        left = self._left(here)
        duration = max(float((np.abs(left) / self._fastest).max()), 1.0 / self._fps)
        steps = np.arange(int(np.ceil(span * self._fps)) + 1) / self._fps
        share = np.clip(steps / duration, 0.0, 1.0)[:, None]
        self.timeline.clear()
        self.timeline.add(self._action.to_actions(here + share * left), now)
        return True

    def _left(self, here: Floats) -> Floats:
        return np.where(self._continuous, nearest_turn(self._pose, here), self._pose) - here

    def _from(self, told: Mapping[str, float]) -> Floats:
        return np.array([told[name] for name in self._action.names])
