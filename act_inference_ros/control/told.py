"""ToldMotion: what one controller has been told to do, in the past, now, and as far ahead as it was told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from act_inference_ros.control.cubic import Array, Cubic, MotionPoint

MEMORY_S = 2.0
"""How long the past is kept: an arm that lags is compared with where it was told to be a while ago."""


class ToldMotion:
    """The cubic that one controller has been told, ROS units and s.

    Before the first time and after the last the joints stay where that one is. Before anything was told, and after
    `forget`, nothing is known.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Know nothing: the joints may be anywhere when commanding starts again."""
        self._motion: Cubic | None = None

    def set(self, motion: Cubic) -> None:
        """Add a command. From its first time on it replaces what was told before; what lies before that stays told."""
        if self._motion is not None:
            begin = motion.begin - MEMORY_S
            before = self._motion.since(begin) if self._motion.begin < begin else self._motion
            motion = before.then(motion)
        self._motion = motion

    def stay(self, time: float, position: Array) -> None:
        """From `time` on the joints are told to stay at `position` (joints,)."""
        self.set(Cubic.at_rest(time, position))

    def delay(self, time: float, by: float) -> None:
        """Stay for `by` s where the joints are told to be at `time`, and go on with the rest of the motion then."""
        if self._motion is not None:
            rest = self._motion.since(time)
            if rest.begin <= time:
                self._motion = self._motion.until(time).then(replace(rest, origin=rest.origin + by))

    def restart(self, time: float, position: Array) -> None:
        """Forget the past, whose times mean nothing any more: from `time` on the joints stay at `position`."""
        self.forget()
        self.stay(time, position)

    @property
    def known(self) -> bool:
        """Something was told since the last `forget`."""
        return self._motion is not None

    @property
    def motion(self) -> Cubic | None:
        """All that is known, or None."""
        return self._motion

    @property
    def rests_from(self) -> float | None:
        """When the joints have come to rest, or None where nothing is known."""
        return None if self._motion is None else self._motion.rests_from

    def at(self, time: float) -> MotionPoint | None:
        """Position, velocity and acceleration (joints,) told for `time`, or None where nothing is known."""
        return None if self._motion is None else self._motion.at(time)

    def position_at(self, time: float) -> Array | None:
        """(joints,) told for `time`, or None where nothing is known."""
        return None if self._motion is None else self._motion.at(time).position

    def extremes(self, begin: float, end: float) -> tuple[Array, Array] | None:
        """Lowest and highest position (joints,) told for `begin` to `end`; None where nothing is known."""
        return None if self._motion is None else self._motion.extremes(begin, end)

    def moving_at(self, time: float) -> bool:
        """The joints are told to move on after `time`."""
        return self._motion is not None and time < self._motion.rests_from

    def again(self, begin: float) -> Cubic | None:
        """What a message tells once more that shall overlap with what was told, from `begin` on; None if unknown.

        It begins later where there was a jump since, or where nothing was told so early. Its first knot is its origin.
        """
        if self._motion is None:
            return None
        motion = self._motion.since_jump(float("inf"))
        earliest = motion.begin
        if motion.times[0] != earliest - motion.origin:  # no float64 is the time of this knot; the next one is later
            earliest = float(np.nextafter(earliest, np.inf))
        motion = motion.since(max(begin, earliest))
        return motion.relative_to(max(begin, earliest))
