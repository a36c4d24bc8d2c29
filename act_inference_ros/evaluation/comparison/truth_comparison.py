"""TruthComparison: keeps predictions until the truth for their time is known, and then compares them."""

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
from act_inference_ros.evaluation.metrics.shift import MOST_STEPS
from act_inference_ros.evaluation.metrics.tally import Tally
from act_inference_ros.evaluation.metrics.worst_seam import WorstSeam
from act_inference_ros.evaluation.results import CHUNKS_KEPT, LATENCIES_KEPT, PLAN_POINTS, SampledChunk, Series
from act_inference_ros.evaluation.watch import EpisodeWatch
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.spec import Chunk

Floats = npt.NDArray[np.float64]

TRUTH_LAG_S = 0.5
"""The truth of an instant counts as known after this time, since messages arrive late."""
CURVE_S = 2.0
"""A smooth curve through the operator's motion needs this much of the motion before and after."""
BATCH_S = 1.0
"""Time between two comparisons; this costs less than comparing at every message."""


class _Pending(NamedTuple):
    t_obs: float
    rows: Floats
    images: Mapping[str, npt.NDArray[np.uint8]]


class TruthComparison:
    """Takes chunks and executed plans; fills the tally and the series, and passes compared data to the watch.

    Memory is bounded by the length of a chunk in time.
    """

    def __init__(
        self, configuration: RobotConfiguration, truth: Truth, tally: Tally, start_s: float, watch: EpisodeWatch
    ) -> None:
        self._action = configuration.action
        self._fps = configuration.fps
        self._merge = configuration.merge
        self._truth = truth
        self._tally = tally
        self._start_s = start_s
        self._watch = watch
        self._shown_until = start_s
        self._chunks: deque[_Pending] = deque()
        self._executed: dict[str, deque[Executed]] = {merge: deque() for merge in tally.by_merge}
        self._setpoints: dict[str, deque[Setpoints]] = {merge: deque() for merge in tally.by_merge}
        self._worst_seam = WorstSeam(len(configuration.action))
        self._settled = -np.inf
        self._plan_points: Thinned[tuple[float, Floats, Floats]] = Thinned(PLAN_POINTS)
        self._sampled_chunks: Thinned[SampledChunk] = Thinned(CHUNKS_KEPT)
        self._latencies = WorstOf(LATENCIES_KEPT)
        self._peaks = ErrorPeaks()

    def add_chunk(self, chunk: Chunk, t_obs: float, images: Mapping[str, npt.NDArray[np.uint8]]) -> None:
        """Take a raw chunk (chunk_size, action_dim), policy units, and thumbnails, uint8 (h, w, 3), of its images."""
        rows = self._action.to_ros(chunk)
        self._chunks.append(_Pending(t_obs, rows, images))
        self._sampled_chunks.add(SampledChunk(t_obs - self._start_s, tuple(map(tuple, rows.tolist()))))

    def add_executed(self, merge: str, executed: Iterable[Executed], setpoints: Iterable[Setpoints]) -> None:
        """Take the next part of one merge's executed plan, on the grid and densely sampled."""
        self._executed[merge].extend(executed)
        self._setpoints[merge].extend(setpoints)

    def add_latency(self, time: float, inference_s: float, age_s: float) -> None:
        """Take the times of one chunk."""
        self._tally.inference.add(inference_s)
        self._tally.age.add(age_s)
        self._latencies.add((time - self._start_s, inference_s, age_s))

    def settle(self, now: float) -> None:
        """Compare all predictions whose truth is known at `now`; cheap if called often."""
        if now < self._settled + BATCH_S:
            return
        self._settled = now
        self._compare(now - TRUTH_LAG_S, np.inf)

    def finish(self, end: float) -> None:
        """Compare all predictions for times before the bag's end; later ones do not count."""
        self._compare(np.inf, end)
        self._settled = -np.inf
        self._shown_until = np.inf  # the next executed plan sets where it continues

    def series(self) -> Series:
        """Return the samples for plots."""
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
        self._show_truth(min([known_until, end, *(block.times[0] for block in list(self._executed[self._merge])[:1])]))
        for merge, dense in self._setpoints.items():
            while stretch_of := _next_setpoints(dense, known_until - CURVE_S):
                self._judge(merge, stretch_of, end)
        ready = []
        while self._chunks and self._last_time(self._chunks[0]) <= known_until:
            ready.append(self._chunks.popleft())
        if ready:
            self._compare_chunks(ready, end)
        waiting_since = [chunk.t_obs - MOST_STEPS / self._fps for chunk in list(self._chunks)[:1]]
        waiting_since += [float(waiting[0].times[0]) for waiting in self._executed.values() if waiting]
        waiting_since += [float(dense[0].times[0]) for dense in self._setpoints.values() if dense]
        self._truth.forget_before(min([known_until, *waiting_since]) - CURVE_S)

    def _last_time(self, chunk: _Pending) -> float:
        """Return the last instant at which a chunk is compared with the truth, s."""
        return chunk.t_obs + (len(chunk.rows) - 1 + MOST_STEPS) / self._fps

    def _known(self, times: Floats, end: float) -> Floats:
        truth = self._truth.at(times)
        truth[times > end + SNAP_S] = np.nan
        return truth

    def _compare_chunks(self, chunks: Sequence[_Pending], end: float) -> None:
        rows = np.stack([chunk.rows for chunk in chunks])  # (m, chunk_size, joints)
        steps = np.arange(-MOST_STEPS, rows.shape[1] + MOST_STEPS)
        times = np.array([chunk.t_obs for chunk in chunks])[:, None] + steps / self._fps
        truth = self._known(times.ravel(), end).reshape(len(chunks), len(steps), rows.shape[2])
        self._tally.shift.add(rows, truth)
        truth = truth[:, MOST_STEPS:-MOST_STEPS]
        self._tally.comparable += int((times[:, MOST_STEPS:-MOST_STEPS] <= end + SNAP_S).sum())
        self._tally.response.add(rows, truth)
        errors = rows - truth
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
        self._show_truth(float(executed.times[0]))
        self._watch.executed(executed.times, executed.told, executed.starts)
        self._watch.commanded(executed.times, truth)
        self._shown_until = float(executed.times[-1]) + 1.0 / self._fps
        for point in zip(executed.times.tolist(), executed.told, truth, strict=True):
            self._plan_points.add(point)

    def _show_truth(self, until: float) -> None:
        """Pass the commands to the watch for times at which no plan is executed."""
        steps = (until - self._shown_until) * self._fps
        if steps > 0.0 and np.isfinite(steps):
            times = self._shown_until + np.arange(np.ceil(steps - SNAP_S)) / self._fps
            self._watch.commanded(times, self._known(times, until))
            self._shown_until += len(times) / self._fps

    def _judge(self, merge: str, setpoints: Setpoints, end: float) -> None:
        """Measure the smoothness of the executed plan, and of the operator's motion at the same time."""
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
    """Take the first blocks that end by `known_until`, up to the start of the next motion."""
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
