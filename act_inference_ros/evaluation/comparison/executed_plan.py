"""ExecutedPlan: what the controllers are told with one way of merging, read off the commanders that the node has.

The commanders' messages go nowhere; what they have told is looked at when its time has passed, so that no later command
can change it any more. It is looked at twice: on a grid of 1 / fps, to be compared with the operator, and densely, to
see how smooth it is. The grid lies on the steps of the first chunk of a motion, so a chunk's rows are hit exactly as
long as observations come in steps of 1 / fps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from act_inference_ros.control.commander import Commander, make_commander
from act_inference_ros.evaluation.comparison.track import SNAP_S
from act_inference_ros.evaluation.results import SETPOINT_PERIOD_S
from act_inference_ros.execution.planned_motion import PlannedMotion
from act_inference_ros.interfaces import Command
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.spec import Chunk

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class Executed(NamedTuple):
    """A stretch of the plan: `times` (n,) in s, the rest (n, joints) in ROS units, nan where nothing was commanded.

    `targets` as merged, `inside` the position limits, `told` what the controllers were told. `starts`: this is the
    first stretch of a motion.
    """

    times: Floats
    targets: Floats
    inside: Floats
    told: Floats
    starts: bool


class Setpoints(NamedTuple):
    """What was told, SETPOINT_PERIOD_S apart: `positions` (n, joints), ROS units, `since` (n,) s after `origin`.

    Times count from the begin of the motion because those of today's date are too coarse for what is differentiated
    three times. `joined` (n, joints): the first sample after a chunk joined. `starts`: a motion begins with this.
    """

    origin: float
    since: Floats
    positions: Floats
    joined: Bools
    starts: bool

    @property
    def times(self) -> Floats:
        """(n,), s on the bag's clock."""
        return np.asarray(self.origin + self.since)


class ExecutedPlan:
    """The plan with one way of merging. Times are seconds on the bag's clock."""

    def __init__(self, configuration: RobotConfiguration, merge: str) -> None:
        configuration = replace(configuration, merge=merge)
        self._action = configuration.action
        self._fps = configuration.fps
        joints = self._action.joints
        self._lowest = np.array([-np.inf if joint.minimum is None else joint.minimum for joint in joints])
        self._highest = np.array([np.inf if joint.maximum is None else joint.maximum for joint in joints])
        commanders = [make_commander(each, configuration, _dropped) for each in configuration.controllers]
        self._motion = PlannedMotion(configuration, commanders)
        self._lanes = [_Lane(commander, self._action.indices(commander.joint_names)) for commander in commanders]
        self._running = False
        self._anchor, self._place = 0.0, 0
        self._origin, self._sample = 0.0, 0
        self._executed: list[Executed] = []
        self._setpoints: list[Setpoints] = []
        self._grid_starts = self._starts = False

    @property
    def running(self) -> bool:
        """Something is being executed."""
        return self._running

    def accept(self, chunk: Chunk, t_obs: float, now: float, measured: Mapping[str, float], max_age: float) -> None:
        """Let a chunk arrive at `now`; the plan is followed for `max_age` s after its newest observation.

        `measured` (joint -> position) must have every joint of the action if the plan is not `running`.
        """
        self.advance(now)
        begins = not self._running
        self._motion.add(chunk, t_obs, now, dict(measured) | self._motion.told(now))
        if begins:
            self._begin(t_obs, now, measured)
        else:
            for lane in self._lanes:
                lane.seams.append(now + lane.lead_s)
        self._motion.follow(now, self._motion.newest + max_age, streams=begins)

    def tick(self, now: float, max_age: float) -> None:
        """A period of the commands has passed."""
        self.advance(now)
        if self._running:
            self._motion.follow(now, self._motion.newest + max_age, trajectories=False)

    def hold(self, now: float) -> None:
        """Come to rest, and forget the plan."""
        self.advance(now)
        if self._running:
            self._motion.hold(now)
        self._running = False
        self._motion.clear()
        for lane in self._lanes:
            lane.seams.clear()

    def forget(self) -> None:
        """Forget what was told, too: the clock was set back."""
        self._running = False
        self._motion.forget()

    def take(self) -> tuple[list[Executed], list[Setpoints]]:
        """Return what has been executed since, on the grid and densely."""
        taken = self._executed, self._setpoints
        self._executed, self._setpoints = [], []
        return taken

    def advance(self, now: float) -> None:
        """Look at what was told until now."""
        if not self._running:
            return
        last = math.floor((now + SNAP_S - self._anchor) * self._fps)
        if last >= self._place:
            times = self._anchor + np.arange(self._place, last + 1) / self._fps
            told = self._told(self._anchor, times - self._anchor)
            targets = np.stack([self._motion.target(time) for time in times.tolist()])
            inside = np.clip(targets, self._lowest, self._highest)
            self._executed.append(Executed(times, targets, inside, told, self._grid_starts))
            self._place, self._grid_starts = last + 1, False
        last = math.floor((now - self._origin) / SETPOINT_PERIOD_S)
        if last >= self._sample:
            since = np.arange(self._sample, last + 1) * SETPOINT_PERIOD_S
            positions = self._told(self._origin, since)
            joined = np.zeros(positions.shape, dtype=np.bool_)
            for lane in self._lanes:
                joined[:, lane.columns] = lane.joined(since, self._origin)[:, None]
            self._setpoints.append(Setpoints(self._origin, since, positions, joined, self._starts))
            self._sample, self._starts = last + 1, False

    def _begin(self, t_obs: float, now: float, measured: Mapping[str, float]) -> None:
        self._running = self._grid_starts = self._starts = True
        self._anchor, self._place = t_obs, math.ceil((now - SNAP_S - t_obs) * self._fps)
        self._origin, self._sample = now, 0
        self._motion.begin(now, measured)

    def _told(self, origin: float, since: Floats) -> Floats:
        """What was told `since` (n,) s after `origin`, (n, joints)."""
        positions = np.full((len(since), len(self._action)), np.nan)
        for lane in self._lanes:
            positions[:, lane.columns] = lane.told(origin, since)
        return positions


class _Lane:
    """One controller's commander, the columns of its joints, and when its next seams are."""

    def __init__(self, commander: Commander, columns: list[int]) -> None:
        self.commander = commander
        self.columns = columns
        self.lead_s = 0.0 if commander.streams else commander._lead_s
        self.seams: list[float] = []

    def told(self, origin: float, since: Floats) -> Floats:
        return np.array([list(self.commander.told(origin + each).values()) for each in since.tolist()])

    def joined(self, since: Floats, origin: float) -> Bools:
        """Which of the samples are the first after a seam (n,); those seams are done with."""
        found = np.zeros(len(since), dtype=np.bool_)
        while self.seams and self.seams[0] - origin < since[-1]:
            found[int(np.searchsorted(since, self.seams.pop(0) - origin, side="right"))] = True
        return found


def _dropped(_: Command) -> None:
    """Nobody executes it."""
