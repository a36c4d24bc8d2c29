"""StartPose: a slow, straight way to the start pose, renewed like a policy's plan."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from act_inference_ros.control.timeline import ActionTimeline
from act_inference_ros.interfaces import LATEST
from act_inference_ros.robot.configuration import RobotConfiguration

SPEED_SHARE = 0.25
"""Of each joint's `max_velocity`: slow enough to watch."""
RENEW_S = 0.1
"""How often the way is planned anew from where the joints were told to be by then."""
REACHED = 1e-3
"""How near to the pose is there, ROS units."""


class StartPose:
    """The way to `pose` (n,), ROS units, in the order of the action's joints; all joints arrive together."""

    def __init__(self, configuration: RobotConfiguration, pose: tuple[float, ...]) -> None:
        self.timeline = ActionTimeline(configuration.fps, LATEST)
        self._action = configuration.action
        self._fps = configuration.fps
        self._pose = np.array(pose)
        self._fastest = SPEED_SHARE * np.array([joint.max_velocity for joint in configuration.action.joints])
        self._renewed = -np.inf

    def reached(self, told: Mapping[str, float]) -> bool:
        """Return whether the joints have been told to be there (joint -> position)."""
        return bool(np.abs(self._from(told) - self._pose).max() <= REACHED)

    def renew(self, told: Mapping[str, float], now: float, span: float) -> bool:
        """Plan the next `span` s anew from where the joints are told to be, if it is time; return whether it was."""
        if now < self._renewed + RENEW_S:
            return False
        self._renewed = now
        here = self._from(told)
        left = np.abs(self._pose - here)
        duration = max(float((left / self._fastest).max()), 1.0 / self._fps)
        steps = np.arange(int(np.ceil(span * self._fps)) + 1) / self._fps
        share = np.clip(steps / duration, 0.0, 1.0)[:, None]
        self.timeline.clear()
        self.timeline.add(self._action.to_actions(here + share * (self._pose - here)), now)
        return True

    def _from(self, told: Mapping[str, float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array([told[name] for name in self._action.names])
