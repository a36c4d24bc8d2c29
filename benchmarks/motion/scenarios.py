"""Scenarios: how often chunks come, how late, how they are merged, and what goes wrong meanwhile."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

from act_inference_ros.interfaces import BLEND, LATEST, TEMPORAL_ENSEMBLE

Span = tuple[float, float]
"""A span of time: its beginning and its end, s."""
NEVER: Span = (0.0, 0.0)


@dataclass(frozen=True)
class Scenario:
    """One run. Times are s after its beginning, lengths rad; spans include their first moment only.

    `interval_s` is from one observation to the next, `latency_s` from an observation to its chunk on average: each one
    takes 80 to 120 % of it. `lag_s` is the arm's. A fault has one of the fields behind `name`: `silent` (no new
    observations), `no_chunks` (every chunk is lost), `lost_share` of the chunks is lost, every `late_every`-th chunk
    comes `late_by_s` later, the arm begins `start_off` away from the plan, the controller is inactive for the first
    `inactive_messages`, goes at half speed while `throttled`, refuses every message while `rejecting`.
    `publishes_state`: the controller publishes its reference and its speed.
    """

    chunk_size: int = 100
    fps: float = 30.0
    interval_s: float = 0.25
    latency_s: float = 0.15
    merge: str = BLEND
    lag_s: float = 0.1
    seed: int = 0
    duration_s: float = 5.0
    noise: float = 0.01
    name: str = ""
    silent: Span = NEVER
    no_chunks: Span = NEVER
    lost_share: float = 0.0
    late_every: int = 0
    late_by_s: float = 0.0
    start_off: float = 0.0
    inactive_messages: int = 0
    throttled: Span = NEVER
    rejecting: Span = NEVER
    publishes_state: bool = False

    @property
    def label(self) -> str:
        """A short name, which is unique and from which the scenario can be made again."""
        what = f"{self.name}, " if self.name else ""
        return (
            f"{what}{self.chunk_size} at {self.fps:g} fps, each {self.interval_s * 1e3:g} ms, "
            f"latency {self.latency_s * 1e3:g} ms, {self.merge}, lag {self.lag_s * 1e3:g} ms, seed {self.seed}"
        )


def plain_scenarios(every: bool) -> list[Scenario]:
    """All 108, or some of them in which each value occurs."""
    chunks = ((100, 30.0), (50, 50.0))
    intervals, latencies = (0.1, 0.25, 0.5), (0.05, 0.15, 0.3)
    merges, lags = (BLEND, TEMPORAL_ENSEMBLE, LATEST), (0.03, 0.1)
    combinations = itertools.product(chunks, enumerate(intervals), enumerate(latencies), enumerate(merges), lags)
    chosen = []
    for seed, ((size, fps), (i, interval), (j, latency), (k, merge), lag) in enumerate(combinations):
        is_small = (i + j + k) % 3 == 0 and (fps == 30.0) == (lag == 0.1) and (i == j or every)
        if every or is_small:
            chosen.append(Scenario(size, fps, interval, latency, merge, lag, seed))
    return chosen


def fault_scenarios(every: bool) -> list[Scenario]:
    """Faults on the way to the controller, some with every way of merging, lag and length of chunks."""
    faults = [
        Scenario(name="hold and resume", silent=(2.0, 2.6)),
        Scenario(name="long hold", silent=(2.0, 3.5)),
        Scenario(name="plan end", no_chunks=(2.0, 9.0), duration_s=7.0),
        Scenario(name="late chunks", late_every=3, late_by_s=0.6),
        Scenario(name="lost chunks", lost_share=0.5),
        Scenario(name="lost for a second", no_chunks=(2.0, 3.0)),
        Scenario(name="far first target", start_off=1.0),
    ]
    return _varied(faults, every)


def guard_scenarios(every: bool) -> list[Scenario]:
    """A controller that does not follow its commands, without and with a published state."""
    faults = [
        Scenario(name="inactive at first", inactive_messages=3, interval_s=0.1),
        Scenario(name="throttled", throttled=(2.0, 3.5)),
        Scenario(name="rejecting", rejecting=(2.0, 3.0)),
        Scenario(name="rejecting for long", rejecting=(1.5, 3.5)),
    ]
    published = [replace(each, name=f"{each.name}, state published", publishes_state=True) for each in faults]
    return _varied(faults + published, every)


def reaction_scenarios(every: bool) -> list[Scenario]:
    """Scenarios without noise, which would hide a small motion; each run is as long as its steps need."""
    intervals, latencies = ((0.1, 0.25, 0.5), (0.05, 0.15, 0.3)) if every else ((0.1, 0.25), (0.15,))
    merges = (BLEND, LATEST, TEMPORAL_ENSEMBLE) if every else (BLEND, LATEST)
    return [
        Scenario(50, 50.0, interval, latency, merge, 0.03, seed, noise=0.0, name="reaction")
        for seed, (interval, latency, merge) in enumerate(itertools.product(intervals, latencies, merges))
    ]


def _varied(faults: list[Scenario], every: bool) -> list[Scenario]:
    if not every:
        return [replace(fault, seed=seed) for seed, fault in enumerate(faults)]
    kinds = itertools.product(((100, 30.0), (50, 50.0)), (BLEND, TEMPORAL_ENSEMBLE, LATEST), (0.03, 0.1))
    return [
        replace(fault, chunk_size=size, fps=fps, merge=merge, lag_s=lag, seed=seed)
        for seed, (((size, fps), merge, lag), fault) in enumerate(itertools.product(kinds, faults))
    ]
