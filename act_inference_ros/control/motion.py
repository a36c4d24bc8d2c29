"""CommandedMotion: where a controller has been told to be, now, in the past and as far ahead as it was told."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]

MEMORY_S = 2.0
"""How long the past is kept: an arm that lags is compared with where it was told to be a while ago."""


class CommandedMotion:
    """What one controller has been told: positions (n, joints) at strictly increasing times (n,), ROS units and s.

    Between the times the controller interpolates linearly; before the first and after the last it stays where that one
    is. Before anything was commanded, and after `forget`, nothing is known.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Know nothing: the joints may be anywhere when commanding starts again."""
        self._times: Array = np.empty(0)
        self._positions: Array = np.empty((0, 0))

    def set(self, times: Array, positions: Array) -> None:
        """Add a command. From its first time on it replaces what was told before; what lies before that stays told."""
        if self.known:
            kept = (self._times < times[0]) & (self._times >= times[0] - MEMORY_S)
            before, where = self._times[kept], self._positions[kept]
            # Without this the old way to what is now replaced would bend towards the new one.
            joint_time = np.nextafter(times[0], -np.inf)
            if self._times[0] <= joint_time and (not len(before) or before[-1] < joint_time):
                before = np.append(before, joint_time)
                where = np.vstack([where.reshape(-1, positions.shape[1]), self._at(joint_time)])
            times, positions = np.append(before, times), np.vstack([where.reshape(-1, positions.shape[1]), positions])
        self._times, self._positions = times, positions

    def stay(self, time: float, position: Array) -> None:
        """From `time` on the joints are told to stay at `position` (joints,)."""
        self.set(np.array([time]), position[None])

    def restart(self, time: float, position: Array) -> None:
        """Forget the past, whose times mean nothing any more: from `time` on the joints stay at `position`."""
        self.forget()
        self.stay(time, position)

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
        return self._at(time) if self.known else None

    def extremes(self, begin: float, end: float) -> tuple[Array, Array] | None:
        """Lowest and highest position (joints,) told for `begin` to `end`; None where nothing is known."""
        if not self.known:
            return None
        inside = (self._times > begin) & (self._times < end)
        rows = np.vstack([self._at(begin), self._positions[inside], self._at(end)])
        return rows.min(axis=0), rows.max(axis=0)

    def moving_at(self, time: float) -> bool:
        """The last command leads on beyond `time`."""
        return self.known and time < float(self._times[-1])

    def _at(self, time: float) -> Array:
        after = int(np.searchsorted(self._times, time, side="right"))
        if after == 0 or after == len(self._times):
            return np.array(self._positions[after - 1 if after else 0])
        begin, end = self._times[after - 1], self._times[after]
        share = (time - begin) / (end - begin)
        return np.asarray(self._positions[after - 1] * (1.0 - share) + self._positions[after] * share)
