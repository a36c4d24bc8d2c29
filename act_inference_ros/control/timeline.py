"""ActionTimeline: overlapping action chunks on one clock, merged into one target for any instant."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.control import merging
from act_inference_ros.errors import BadOutputError, ConfigurationError
from act_inference_ros.interfaces import BLEND, LATEST, MERGES, TEMPORAL_ENSEMBLE

SNAP_S = 1e-6
"""Instants closer than this are one instant: near 1.7e9 s (today) a float64 resolves 0.24 microseconds."""

Floats = npt.NDArray[np.float64]


class ActionTimeline:
    """Keeps action chunks by the time of their observation and returns the target at any instant.

    Row i of a chunk is the target for `t_obs + i / fps`. Between rows the targets are interpolated linearly; outside
    all chunks there is no target. Times are seconds on the clock that stamped the observations; targets have the units
    of the chunks. `merge` says how the targets of overlapping chunks for one instant are merged:

    * `blend`: the plan so far fades linearly into the new chunk, over `blend_time` from the moment the chunk takes
      over. If the plan so far ends earlier, the fade ends with it, so that the plan has no jumps.
    * `temporal_ensemble`: a mean with weights exp(-ensemble_coeff * i), i = 0 the oldest chunk that covers the instant
      (ACT, arXiv 2304.13705; equal to LeRobot's `ACTTemporalEnsembler` when a chunk arrives every step).
    * `latest`: the newest chunk that covers the instant (LeRobot's action queue with a chunk every n_action_steps).

    The targets for an arm (`at`) have none of the corners that merging makes.

    "Old" and "new" refer to `t_obs`, so the plan does not depend on the order in which chunks arrive. Not thread-safe.
    """

    def __init__(self, fps: float, merge: str = "blend", blend_time: float = 0.2, ensemble_coeff: float = 0.01) -> None:
        if not (math.isfinite(fps) and 0.0 < fps <= 1e4):
            raise ConfigurationError(f"fps: expected a number above 0 and up to 10000, got {fps}")
        self._fps = fps
        self.configure(merge, blend_time, ensemble_coeff)
        self.clear()

    def configure(self, merge: str, blend_time: float, ensemble_coeff: float) -> None:
        """Change the merge method; the chunks stay. Raises ConfigurationError for invalid values."""
        if merge not in MERGES:
            raise ConfigurationError(f"merge: expected one of {list(MERGES)}, got {merge!r}")
        if not (math.isfinite(blend_time) and blend_time >= 0.0):
            raise ConfigurationError(f"blend_time: expected a number of seconds, 0 or more, got {blend_time}")
        if not math.isfinite(ensemble_coeff):
            raise ConfigurationError(f"ensemble_coeff: expected a finite number, got {ensemble_coeff}")
        self._merge = merge
        self._blend_time = blend_time
        self._ensemble_coeff = ensemble_coeff

    def clear(self) -> None:
        """Forget every chunk."""
        self._starts: Floats = np.empty(0)  # (K,) t_obs, increasing
        self._arrivals: Floats = np.empty(0)  # (K,) when the fade to each chunk begins
        self._chunks: Floats = np.empty((0, 0, 0))  # (K, chunk_size, action_dim)

    def __len__(self) -> int:
        """The number of chunks that still have influence."""
        return len(self._starts)

    @property
    def newest(self) -> float | None:
        """The newest `t_obs`, or None without chunks."""
        return float(self._starts[-1]) if len(self) else None

    def add(self, chunk: npt.NDArray[np.floating[Any]], t_obs: float, now: float | None = None) -> None:
        """Add a chunk (chunk_size, action_dim) for the observation at `t_obs`; it arrived at `now` (default: `t_obs`).

        A chunk with the same `t_obs` as another replaces it, without restarting its fade. A chunk too old to overlap
        the newest one means that the clock jumped back: all other chunks are forgotten. Raises BadOutputError for a
        non-finite number or a shape that differs from before, ValueError for a non-finite time; then nothing is added.
        """
        now = t_obs if now is None else now
        if not (math.isfinite(t_obs) and math.isfinite(now)):
            raise ValueError(f"times must be finite, got t_obs={t_obs}, now={now}")
        rows = self._checked(chunk)
        if len(self) and t_obs < self._starts[-1] - self.duration - SNAP_S:
            self.clear()
        arrival = max(now, t_obs)
        same = np.abs(self._starts - t_obs) <= SNAP_S
        if same.any():
            arrival = min(arrival, float(self._arrivals[same].min()))
        others = ~same
        place = int(np.searchsorted(self._starts[others], t_obs))
        self._starts = np.insert(self._starts[others], place, t_obs)
        self._arrivals = np.insert(self._arrivals[others], place, arrival)
        before = self._chunks[others] if len(same) else np.empty((0, *rows.shape))
        self._chunks = np.insert(before, place, rows, axis=0)
        self._prune()

    def sample(self, t: float) -> Floats | None:
        """Return the target (action_dim,) at `t`, or None outside every chunk."""
        if not len(self):
            return None
        targets, covered = self._evaluate(np.array([t], dtype=np.float64))
        return targets[0] if covered[0] else None

    def samples(self, times: Floats) -> Floats:
        """Return the targets (n, action_dim) at `times` (n,), nan outside every chunk; there must be a chunk."""
        targets, covered = self._evaluate(times)
        targets[~covered] = np.nan
        return targets

    def horizon(self, t: float) -> float:
        """Return for how many seconds after `t` there are targets; 0.0 if there are none."""
        if not len(self):
            return 0.0
        return max(0.0, float(self._starts[-1]) + self.duration - t)

    def between(self, t0: float, t1: float) -> tuple[Floats, Floats]:
        """Return the newest chunk's step instants in [t0, t1], increasing (n,), and the targets there (n, action_dim).

        An instant outside the interval by a rounding error counts as the end of the interval.
        """
        times = self.instants(t0, t1)
        return times, self._evaluate(times)[0] if len(times) else np.empty((0, self._chunks.shape[2]))

    def instants(self, t0: float, t1: float, fewest: int = 0) -> Floats:
        """Return the newest chunk's step instants in [t0, t1], increasing (n,).

        If there are fewer than `fewest`, return that many evenly spaced instants up to the last step, or to t1,
        instead. An instant outside the interval by a rounding error counts as the end of the interval.
        """
        if not len(self) or t1 < t0:
            return np.empty(0)
        steps = self._starts[-1] + np.arange(self._chunks.shape[1]) / self._fps
        inside = (steps >= t0 - SNAP_S / 2) & (steps <= t1 + SNAP_S / 2)
        if np.count_nonzero(inside) >= fewest:
            return np.asarray(np.clip(steps[inside], t0, t1))
        begin, end = max(t0, float(steps[0])), min(t1, float(steps[-1]))
        return np.linspace(begin, end, fewest + 1)[1:] if end > begin else np.empty(0)

    def at(self, times: Floats) -> Floats:
        """Return the targets (n, action_dim) for an arm at `times` (n,), which must be instants that a chunk covers.

        They are the targets of `sample` without its corners: a fade begins and ends gently, and a chunk leaves an
        ensemble gradually. An ensemble with a chunk at each step is the same in both.
        """
        return self._evaluate(times, gently=True)[0]

    def newest_at(self, times: Floats) -> Floats:
        """Return the targets (n, action_dim) of the newest chunk alone at `times` (n,), which it must cover."""
        return np.asarray(self._rows_at(times, [len(self) - 1])[0][0])

    @property
    def duration(self) -> float:
        """Seconds from a chunk's first target to its last; 0.0 without a chunk."""
        return max(0, self._chunks.shape[1] - 1) / self._fps

    def _checked(self, chunk: npt.NDArray[np.floating[Any]]) -> Floats:
        rows = np.array(chunk, dtype=np.float64)
        if rows.ndim != 2 or 0 in rows.shape:
            raise BadOutputError(f"action chunk: expected (chunk_size, action_dim), got {rows.shape}")
        if len(self) and rows.shape != self._chunks.shape[1:]:
            raise BadOutputError(f"action chunk: expected {self._chunks.shape[1:]} like those before, got {rows.shape}")
        if not np.isfinite(rows).all():
            raise BadOutputError("action chunk: expected finite numbers; the whole chunk is dropped")
        return rows

    def _evaluate(self, times: Floats, gently: bool = False) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Return the merged targets (n, action_dim) at `times` (n,), and which instants have a target (n,)."""
        rows, covered = self._rows_at(times, range(len(self)))
        weights = self._weights(times, covered, gently)
        return np.asarray((weights[:, :, None] * rows).sum(axis=0)), covered.any(axis=0)

    def _rows_at(self, times: Floats, chunks: Sequence[int]) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Return the targets (K, n, action_dim) of `chunks` (K,) at `times` (n,), and which of them exist (K, n)."""
        which = np.array(chunks, dtype=np.intp)[:, None]
        size = self._chunks.shape[1]
        position = (times - self._starts[which]) * self._fps  # in rows
        nearest = np.rint(position)
        position = np.where(np.abs(position - nearest) <= SNAP_S * self._fps, nearest, position)
        covered = (position >= 0) & (position <= size - 1)
        lower = np.clip(np.floor(position), 0, max(size - 2, 0)).astype(np.intp)
        upper = np.minimum(lower + 1, size - 1)
        fraction = np.where(covered, position - lower, 0.0)[:, :, None]
        return self._chunks[which, lower] * (1.0 - fraction) + self._chunks[which, upper] * fraction, covered

    def _weights(self, times: Floats, covered: npt.NDArray[np.bool_], gently: bool) -> Floats:
        if self._merge == TEMPORAL_ENSEMBLE:
            weights = merging.ensemble_weights(covered, self._ensemble_coeff)
            if not gently:
                return weights
            # A chunk begins to leave this long before its end: half of the time from each chunk to the next.
            leaves = np.diff(self._starts, append=np.inf) / 2.0
            left = self._starts + self.duration + 1.0 / self._fps
            return merging.leaving(weights, (left[:, None] - times) / leaves[:, None], SNAP_S * self._fps)
        if self._merge == LATEST:
            return merging.latest_weights(covered)
        shares = merging.fade(times, self._arrivals, self._fade_ends(), SNAP_S)
        return merging.blend_weights(covered, merging.gentle(shares) if gently else shares)

    def _fade_ends(self) -> Floats:
        """When the fade to each chunk ends (K,): after `blend_time`, or earlier if the plan so far ends earlier."""
        ends = self._arrivals + self._blend_time
        ends[1:] = np.minimum(ends[1:], self._starts[:-1] + self.duration)
        ends[0] = -np.inf  # nothing to fade from
        return np.asarray(ends)

    def _prune(self) -> None:
        """Drop the chunks that have no influence at or after the newest `t_obs`."""
        newest = self._starts[-1]
        first = int(np.searchsorted(self._starts, newest - self.duration - SNAP_S))
        # More than one chunk per step would accumulate without bound; LeRobot's ensembler holds this many chunks too.
        first = max(first, len(self) - self._chunks.shape[1])
        if self._merge == LATEST:
            first = len(self) - 1
        elif self._merge == BLEND:
            over = np.flatnonzero((self._fade_ends() <= newest) & (self._arrivals + SNAP_S < newest))
            first = max(first, int(over[-1]) if len(over) else 0)
        self._starts, self._arrivals, self._chunks = self._starts[first:], self._arrivals[first:], self._chunks[first:]
