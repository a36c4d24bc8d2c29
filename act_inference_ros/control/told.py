"""ToldMotion: the motion that one controller has been told, for the past, for now, and for the known future."""

from __future__ import annotations

import numpy as np

from act_inference_ros.control.cubic import Array, Cubic, MotionPoint

MEMORY_S = 2.0
"""How long the past is kept: an arm that lags is compared with its commanded position of a while ago."""


class ToldMotion:
    """The cubic that one controller has been told, ROS units and s.

    Before the first time and after the last time of the cubic the joints stay at its first or last position. Before the
    first command, and after `forget`, nothing is known.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Forget the commanded motion: the joints may be anywhere when commanding starts again."""
        self._motion: Cubic | None = None

    def set(self, motion: Cubic) -> None:
        """Add a command. From its first time on it replaces what was told before; earlier times are kept."""
        if self._motion is not None:
            begin = motion.begin - MEMORY_S
            before = self._motion.since(begin) if self._motion.begin < begin else self._motion
            motion = before.then(motion)
        self._motion = motion

    def put_back(self, motion: Cubic | None) -> None:
        """Know again what was known before: `motion`, or nothing if that is None."""
        self._motion = motion

    def stay(self, time: float, position: Array) -> None:
        """Tell the joints to stay at `position` (joints,) from `time` on."""
        self.set(Cubic.at_rest(time, position))

    def go_on(self, since: float, motion: Cubic) -> None:
        """Stay at the commanded position of `since` until the begin of `motion`, and then go on with it.

        This replaces what was told for the time between: nobody was told that.
        """
        if self._motion is not None and self._motion.begin <= since:
            self._motion = self._motion.until(since)
        self.set(motion)

    def restart(self, time: float, position: Array) -> None:
        """Forget the past, whose times have lost their meaning; from `time` on the joints stay at `position`."""
        self.forget()
        self.stay(time, position)

    @property
    def known(self) -> bool:
        """Whether something was told since the last `forget`."""
        return self._motion is not None

    @property
    def motion(self) -> Cubic | None:
        """The whole known motion, or None."""
        return self._motion

    @property
    def rests_from(self) -> float | None:
        """When the joints come to rest, or None if nothing is known."""
        return None if self._motion is None else self._motion.rests_from

    def at(self, time: float) -> MotionPoint | None:
        """Position, velocity and acceleration (joints,) told for `time`, or None if nothing is known."""
        return None if self._motion is None else self._motion.at(time)

    def position_at(self, time: float) -> Array | None:
        """The position (joints,) told for `time`, or None if nothing is known."""
        return None if self._motion is None else self._motion.at(time).position

    def extremes(self, begin: float, end: float) -> tuple[Array, Array] | None:
        """Lowest and highest position (joints,) told for `begin` to `end`; None if nothing is known."""
        return None if self._motion is None else self._motion.extremes(begin, end)

    def moving_at(self, time: float) -> bool:
        """Whether the joints are told to move after `time`."""
        return self._motion is not None and time < self._motion.rests_from

    def again(self, begin: float) -> Cubic | None:
        """The part of the known motion, from `begin` on, that an overlapping message repeats; None if unknown.

        It begins later if there was a jump since, or if nothing was told so early. Its first knot is its origin.
        """
        if self._motion is None:
            return None
        motion = self._motion.since_jump(float("inf"))
        earliest = motion.begin
        if motion.times[0] != earliest - motion.origin:  # this time has no exact float64: take the next one
            earliest = float(np.nextafter(earliest, np.inf))
        motion = motion.since(max(begin, earliest))
        return motion.relative_to(max(begin, earliest))
