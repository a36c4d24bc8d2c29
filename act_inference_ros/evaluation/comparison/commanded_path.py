"""CommandedPath: a trajectory controller's desired positions at any instant, from the messages sent to it.

The rules are those of the demo robot: `simulation.trajectory` says what a joint_trajectory_controller refuses, and how
its path runs from a start state through the points. This class keeps the paths for a while, for later look-ups.

No bag records whether a new trajectory starts from the last command or from the measured state. Here it starts from the
last command, so that the path does not jump back by the lag of the arm; without an earlier command it starts from the
measured state. Accelerations are not read: a controller that gets them follows a quintic through the same points.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import ObservationError
from act_inference_ros.evaluation.comparison.track import SNAP_S
from act_inference_ros.interfaces import Command
from act_inference_ros.simulation.trajectory import MotionState, Path, Trajectory, TrajectoryPoint, reason_to_refuse

Floats = npt.NDArray[np.float64]


class _Piece(NamedTuple):
    """From `begin`, s on the bag's clock, the joints are on `path`, whose times count from `begin`.

    Without a path their positions are unknown.
    """

    begin: float
    path: Path | None


class CommandedPath:
    """The path of one controller's joints, in ROS units. Memory is bounded by what `forget_before` leaves."""

    def __init__(self, joints: Sequence[str]) -> None:
        self._joints = tuple(joints)
        self._pieces: list[_Piece] = []

    def take(self, command: Command, received: float, measured: MotionState) -> None:
        """Let the controller take a command at `received`, s; `measured` (joints,) is nan where unknown.

        Raises ObservationError, and changes nothing, if the controller would refuse the command.
        """
        # Times count from the arrival, because a float64 of today's date is too coarse for derivatives.
        since = command.stamp - received if command.stamp > 0.0 else 0.0
        trajectory = Trajectory(self._joints, since, _points(command))
        reason = reason_to_refuse(trajectory, self._joints, 0.0, allow_final_velocity=True)
        if reason is not None:
            raise ObservationError(f"its controller refuses it: {reason}")
        path = Path.through(trajectory, self._joints, 0.0, 0.0, self._start(received, measured))
        self._begin(_Piece(received, path))

    def sample(self, origin: float, since: Floats) -> Floats:
        """Return positions (n, joints) at `since` (n,) s after `origin`, in any order; nan where they are unknown."""
        found = np.full((len(since), len(self._joints)), np.nan)
        begins = np.array([piece.begin for piece in self._pieces])
        places = np.searchsorted(begins, origin + since + SNAP_S, side="right") - 1
        for place in np.unique(places[places >= 0]).tolist():
            begin, path = self._pieces[place]
            if path is not None:
                here = places == place
                times = np.maximum(since[here] + (origin - begin), 0.0)
                positions = path.states_at(times).positions
                unknown = ~np.isfinite(positions)  # between an unknown start and the first point; known from there on
                if unknown.any():
                    positions[unknown] = path.states_at(times + SNAP_S).positions[unknown]
                found[here] = positions
        return found

    def forget_from(self, time: float) -> None:
        """Make positions unknown from `time` on, until the next command."""
        self._begin(_Piece(time, None))

    def forget_before(self, time: float) -> None:
        """Drop everything that is not needed for `time` or later."""
        later = itertools.takewhile(lambda piece: piece.begin <= time, self._pieces[1:])
        del self._pieces[: sum(1 for _ in later)]

    def clear(self) -> None:
        """Forget everything."""
        self._pieces.clear()

    def _begin(self, piece: _Piece) -> None:
        while self._pieces and self._pieces[-1].begin >= piece.begin - SNAP_S:
            self._pieces.pop()  # the controller follows the later one of two messages at the same time
        self._pieces.append(piece)

    def _start(self, time: float, measured: MotionState) -> MotionState:
        """Return the commanded state; the measured state if nothing was commanded; nan if both are unknown."""
        begin, path = self._pieces[-1] if self._pieces else _Piece(time, None)
        if path is None:
            return MotionState(measured.positions, np.nan_to_num(measured.velocities))
        here = path.at(max(time - begin, 0.0))
        unknown = ~np.isfinite(here.positions)
        return MotionState(
            np.where(unknown, measured.positions, here.positions),
            np.nan_to_num(np.where(unknown, measured.velocities, here.velocities)),
        )


def _points(command: Command) -> tuple[TrajectoryPoint, ...]:
    """Return the points of a command; velocities that are nan there are None here."""
    speeds = np.full_like(command.positions, np.nan) if command.velocities is None else command.velocities
    return tuple(
        TrajectoryPoint(time, tuple(row), tuple(speed) if np.isfinite(speed).all() else ())
        for time, row, speed in zip(command.times.tolist(), command.positions.tolist(), speeds.tolist(), strict=True)
    )
