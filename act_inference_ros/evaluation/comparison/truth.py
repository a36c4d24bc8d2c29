"""What the operator did: the position of every joint of the action at any instant, from commands or joint states.

Commands are read as their controller would execute them, bound by name (Float64MultiArray: in the controller's order)
and in ROS units:

* joint_trajectory: from its stamp (its arrival, if that is zero or earlier) a trajectory replaces the one before; the
  joints go linearly from where they were commanded to be through the points, and hold the last.
* position_stream and joint_state: each command holds until the next.
* parallel_gripper_action and gripper_action: no bag records goals, so there are no commands.
* state, for want of commands: the measured positions, linear between two messages at most MAX_STATE_GAP_S apart. An
  arm lags behind its commands, so a policy is then expected to be ahead by that lag.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.control.cubic import Cubic
from act_inference_ros.errors import ObservationError
from act_inference_ros.evaluation.comparison.track import SNAP_S, Track
from act_inference_ros.interfaces import BY_HEADER, Command, read_joint_state
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.robot.devices import Controller

COMMANDS, STATE, NONE = "commands", "state", "none"
FINE_S = 0.01
"""The way along a cubic is kept in pieces of this length."""
MAX_STATE_GAP_S = 0.2
CLOCK_JUMP_S = 1.0

Floats = npt.NDArray[np.float64]


class Truth:
    """The truth of one episode. `sources` says for each controller's name what its joints' truth is.

    Times are seconds on the bag's clock. Not thread-safe.
    """

    def __init__(self, configuration: RobotConfiguration, sources: Mapping[str, str]) -> None:
        self.sources = dict(sources)
        self.newest_s: dict[str, float] = {}
        """Controller -> when its last command (or state) came."""
        self._known_until: dict[str, float] = {}
        self._curved: set[str] = set()
        self._by_header = configuration.stamps == BY_HEADER
        self._controllers = {controller.name: controller for controller in configuration.controllers}
        self._columns = {name: configuration.action.indices(c.joints) for name, c in self._controllers.items()}
        self._tracks = {name: Track(len(c.joints)) for name, c in self._controllers.items()}
        self._width = len(configuration.action)

    def add_command(self, controller: str, msg: Any, received: float) -> None:
        """Take a message from a controller's command topic; None is a damaged one.

        Raises ObservationError for one that says nothing. Until the next good one the truth is then not known.
        """
        try:
            self._add_command(self._controllers[controller], controller, msg, received)
        except ObservationError:
            self._tracks[controller].forget_from(received)
            raise
        self.newest_s[controller] = received

    def _add_command(self, what: Controller, controller: str, msg: Any, received: float) -> None:
        if msg is None:
            raise ObservationError("a damaged message")
        command = what.interface.read(what.joints, msg)
        if what.interface.streams:
            self._append(controller, self._when(command.stamp, received), command.positions[0])
        else:
            self._add_trajectory(controller, command, received)

    def add_state(self, msg: Any, received: float) -> None:
        """Take a message from the state topic. Raises ObservationError if a joint that is compared is not in it."""
        for name, source in self.sources.items():
            if source == STATE:
                measured = read_joint_state(self._controllers[name].joints, msg)
                self._append(name, self._when(measured.stamp, received), measured.positions[0])
                self.newest_s[name] = received

    def at(self, times: npt.ArrayLike) -> Floats:
        """Return the truth (n, joints of the action) at `times` (n,), ROS units; nan where it is not known."""
        instants = np.asarray(times, dtype=np.float64)
        values = np.full((len(instants), self._width), np.nan)
        for name, track in self._tracks.items():
            if self.sources[name] == STATE:
                found = track.linear(instants, MAX_STATE_GAP_S)
            elif self._controllers[name].interface.streams:
                found = track.held(instants)
            else:
                found = track.linear_then_held(instants)
            found[instants > self._known_until.get(name, np.inf) + SNAP_S] = np.nan
            values[:, self._columns[name]] = found
        return values

    def setpoints(self, origin: float, since: Floats) -> Floats:
        """The motion that the operator commanded, or made, `since` (n,) s after `origin`; close instants, increasing.

        A stream or joint states are samples of a motion: at most MAX_STATE_GAP_S apart they are joined by a smooth
        curve, and in a longer gap nothing is known. So are the pieces of trajectories that have velocities. Those of
        positions only are as `at` has them: their controller plays the corners, too.
        """
        values = self.at(origin + since)
        for name, track in self._tracks.items():
            if self.sources[name] == STATE or self._controllers[name].interface.streams or name in self._curved:
                known = np.isfinite(values[:, self._columns[name]])
                smooth = track.splined(origin, since, MAX_STATE_GAP_S)
                values[:, self._columns[name]] = np.where(known, smooth, np.nan)
        return values

    def end_with_newest(self) -> None:
        """The rest of the bag is not read: no command is known to have been held after the last that was."""
        self._known_until = {name: self.newest_s.get(name, -np.inf) for name in self._tracks}

    def clear(self) -> None:
        """Forget everything: the clock was set back."""
        for track in self._tracks.values():
            track.clear()

    def forget_before(self, time: float) -> None:
        """Drop what is not needed for instants from `time` on."""
        for track in self._tracks.values():
            track.forget_before(time)

    def _add_trajectory(self, controller: str, command: Command, received: float) -> None:
        track = self._tracks[controller]
        if not len(command.times):  # stops the trajectory under way: the joints stay where they were commanded to be
            here = track.linear_then_held(np.array([received]))[0]
            if np.isfinite(here).all():
                track.replace_from(received, np.array([received]), here[None])
            return
        begin = max(command.stamp, received)
        start = command.stamp if command.stamp > 0.0 else received
        times = start + command.times
        if times[-1] < received:
            raise ObservationError(f"the trajectory was over {received - times[-1]:.3f} s before it came")
        rows = command.positions
        self._curved.discard(controller)
        if command.velocities is not None and np.isfinite(command.velocities).all():
            self._curved.add(controller)
            # Between points that have velocities a controller goes along a cubic.
            motion = Cubic(start, command.times, rows, command.velocities)
            fine = np.arange(command.times[0], command.times[-1], FINE_S)
            times = start + np.union1d(command.times, fine)
            rows = motion.sample(times).position
        if times[0] <= begin + SNAP_S and not np.isfinite(track.linear_then_held(np.array([begin]))).all():
            # Nothing was commanded before: the trajectory itself says where the joints are as it begins.
            track.forget_from(begin)
            track.append(begin, np.array([np.interp(begin, times, column) for column in rows.T]))
        ahead = times > begin + SNAP_S
        track.replace_from(begin, times[ahead], rows[ahead])

    def _append(self, controller: str, stamp: float, row: Floats) -> None:
        track = self._tracks[controller]
        if len(track) and stamp < track.times[-1] - CLOCK_JUMP_S:
            back = track.times[-1] - stamp
            track.clear()
            raise ObservationError(f"stamped {back:.3f} s before the one before: the clock jumped back")
        track.append(stamp, row)

    def _when(self, stamp: float, received: float) -> float:
        """When a message counts: at its stamp, where there is one and stamps are to be believed."""
        return stamp if self._by_header and stamp > 0.0 else received
