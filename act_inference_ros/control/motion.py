"""CommandedMotion: where a controller has been told to be, so that the next command starts there."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]


class CommandedMotion:
    """The last command of one controller: positions (n, joints) at strictly increasing times (n,), ROS units and s.

    Between the times the controller interpolates linearly; after the last it holds. Before anything was commanded,
    and after `forget`, nothing is known.
    """

    def __init__(self) -> None:
        self._times: Array = np.empty(0)
        self._positions: Array = np.empty((0, 0))

    def set(self, times: Array, positions: Array) -> None:
        """Remember a command that replaces the one before."""
        self._times, self._positions = times, positions

    def forget(self) -> None:
        """Know nothing: the arm may be anywhere when commanding starts again."""
        self.set(np.empty(0), np.empty((0, 0)))

    @property
    def known(self) -> bool:
        """Something was commanded since the last `forget`."""
        return self._times.size > 0

    @property
    def last_time(self) -> float | None:
        """Time of the last commanded position."""
        return float(self._times[-1]) if self.known else None

    def position_at(self, time: float) -> Array | None:
        """(joints,) commanded for `time`, or None where nothing is known."""
        if not self.known:
            return None
        return np.array([np.interp(time, self._times, column) for column in self._positions.T])

    def moving_at(self, time: float) -> bool:
        """The last command leads on beyond `time`."""
        return self.known and time < float(self._times[-1])
