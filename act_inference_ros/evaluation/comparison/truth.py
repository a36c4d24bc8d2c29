"""The operator's motion: the position of every joint of the action at any instant, from commands or joint states.

Commands are read as their controller would execute them, bound by name (Float64MultiArray: in the controller's order)
and in ROS units:

* joint_trajectory: as the controller of the demo robot, which follows the real one, plays the messages: see
  `comparison.commanded_path`.
* position_stream and joint_state: each command holds until the next.
* parallel_gripper_action and gripper_action: no bag records goals, so there are no commands.
* state, where no commands were recorded: the measured positions, linear between two messages at most MAX_STATE_GAP_S
  apart. An arm lags behind its commands, so the policy is then expected to be ahead by that lag. If joint states come
  on several topics, each joint has its own path, since two topics need not be measured at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import ObservationError
from act_inference_ros.evaluation.comparison.commanded_path import CommandedPath
from act_inference_ros.evaluation.comparison.track import SNAP_S, Track
from act_inference_ros.evaluation.comparison.who_commanded import Commanded
from act_inference_ros.interfaces import BY_HEADER, read_joint_state
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.robot.devices import Controller
from act_inference_ros.simulation.trajectory import MotionState

COMMANDS, STATE, NONE = "commands", "state", "none"
MAX_STATE_GAP_S = 0.2
"""Joint states further apart than this say nothing about the time between them."""
CLOCK_JUMP_S = 1.0

Floats = npt.NDArray[np.float64]


class Truth:
    """The truth of one episode, from any commander. `sources` maps each controller to the source of its joints' truth.

    `who`, if given, is told when commands came. Times are seconds on the bag's clock. Not thread-safe.
    """

    def __init__(
        self, configuration: RobotConfiguration, sources: Mapping[str, str], who: Commanded | None = None
    ) -> None:
        self.sources = dict(sources)
        self._who = who
        self.newest_s: dict[str, float] = {}
        """Controller -> when its last command (or state) came."""
        self._known_until: dict[str, float] = {}
        self._by_header = configuration.stamps == BY_HEADER
        self._controllers = {controller.name: controller for controller in configuration.controllers}
        self._columns = {name: configuration.action.indices(c.joints) for name, c in self._controllers.items()}
        self._paths = {
            name: CommandedPath(c.joints)
            for name, c in self._controllers.items()
            if self.sources[name] == COMMANDS and not c.interface.streams
        }
        apart = len(configuration.state_topics) > 1
        self._tracks = {
            name: _Tracks(c.joints, apart=apart and self.sources[name] == STATE)
            for name, c in self._controllers.items()
            if name not in self._paths
        }
        self._measured: dict[str, tuple[float, float, float]] = {}
        """Joint -> position, velocity and their time."""
        self._width = len(configuration.action)

    def add_command(self, controller: str, msg: Any, received: float) -> None:
        """Take a message from a controller's command topic; None is a damaged one.

        Raises ObservationError for a message without content, or one that its controller would refuse. The truth is
        then unknown until the next good message, since controllers refuse different messages and have another clock.
        """
        memory = self._paths[controller] if controller in self._paths else self._tracks[controller]
        what = self._controllers[controller]
        try:
            if msg is None:
                raise ObservationError("a damaged message")
            command = what.interface.read(what.joints, msg)
            if controller in self._paths:
                self._paths[controller].take(command, received, self._state_of(what, received))
                begin = received
            else:
                begin = self._when(command.stamp, received)
                self._append(controller, what.joints, begin, command.positions[0])
        except ObservationError:
            memory.forget_from(received)
            raise
        self.newest_s[controller] = received
        if self._who is not None:
            points_from = command.stamp if command.stamp > 0.0 else received
            self._who.add_command(controller, begin, max(begin, points_from + float(command.times[-1])))

    def add_state(self, msg: Any, received: float) -> None:
        """Take a message from a state topic.

        Raises ObservationError if this is the only state topic and the message lacks a joint whose truth is the state.
        """
        self._measured.update({name: (*at, received) for name, at in measured_joints(msg).items()})
        for name, source in self.sources.items():
            if source != STATE:
                continue
            joints = self._controllers[name].joints
            if self._tracks[name].apart:
                there = set(msg.name)
                joints = tuple(joint for joint in joints if joint in there)
            if joints:
                measured = read_joint_state(joints, msg)
                self._append(name, joints, self._when(measured.stamp, received), measured.positions[0])
                self.newest_s[name] = received

    def at(self, times: npt.ArrayLike) -> Floats:
        """Return the truth (n, joints of the action) at `times` (n,), ROS units; nan where it is not known."""
        instants = np.asarray(times, dtype=np.float64)
        values = np.full((len(instants), self._width), np.nan)
        for name in self.sources:
            found = self._found(name, instants)
            found[instants > self._known_until.get(name, np.inf) + SNAP_S] = np.nan
            values[:, self._columns[name]] = found
        return values

    def setpoints(self, origin: float, since: Floats) -> Floats:
        """Return the operator's commanded, or measured, motion at `since` (n,) s after `origin`, dense and increasing.

        The messages of a stream and joint states are samples of a motion: if they are at most MAX_STATE_GAP_S apart, a
        smooth curve joins them; in a longer gap the motion is unknown. Trajectories are as in `at`: their controller
        executes the corners and jumps, too.
        """
        values = self.at(origin + since)
        for name, path in self._paths.items():
            known = np.isfinite(values[:, self._columns[name]])
            values[:, self._columns[name]] = np.where(known, path.sample(origin, since), np.nan)
        for name, tracks in self._tracks.items():
            known = np.isfinite(values[:, self._columns[name]])
            smooth = tracks.sampled(lambda track: track.splined(origin, since, MAX_STATE_GAP_S))
            values[:, self._columns[name]] = np.where(known, smooth, np.nan)
        return values

    def end_with_newest(self) -> None:
        """Note that the rest of the bag is not read, so that no command counts as held after the last message."""
        self._known_until = {name: self.newest_s.get(name, -np.inf) for name in self.sources}

    def clear(self) -> None:
        """Forget everything: the clock was set back."""
        for track in self._tracks.values():
            track.clear()
        for path in self._paths.values():
            path.clear()
        if self._who is not None:
            self._who.clear()
        self._measured.clear()

    def forget_before(self, time: float) -> None:
        """Drop what is not needed for instants from `time` on."""
        for track in self._tracks.values():
            track.forget_before(time)
        for path in self._paths.values():
            path.forget_before(time)
        if self._who is not None:
            self._who.forget_before(time)

    def _found(self, name: str, instants: Floats) -> Floats:
        """Return the truth of one controller's joints (n, joints) at `instants` (n,)."""
        if name in self._paths:
            return self._paths[name].sample(0.0, instants)
        if self.sources[name] == STATE:
            return self._tracks[name].sampled(lambda track: track.linear(instants, MAX_STATE_GAP_S))
        return self._tracks[name].sampled(lambda track: track.held(instants))

    def _state_of(self, controller: Controller, now: float) -> MotionState:
        """Return the latest measured positions and velocities, (joints,); nan where there are none."""
        unknown = np.nan, np.nan, -np.inf
        rows = [self._measured.get(joint, unknown) for joint in controller.joints]
        rows = [row if now - row[2] <= MAX_STATE_GAP_S else unknown for row in rows]
        return MotionState(np.array([row[0] for row in rows]), np.array([row[1] for row in rows]))

    def _append(self, controller: str, joints: Sequence[str], stamp: float, row: Floats) -> None:
        tracks = self._tracks[controller]
        newest = tracks.newest(joints)
        if stamp < newest - CLOCK_JUMP_S:
            tracks.clear()
            raise ObservationError(f"stamped {newest - stamp:.3f} s before the one before: the clock jumped back")
        tracks.append(joints, stamp, row)

    def _when(self, stamp: float, received: float) -> float:
        """Return a message's time: its stamp, if there is one and stamps are trusted, else its reception."""
        return stamp if self._by_header and stamp > 0.0 else received


class _Tracks:
    """The motion of a controller's joints: one track for all, or, with `apart`, one for each joint."""

    def __init__(self, joints: Sequence[str], apart: bool) -> None:
        self.apart = apart
        self._places = {joint: place for place, joint in enumerate(joints)}
        self._tracks = [Track(1) for _ in joints] if apart else [Track(len(joints))]

    def newest(self, joints: Sequence[str]) -> float:
        """Return the time of the newest row of any of these joints, s; minus infinity without rows."""
        return max((float(track.times[-1]) for track in self._of(joints) if len(track)), default=-np.inf)

    def append(self, joints: Sequence[str], time: float, row: Floats) -> None:
        """Add the positions (len(joints),) of some joints, if each has its own track, or of all."""
        rows = row[:, None] if self.apart else [row]
        for track, own in zip(self._of(joints), rows, strict=True):
            track.append(time, own)

    def sampled(self, sample: Callable[[Track], Floats]) -> Floats:
        """Return each track's samples for n instants, (n, joints)."""
        return np.concatenate([sample(track) for track in self._tracks], axis=1)

    def clear(self) -> None:
        """Forget everything."""
        for track in self._tracks:
            track.clear()

    def forget_from(self, time: float) -> None:
        """From `time` on nothing is known, until the next row."""
        for track in self._tracks:
            track.forget_from(time)

    def forget_before(self, time: float) -> None:
        """Drop rows that say nothing about `time` or later."""
        for track in self._tracks:
            track.forget_before(time)

    def _of(self, joints: Sequence[str]) -> list[Track]:
        return [self._tracks[self._places[joint]] for joint in joints] if self.apart else self._tracks


def measured_joints(msg: Any) -> dict[str, tuple[float, float]]:
    """Return joint -> position and velocity of all joints in a JointState; a missing velocity is nan."""
    names, positions, velocities = list(msg.name), list(msg.position), list(msg.velocity)
    if len(positions) != len(names):
        return {}
    speeds = velocities if len(velocities) == len(names) else [np.nan] * len(names)
    return {name: (float(at), float(speed)) for name, at, speed in zip(names, positions, speeds, strict=True)}
