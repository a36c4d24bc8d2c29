"""Other ways of sending a merged plan to a trajectory controller, for comparison.

The merged plan is the package's own in all of them, so that only the form of the messages differs. Times are s on the
wall clock, positions rad.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from act_inference_ros.control.timeline import ActionTimeline
from act_inference_ros.execution.plan_age import automatic_plan_age
from act_inference_ros.joints import DEFAULT_MAX_VELOCITY
from act_inference_ros.simulation.trajectory import MotionState, Trajectory, TrajectoryPoint
from benchmarks.motion.plan import JOINTS
from benchmarks.motion.scenarios import Scenario

Floats = npt.NDArray[np.float64]

EPOCH_S = 1_700_000_000
"""Senders live at today's date, where a float64 resolves 0.24 us, as on a robot; controllers count from here."""
MAX_AGE_S = 0.2
"""After this time without a new observation, the plan is no longer followed."""
LEAD_S = 0.02
"""Stamps lie this far ahead."""
OVERLAP_S = 0.3
"""An overlapping message begins this long before now."""
HOLD_POINTS_S = (0.05, 0.1)
AGREEMENT = 0.1
"""rad; a motion begins at the commanded position if the measured one is this near to it."""
SHORTEST_S, SHORTEST_SEGMENT_S = 1e-6, 0.005


class Sender(Protocol):
    """Gets the events, and returns the messages to the controller."""

    tick_period_s: float

    def parameters(self, values: Mapping[str, Any]) -> None:
        """Called first, with the answer of the controller's parameter service, name -> value."""

    def sense(self, positions: Floats, now: float, complete: bool) -> None:
        """The joints are measured at `positions` (joints,); `complete`: and the policy's other inputs have come."""

    def reference(self, reference: MotionState, speed: float, now: float) -> None:
        """The controller publishes its reference and its speed scaling factor."""

    def take(self, now: float) -> float | None:
        """The time of the observation from which a chunk shall be computed now, or None."""

    def chunk(self, rows: Floats, t_obs: float, now: float) -> None:
        """The chunk (n, joints) of an observation has come."""

    def tick(self, now: float) -> None:
        """A `tick_period_s` has passed."""

    def messages(self) -> list[Trajectory]:
        """What was sent since the last call; its stamps count from EPOCH_S."""

    def holds(self) -> dict[str, int]:
        """Why the arm was held, and how often."""


class MergingSender:
    """The common part of the compared senders: observations, the merged plan, and its end when observations stop."""

    def __init__(self, scenario: Scenario) -> None:
        self.tick_period_s = 1.0 / scenario.fps
        self._scenario = scenario
        self._timeline = ActionTimeline(scenario.fps, scenario.merge)
        self._sent: list[Trajectory] = []
        self._here: Floats = np.zeros(len(JOINTS))
        self._complete_at = self._taken_at = self._not_before = -math.inf
        self._runs = False
        self._held = 0

    def parameters(self, values: Mapping[str, Any]) -> None:
        """See `Sender`; these senders do not use them."""

    def sense(self, positions: Floats, now: float, complete: bool) -> None:
        """See `Sender`."""
        self._here = positions
        self._complete_at = now if complete else self._complete_at

    def reference(self, reference: MotionState, speed: float, now: float) -> None:
        """See `Sender`; these senders do not use it."""

    def take(self, now: float) -> float | None:
        """See `Sender`."""
        if now < self._taken_at + self._scenario.interval_s - 1e-6 or now > self._complete_at + 1e-6:
            return None
        self._taken_at = now
        return now

    def chunk(self, rows: Floats, t_obs: float, now: float) -> None:
        """See `Sender`."""
        if t_obs > self._not_before:
            self._timeline.add(rows, t_obs, now)
            if not self._runs:
                self._begin(now)
                self._runs = True
            self._on_chunk(rows, now)

    def tick(self, now: float) -> None:
        """See `Sender`."""
        if self._runs and now > self._complete_at + MAX_AGE_S:
            self._hold(now)
            self._timeline.clear()
            self._runs, self._not_before = False, now
            self._held += 1
        elif self._runs:
            self._on_tick(now)

    def messages(self) -> list[Trajectory]:
        """See `Sender`."""
        sent, self._sent = self._sent, []
        return sent

    def holds(self) -> dict[str, int]:
        """See `Sender`."""
        return {"stale": self._held} if self._held else {}

    def _send(self, stamp: float, times: Floats, positions: Floats, at_rest: bool) -> None:
        """Send `positions` (n, joints) at `times` (n,); `stamp` 0.0 is on arrival, and `times` are then from there."""
        points = [
            TrajectoryPoint(round(since * 1e9) / 1e9, tuple(row))
            for since, row in zip((times - stamp).tolist(), positions.tolist(), strict=True)
        ]
        if at_rest:
            last = points[-1]
            points[-1] = TrajectoryPoint(last.time_from_start_s, last.positions, (0.0,) * len(JOINTS))
        self._sent.append(Trajectory(JOINTS, stamp - EPOCH_S if stamp else 0.0, tuple(points)))

    def _send_one(self, position: Floats) -> None:
        self._send(0.0, np.zeros(1), position[None], at_rest=False)

    def _begin(self, now: float) -> None:
        """Called when a motion begins."""

    def _hold(self, now: float) -> None:
        """Called when the motion ends."""

    def _on_chunk(self, rows: Floats, now: float) -> None:
        """Called when a chunk has been added to the timeline."""

    def _on_tick(self, now: float) -> None:
        """Called at each tick while the plan is followed."""


class OnePoint(MergingSender):
    """Sends one point of the merged plan each 1 / fps, without a stamp, as several bridges do."""

    def _on_tick(self, now: float) -> None:
        action = self._timeline.sample(now)
        if action is not None:
            self._send_one(action)


class Queue(MergingSender):
    """Sends the newest chunk's rows one by one from its first row on, one each 1 / fps, however late the chunk came.

    That is how LeRobot's action queue plays a chunk.
    """

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self._waiting: list[Floats] = []

    def _on_chunk(self, rows: Floats, now: float) -> None:
        self._waiting = list(rows)

    def _on_tick(self, now: float) -> None:
        if self._waiting:
            self._send_one(self._waiting.pop(0))


class Polyline:
    """The commanded path: straight lines between positions (n, joints) at times (n,); held before and after."""

    def __init__(self, time: float, position: Floats) -> None:
        self.times = np.array([time])
        self.positions = position[None]

    def at(self, time: float) -> Floats:
        """(joints,) at `time`."""
        return np.array([np.interp(time, self.times, column) for column in self.positions.T])

    def add(self, times: Floats, positions: Floats) -> None:
        """Replace the path from the first of `times` on."""
        before = self.times < times[0]
        self.times = np.r_[self.times[before], times]
        self.positions = np.vstack([self.positions[before], positions])


class _FollowsRest(MergingSender):
    """With each chunk the rest of the merged plan, in straight lines from what was told, at most 2 rad/s fast."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self._told: Polyline | None = None
        self._plan_age = automatic_plan_age(scenario.latency_s, 1.0 / scenario.interval_s)

    def _begin(self, now: float) -> None:
        if self._told is None:
            self._told = Polyline(now, self._here)
            return
        told = self._told.at(now)
        start = told if np.abs(told - self._here).max() <= AGREEMENT else self._here
        self._told.add(np.array([now]), start[None])

    def _hold(self, now: float) -> None:
        stamp = now + LEAD_S
        if self._told is None:
            return
        position = self._told.at(stamp)
        if stamp < self._told.times[-1]:
            self._send(stamp, stamp + np.array(HOLD_POINTS_S), np.vstack([position, position]), at_rest=True)
        self._told.add(np.array([stamp]), position[None])

    def _on_chunk(self, rows: Floats, now: float) -> None:
        stamp = now + LEAD_S
        times, wanted = self._rest(stamp)
        if self._told is None or len(times) < 2:
            return
        position = self._told.at(stamp)
        times, positions = np.r_[stamp, times], np.vstack([position, wanted])
        reach = np.diff(times)[:, None] * DEFAULT_MAX_VELOCITY
        for i in range(1, len(times)):
            positions[i] = np.clip(positions[i], positions[i - 1] - reach[i - 1], positions[i - 1] + reach[i - 1])
        self._tell(now, self._told, times, positions)
        self._told.add(times, positions)

    def _rest(self, stamp: float) -> tuple[Floats, Floats]:
        """The plan's rows after `stamp`, until it ends or becomes too old: times (n,), positions (n, joints)."""
        newest = self._timeline.newest or 0.0
        end = min(stamp + self._timeline.horizon(stamp), newest + self._plan_age)
        times, rows = self._timeline.between(stamp, end)
        ahead = times > stamp + self._nearest_row_s
        times, rows = times[ahead], rows[ahead]
        last = self._timeline.sample(end)
        if last is not None and len(times) and end > times[-1] + SHORTEST_SEGMENT_S:
            times, rows = np.r_[times, end], np.vstack([rows, last])
        return times, rows

    _nearest_row_s = SHORTEST_S

    @abstractmethod
    def _tell(self, now: float, told: Polyline, times: Floats, positions: Floats) -> None:
        """Send the way (n, joints) that begins with the stamp, where the joints have been told to be."""


class StampedAhead(_FollowsRest):
    """Positions only from a stamp that lies ahead, the last point at rest: the first version of this package.

    The baseline of all ratios.
    """

    def _tell(self, now: float, told: Polyline, times: Floats, positions: Floats) -> None:
        self._send(float(times[0]), times[1:], positions[1:], at_rest=True)


class Overlapping(_FollowsRest):
    """Positions only, but the message begins with a part of the plan that was sent before."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self._nearest_row_s = 0.5 / scenario.fps
        self._overlaps = False
        self._began_at = -math.inf

    def _begin(self, now: float) -> None:
        super()._begin(now)
        self._overlaps, self._began_at = False, now

    def _tell(self, now: float, told: Polyline, times: Floats, positions: Floats) -> None:
        if not self._overlaps:
            self._overlaps = True
            self._send(float(times[0]), times[1:], positions[1:], at_rest=True)
            return
        begin = max(now - OVERLAP_S, self._began_at)
        again = (told.times > begin + SHORTEST_SEGMENT_S) & (told.times < times[0] - SHORTEST_SEGMENT_S)
        all_times = np.r_[begin, told.times[again], times]
        self._send(begin, all_times, np.vstack([told.at(begin), told.positions[again], positions]), at_rest=True)
