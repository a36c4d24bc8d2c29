"""Resampler: makes frames at a steady rate from recorded messages, by the rules of the node's inputs.

Each tick takes the newest observation exactly as the node does (`ObservationInputs.select`): it must be fresh, and its
inputs close enough together. A tick without an observation is a gap, after which the ticks start again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from act_inference_ros.observation.inputs import ObservationInputs
from act_inference_ros.observation.refusal import ObservationRefused
from act_inference_ros.observation.selection import Selection


@dataclass(frozen=True)
class Taken:
    """The messages of a frame, and its time in s on the clock of the stamps."""

    time_s: float
    selection: Selection


@dataclass(frozen=True)
class Gap:
    """A time from `time_s` on without frames; `reason` says why."""

    time_s: float
    reason: str


class Resampler:
    """Takes an observation every 1 / `fps` s. Times are s on the bag's clock.

    `news_rate` is the number of images per second of the fastest camera. The first tick comes half of an image's period
    after the first complete observation (half of a tick's period, if that is shorter, and within half of `max_age`). So
    the later ticks, too, lie between the arrivals of two images, and an image that is a little early or late is neither
    missed nor taken twice. The frames' own times count from the first observation's `t_obs` in steps of 1 / fps, like
    the rows of a chunk.
    """

    def __init__(self, inputs: ObservationInputs, fps: float, news_rate: float) -> None:
        self._inputs = inputs
        self._period = 1.0 / fps
        self._wait = min(0.5 / max(fps, news_rate), 0.5 * inputs.max_age)
        self._first_tick: float | None = None
        self._first_frame: float | None = None
        self._ticks = 0

    def look(self, now: float) -> None:
        """Note a message at `now`; if no ticks are running, check whether they can begin."""
        if self._first_tick is not None:
            return
        try:
            self._inputs.select(now)
        except ObservationRefused:
            return
        self._first_tick, self._first_frame, self._ticks = now + self._wait, None, 0

    def advance_to(self, now: float) -> Iterator[Taken | Gap]:
        """Yield the observations of the ticks before `now`, and a gap where the ticks end."""
        while self._first_tick is not None:
            tick = self._first_tick + self._ticks * self._period
            if tick >= now:
                return
            try:
                selection = self._inputs.select(tick)
            except ObservationRefused as refused:
                self.restart()
                yield Gap(tick, str(refused.refusal))
                return
            if self._first_frame is None:
                self._first_frame = selection.t_obs
            yield Taken(self._first_frame + self._ticks * self._period, selection)
            self._ticks += 1

    def restart(self) -> None:
        """Start again with the next complete observation."""
        self._first_tick = None
