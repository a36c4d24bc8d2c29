"""ExecutedPlan: what the controllers would have been told, after merging and limits, on a grid of 1 / fps.

Follows the node's commanders. A chunk takes over `lead` after it arrives for a joint_trajectory controller (up to and
with that instant the trajectory before is executed), at once for a streaming one. Every motion starts where the joints
were told to be, else measured, and is clamped from there. The grid lies on the steps of the first chunk of a motion, so
a chunk's rows are hit exactly as long as observations come in steps of 1 / fps.

A gripper that is commanded by goals is taken for a streaming one: its goals lie within the deadband of that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from act_inference_ros.control.limits import TargetLimiter
from act_inference_ros.control.timeline import ActionTimeline
from act_inference_ros.evaluation.comparison.track import SNAP_S
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.robot.devices import Controller
from act_inference_ros.spec import Chunk

Floats = npt.NDArray[np.float64]


class Executed(NamedTuple):
    """A stretch of the plan: `times` (n,) in s, the rest (n, joints) in ROS units, nan where nothing was commanded.

    `targets` as merged, `inside` the position limits, `limited` in velocity too. `seams` (n,): a chunk joined the plan
    between the instant before and this one. `starts`: this is the first stretch of a motion.
    """

    times: Floats
    targets: Floats
    inside: Floats
    limited: Floats
    seams: npt.NDArray[np.bool_]
    starts: bool


class _Lane:
    """One controller: how far along the grid it has been told the plan, and where that has brought its joints."""

    def __init__(self, controller: Controller, configuration: RobotConfiguration) -> None:
        self.columns = configuration.action.indices(controller.joints)
        self.lead_s = 0.0 if controller.interface.streams else controller.lead_s
        self.streams = controller.interface.streams
        # A stream's last command was a tick ago, and the next may be as far from it as the joints move in a tick.
        self.tick_s = 1.0 / configuration.command_rate if self.streams else 0.0
        self._limiter = TargetLimiter([configuration.action.joints[column] for column in self.columns])
        joints = self._limiter.joints
        self._lowest = np.array([-np.inf if joint.minimum is None else joint.minimum for joint in joints])
        self._highest = np.array([np.inf if joint.maximum is None else joint.maximum for joint in joints])
        self.clear()

    def clear(self) -> None:
        self.next = 0
        self.rows: list[Floats] = []  # (3, joints): targets, inside, limited
        self._time, self._position = 0.0, np.empty(0)

    def begin(self, place: int, time: float, position: Floats) -> None:
        self.next, self._time, self._position = place, time + self.lead_s, position[self.columns]

    def end(self, now: float) -> float:
        """Until when the plan as it was before `now` is executed; a stream takes the new one at `now` itself."""
        return now - 2 * SNAP_S if self.streams else now + self.lead_s

    def tell(self, times: Floats, targets: Floats) -> None:
        """Go on by the next instants of the grid (n,): the plan there (n, joints of the action), nan where none is."""
        self.next += len(times)
        wanted = targets[:, self.columns]
        # At its stamp itself a trajectory holds no point; a stream's first command is for now.
        ahead = times > self._time - SNAP_S if self.streams else times > self._time + SNAP_S
        told = ahead & np.isfinite(wanted).all(axis=1)
        rows = np.full((len(times), 3, len(self.columns)), np.nan)
        if told.any():
            at, wanted = np.maximum(times[told], self._time), wanted[told]
            limited = self._limiter.limit(at, wanted, self._time, self._position).positions
            rows[told] = np.stack([wanted, np.clip(wanted, self._lowest, self._highest), limited], axis=1)
            self._time, self._position = float(at[-1]), limited[-1]
        self.rows += list(rows)

    def move_to(self, end: float, time: float, target: Floats) -> None:
        """Be at `end` on the way to the grid's next `time`, for a new plan to begin there."""
        if end <= self._time or time <= end:
            return
        wanted = target[self.columns]
        if np.isfinite(wanted).all():
            there = self._limiter.limit([time], wanted[None], self._time, self._position).positions[0]
            self._position = self._position + (there - self._position) * (end - self._time) / (time - self._time)
        self._time = end


class ExecutedPlan:
    """The plan with one way of merging. Times are seconds on the bag's clock."""

    def __init__(self, configuration: RobotConfiguration, merge: str) -> None:
        self._action = configuration.action
        self._fps = configuration.fps
        self._timeline = ActionTimeline(
            configuration.fps, merge, configuration.blend_time, configuration.ensemble_coeff
        )
        self._lanes = [_Lane(controller, configuration) for controller in configuration.controllers]
        self._running = False
        self._anchor = 0.0
        self._taken = 0
        self._seams: list[float] = []
        self._starts = False
        self._known: dict[int, Floats] = {}

    @property
    def running(self) -> bool:
        """Something is being executed."""
        return self._running

    def horizon(self, now: float) -> float:
        """Seconds of plan left."""
        return self._timeline.horizon(now)

    def accept(self, chunk: Chunk, t_obs: float, now: float, measured: Mapping[str, float]) -> Floats | None:
        """Let a chunk arrive at `now`; return the jump (joints,) it makes in the plan, ROS units, None if it begins it.

        The jump is that of the first instant on the grid from `now` on.

        `measured` (joint -> position) must have every joint of the action if the plan is not `running`.
        """
        if not self._running:
            self._begin(t_obs, now, measured)
        self._advance([lane.end(now) for lane in self._lanes])
        place = self._place(now)
        before = self._target(place)
        self._timeline.add(chunk, t_obs, now)
        self._known.clear()
        jump = self._target(place) - before
        if not np.isfinite(jump).all():
            return None
        self._seams.append(now)
        return jump

    def hold(self, now: float) -> None:
        """Stop: nothing is commanded after `now` (a trajectory: after now + lead). The plan is forgotten."""
        if self._running:
            self._advance([now + lane.lead_s for lane in self._lanes])
            furthest = max(lane.next for lane in self._lanes)
            for lane in self._lanes:
                places = range(lane.next, furthest)
                lane.tell(self._times(places), np.full((len(places), len(self._action)), np.nan))
        self._running = False
        self._timeline.clear()
        self._known.clear()

    def take(self) -> Executed | None:
        """Return what has been executed since, as far as all controllers have got, or None."""
        n = min(len(lane.rows) for lane in self._lanes)
        if not n:
            return None
        values = np.full((3, n, len(self._action)), np.nan)
        for lane in self._lanes:
            values[:, :, lane.columns] = np.stack(lane.rows[:n], axis=1)
            del lane.rows[:n]
        times = self._times(range(self._taken, self._taken + n))
        self._taken += n
        seams = np.zeros(n, dtype=np.bool_)
        for seam in self._seams:
            place = int(np.searchsorted(times, seam - SNAP_S))
            if place < n:
                seams[place] = True
        self._seams = [seam for seam in self._seams if seam - SNAP_S > times[-1]]
        starts, self._starts = self._starts, False
        return Executed(times, values[0], values[1], values[2], seams, starts)

    def _begin(self, t_obs: float, now: float, measured: Mapping[str, float]) -> None:
        """Begin a motion where the joints were measured. What was executed before must have been taken."""
        self._running, self._starts = True, True
        self._anchor, self._seams = t_obs, []
        position = np.array([measured[name] for name in self._action.names])
        self._taken = self._place(now)
        for lane in self._lanes:
            lane.clear()
            lane.begin(self._taken, now, position)

    def _times(self, places: Sequence[int]) -> Floats:
        return self._anchor + np.asarray(places, dtype=np.float64) / self._fps

    def _place(self, time: float) -> int:
        """The first place of the grid at or after `time`."""
        return math.ceil((time - SNAP_S - self._anchor) * self._fps)

    def _advance(self, ends: Sequence[float]) -> None:
        """Tell each lane the plan as it is now, up to its end."""
        for lane, end in zip(self._lanes, ends, strict=True):
            last = math.floor((end + SNAP_S - self._anchor) * self._fps)
            places = range(lane.next, last + 1)
            if places:
                lane.tell(self._times(places), np.stack([self._target(place) for place in places]))
            lane.move_to(end - lane.tick_s, self._times([lane.next])[0], self._target(lane.next))

    def _target(self, place: int) -> Floats:
        """The plan at a place of the grid, ROS units, nan where there is none; remembered until the plan changes."""
        if place not in self._known:
            action = self._timeline.sample(float(self._times([place])[0]))
            self._known[place] = np.full(len(self._action), np.nan) if action is None else self._action.to_ros(action)
        return self._known[place]
