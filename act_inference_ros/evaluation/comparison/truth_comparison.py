"""TruthComparison: predictions wait here until the truth of their time is known, and are then compared."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from act_inference_ros.evaluation.comparison.executed_plan import Executed, Setpoints
from act_inference_ros.evaluation.comparison.track import SNAP_S
from act_inference_ros.evaluation.comparison.truth import Truth
from act_inference_ros.evaluation.metrics.series import ErrorPeaks, Thinned, WorstOf
from act_inference_ros.evaluation.metrics.tally import Tally
from act_inference_ros.evaluation.metrics.worst_seam import WorstSeam
from act_inference_ros.evaluation.results import CHUNKS_KEPT, LATENCIES_KEPT, PLAN_POINTS, SampledChunk, Series
from act_inference_ros.interfaces import MERGES
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.spec import Chunk

Floats = npt.NDArray[np.float64]

TRUTH_LAG_S = 0.5
"""The truth of an instant is taken for known this long after it: messages arrive late, states come between."""
CURVE_S = 2.0
"""A smooth curve through what the operator did needs so much of it before and after."""
BATCH_S = 1.0
"""Comparing once per so much of the bag costs less than at every message."""


class _Pending(NamedTuple):
    t_obs: float
    rows: Floats
    images: Mapping[str, npt.NDArray[np.uint8]]


class TruthComparison:
    """Takes chunks and executed plans; fills the tally and the series.

    Memory is bounded by the length of a chunk in time.
    """

    def __init__(self, configuration: RobotConfiguration, truth: Truth, tally: Tally, start_s: float) -> None:
        self._action = configuration.action
        self._fps = configuration.fps
        self._merge = configuration.merge
        self._truth = truth
        self._tally = tally
        self._start_s = start_s
        self._chunks: deque[_Pending] = deque()
        self._executed: dict[str, deque[Executed]] = {merge: deque() for merge in MERGES}
        self._setpoints: dict[str, deque[Setpoints]] = {merge: deque() for merge in MERGES}
        self._worst_seam = WorstSeam(len(configuration.action))
        self._settled = -np.inf
        self._plan_points: Thinned[tuple[float, Floats, Floats]] = Thinned(PLAN_POINTS)
        self._sampled_chunks: Thinned[SampledChunk] = Thinned(CHUNKS_KEPT)
        self._latencies = WorstOf(LATENCIES_KEPT)
        self._peaks = ErrorPeaks()

    def add_chunk(self, chunk: Chunk, t_obs: float, images: Mapping[str, npt.NDArray[np.uint8]]) -> None:
        """Take a raw chunk in policy units, and thumbnails of what it was predicted from."""
        rows = self._action.to_ros(chunk)
        self._chunks.append(_Pending(t_obs, rows, images))
        self._sampled_chunks.add(SampledChunk(t_obs - self._start_s, tuple(map(tuple, rows.tolist()))))

    def add_executed(self, merge: str, executed: Iterable[Executed], setpoints: Iterable[Setpoints]) -> None:
        """Take what was told next with one way of merging, on the grid and densely."""
        self._executed[merge].extend(executed)
        self._setpoints[merge].extend(setpoints)

    def add_latency(self, time: float, inference_s: float, age_s: float) -> None:
        """Take the times of one chunk."""
        self._tally.inference.add(inference_s)
        self._tally.age.add(age_s)
        self._latencies.add((time - self._start_s, inference_s, age_s))

    def settle(self, now: float) -> None:
        """Compare what can be compared at `now`; cheap if called often."""
        if now < self._settled + BATCH_S:
            return
        self._settled = now
        self._compare(now - TRUTH_LAG_S, np.inf)

    def finish(self, end: float) -> None:
        """Compare all that lies before the bag's end; what was predicted for later is not counted."""
        self._compare(np.inf, end)
        self._settled = -np.inf

    def series(self) -> Series:
        """What was kept for plots."""
        points = self._plan_points.items
        rows = self._latencies.rows
        return Series(
            plan_times_s=tuple(time - self._start_s for time, _, _ in points),
            plan=tuple(tuple(plan.tolist()) for _, plan, _ in points),
            truth=tuple(tuple(truth.tolist()) for _, _, truth in points),
            chunks=tuple(self._sampled_chunks.items),
            inference_times_s=tuple(row[0] for row in rows),
            inference_s=tuple(row[1] for row in rows),
            age_s=tuple(row[2] for row in rows),
            thumbnails=self._peaks.thumbnails(),
            splice=self._worst_seam.splice(self._action.names, self._start_s),
        )

    def _compare(self, known_until: float, end: float) -> None:
        for merge, waiting in self._executed.items():
            while stretch := _next_stretch(waiting, known_until):
                self._compare_executed(merge, stretch, end)
        for merge, dense in self._setpoints.items():
            while stretch_of := _next_setpoints(dense, known_until - CURVE_S):
                self._judge(merge, stretch_of, end)
        ready = []
        while self._chunks and self._last_time(self._chunks[0]) <= known_until:
            ready.append(self._chunks.popleft())
        if ready:
            self._compare_chunks(ready, end)
        waiting_since = [chunk.t_obs for chunk in list(self._chunks)[:1]]
        waiting_since += [float(waiting[0].times[0]) for waiting in self._executed.values() if waiting]
        waiting_since += [float(dense[0].times[0]) for dense in self._setpoints.values() if dense]
        self._truth.forget_before(min([known_until, *waiting_since]) - CURVE_S)

    def _last_time(self, chunk: _Pending) -> float:
        return chunk.t_obs + (len(chunk.rows) - 1) / self._fps

    def _known(self, times: Floats, end: float) -> Floats:
        truth = self._truth.at(times)
        truth[times > end + SNAP_S] = np.nan
        return truth

    def _compare_chunks(self, chunks: Sequence[_Pending], end: float) -> None:
        rows = np.stack([chunk.rows for chunk in chunks])  # (m, chunk_size, joints)
        times = np.array([chunk.t_obs for chunk in chunks])[:, None] + np.arange(rows.shape[1]) / self._fps
        errors = rows - self._known(times.ravel(), end).reshape(rows.shape)
        self._tally.horizon.add(errors)
        sizes = np.where(np.isfinite(errors), np.abs(errors), -1.0)
        for chunk, size in zip(chunks, sizes, strict=True):
            row, joint = np.unravel_index(int(size.argmax()), size.shape)
            if size[row, joint] >= 0.0 and chunk.images:
                self._peaks.add(
                    float(size[row, joint]),
                    chunk.t_obs - self._start_s,
                    self._action.names[joint],
                    float(row) / self._fps,
                    dict(chunk.images),
                )

    def _compare_executed(self, merge: str, executed: Executed, end: float) -> None:
        truth = self._known(executed.times, end)
        tally = self._tally.by_merge[merge]
        tally.executed.add(executed.told - truth)
        tally.limits.add_targets(executed.targets, executed.inside)
        if merge != self._merge:
            return
        if executed.starts:
            self._tally.differences.clear()
        self._tally.differences.add(executed.targets, truth)
        for point in zip(executed.times.tolist(), executed.told, truth, strict=True):
            self._plan_points.add(point)

    def _judge(self, merge: str, setpoints: Setpoints, end: float) -> None:
        """How smooth is what was told, and what the operator did meanwhile?"""
        smoothness = self._tally.by_merge[merge].smoothness
        if setpoints.starts:
            smoothness.interrupt()
        smoothness.add(setpoints.positions, setpoints.joined)
        if merge != self._merge:
            return
        demonstration = self._truth.setpoints(setpoints.origin, setpoints.since)
        demonstration[setpoints.times > end + SNAP_S] = np.nan
        if setpoints.starts:
            self._tally.demonstration.interrupt()
            self._worst_seam.interrupt()
        self._tally.demonstration.add(demonstration, np.zeros_like(setpoints.joined))
        self._worst_seam.add(setpoints.times, setpoints.positions, setpoints.joined, demonstration)


Block = TypeVar("Block", Executed, Setpoints)


def _blocks_of_one_motion(waiting: deque[Block], known_until: float) -> list[Block]:
    """Take the first blocks that end by then, up to where the next motion starts."""
    blocks: list[Block] = []
    while waiting and waiting[0].times[-1] <= known_until and not (blocks and waiting[0].starts):
        blocks.append(waiting.popleft())
    return blocks


def _next_stretch(waiting: deque[Executed], known_until: float) -> Executed | None:
    """Take all blocks of one motion that end by then, as one."""
    blocks = _blocks_of_one_motion(waiting, known_until)
    if not blocks:
        return None
    times, targets, inside, told = (np.concatenate([block[i] for block in blocks]) for i in range(4))
    return Executed(times, targets, inside, told, blocks[0].starts)


def _next_setpoints(waiting: deque[Setpoints], known_until: float) -> Setpoints | None:
    """Take all blocks of one motion that end by then, as one."""
    blocks = _blocks_of_one_motion(waiting, known_until)
    if not blocks:
        return None
    since = np.concatenate([block.since for block in blocks])
    positions = np.concatenate([block.positions for block in blocks])
    joined = np.concatenate([block.joined for block in blocks])
    return Setpoints(blocks[0].origin, since, positions, joined, blocks[0].starts)
