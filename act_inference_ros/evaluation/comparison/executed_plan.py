"""ExecutedPlan: what the controllers are told with one way of merging, read off the commanders that the node has.

The commanders' messages go nowhere; what they have told is looked at when its time has passed, so that no later command
can change it any more. (A stream's ticks need not be played: they send what was told, and here they are never late.)

It is looked at twice: on a grid of 1 / fps, to be compared with the operator, and densely, to see how smooth it is. The
grid lies on the steps of the first chunk of a motion, so a chunk's rows are hit exactly as long as observations come in
steps of 1 / fps.

A gripper that is commanded by goals is taken for a streaming one: its goals lie within the deadband of that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from act_inference_ros.control.commander import Commander
from act_inference_ros.control.commanders import make_commander
from act_inference_ros.control.limiter.bounds import MotionLimits
from act_inference_ros.evaluation.comparison.track import SNAP_S
from act_inference_ros.evaluation.statistics import SETPOINT_PERIOD_S
from act_inference_ros.execution.following import Measured
from act_inference_ros.execution.overlap import Overlap
from act_inference_ros.execution.planned_motion import PlannedMotion
from act_inference_ros.interfaces import Command
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.spec import Chunk

AT_REST_S = 5 * SETPOINT_PERIOD_S
"""A motion is looked at so long beyond its end, for the end to be part of it."""

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
    """The plan with one way of merging. Times are seconds on the bag's clock.

    `commands` counts how often the plan was told.
    """

    def __init__(self, configuration: RobotConfiguration, merge: str) -> None:
        configuration = replace(configuration, merge=merge)
        self.commands = 0
        self._action = configuration.action
        self._fps = configuration.fps
        self._limits = MotionLimits.of(self._action.joints)
        commanders = [make_commander(each, configuration, _dropped) for each in configuration.controllers]
        self._motion = PlannedMotion(configuration, commanders, Overlap(configuration, closed_loop=False))
        self._lanes = [_Lane(commander, self._action.indices(commander.joint_names)) for commander in commanders]
        self._running = self._moving = False
        self._anchor, self._place, self._grid_starts = 0.0, 0, False
        self._origin, self._sample, self._starts = 0.0, 0, False
        self._executed: list[Executed] = []
        self._setpoints: list[Setpoints] = []

    @property
    def smoothed(self) -> list[int]:
        """In how many commands each joint's plan was beyond its limits, (joints,)."""
        return [self._motion.smoothed[joint] for joint in self._action.names]

    @property
    def bridged(self) -> list[int]:
        """In how many commands each joint was too far from its plan, (joints,)."""
        return [self._motion.bridged[joint] for joint in self._action.names]

    def accept(self, chunk: Chunk, t_obs: float, now: float, measured: Mapping[str, float], max_age: float) -> None:
        """Let a chunk arrive at `now`; the plan is followed for `max_age` s after its newest observation.

        `measured` (joint -> position) must have every joint of the action that was not told where to be.
        """
        self.advance(now)
        here = {**measured, **self._motion.told(now)}  # nobody executes the plan: the arm is where it was told to be
        self._motion.add(chunk, t_obs, now, here)
        if not self._running:
            self._begin(t_obs, now, here)
        else:
            for lane in self._lanes:
                lane.seams.append(now + lane.lead_s)
        self._motion.follow(now, self._motion.newest + max_age, {})
        self.commands += 1

    def hold(self, now: float) -> None:
        """Come to rest, and forget the plan."""
        if not self._running:
            return
        self.advance(now)
        self._motion.hold(now, {})
        self._running = False
        self._motion.clear()
        for lane in self._lanes:
            lane.seams.clear()

    def forget(self) -> None:
        """Forget what was told, too: the clock was set back."""
        self._running = self._moving = False
        self._motion.forget()

    def take(self) -> tuple[list[Executed], list[Setpoints]]:
        """Return what has been executed since, on the grid and densely."""
        taken = self._executed, self._setpoints
        self._executed, self._setpoints = [], []
        return taken

    def advance(self, now: float) -> None:
        """Look at what was told until now; densely also on the way to rest that a hold tells."""
        if self._running:
            self._look_on_grid(now)
        if self._moving:
            rest = now if self._running else max(lane.rests_from for lane in self._lanes) + AT_REST_S
            self._look_densely(min(now, rest))
            self._moving = self._running or now < rest

    def _begin(self, t_obs: float, now: float, here: Mapping[str, float]) -> None:
        self._running = self._grid_starts = True
        self._anchor, self._place = t_obs, math.ceil((now - SNAP_S - t_obs) * self._fps)
        if not self._moving:
            self._moving = self._starts = True
            self._origin, self._sample = now, 0
        self._motion.begin(now, {name: Measured(position, now) for name, position in here.items()})

    def _look_on_grid(self, until: float) -> None:
        last = math.floor((until + SNAP_S - self._anchor) * self._fps)
        if last < self._place:
            return
        since = np.arange(self._place, last + 1) / self._fps
        targets = self._motion.targets(self._anchor + since)
        inside = self._limits.clip(targets)
        told = self._told(self._anchor, since)
        self._executed.append(Executed(self._anchor + since, targets, inside, told, self._grid_starts))
        self._place, self._grid_starts = last + 1, False

    def _look_densely(self, until: float) -> None:
        last = math.floor((until - self._origin) / SETPOINT_PERIOD_S)
        if last < self._sample:
            return
        since = np.arange(self._sample, last + 1) * SETPOINT_PERIOD_S
        positions = self._told(self._origin, since)
        joined = np.zeros(positions.shape, dtype=np.bool_)
        for lane in self._lanes:
            joined[:, lane.columns] = lane.joined(self._origin, since)[:, None]
        self._setpoints.append(Setpoints(self._origin, since, positions, joined, self._starts))
        self._sample, self._starts = last + 1, False

    def _told(self, origin: float, since: Floats) -> Floats:
        """What was told `since` (n,) s after `origin`, (n, joints)."""
        positions = np.full((len(since), len(self._action)), np.nan)
        for lane in self._lanes:
            positions[:, lane.columns] = lane.told(origin, since)
        return positions


class _Lane:
    """One controller's commander, the columns of its joints, and when its next seams are."""

    def __init__(self, commander: Commander, columns: list[int]) -> None:
        self.columns = columns
        self.lead_s = 0.0 if commander.streams else commander.lead_s
        self.seams: list[float] = []
        self._commander = commander

    @property
    def rests_from(self) -> float:
        """When the joints are at rest."""
        motion = self._commander.motion
        return -math.inf if motion is None else motion.rests_from

    def told(self, origin: float, since: Floats) -> Floats:
        """What was told (n, joints), nan where nothing was."""
        motion = self._commander.motion
        if motion is None:
            return np.full((len(since), len(self.columns)), np.nan)
        # In times since the origin: those of today's date are too coarse.
        return motion.with_times_since(origin).sample(since).position

    def joined(self, origin: float, since: Floats) -> Bools:
        """Which of the samples are the first after a seam (n,); those seams are done with."""
        found = np.zeros(len(since), dtype=np.bool_)
        while self.seams and self.seams[0] - origin < since[-1]:
            found[int(np.searchsorted(since, self.seams.pop(0) - origin, side="right"))] = True
        return found


def _dropped(_: Command) -> None:
    """Nobody executes it."""
