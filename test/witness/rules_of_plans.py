"""What the commands are made of: plans that are young enough, of observations that were good."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from test.witness.evidence import NEAR, Evidence, Found, goes_by_itself, streams
from test.witness.good_inputs import FUTURE_S, good_ones
from test.witness.motion import seconds
from test.witness.recording import CHUNK, COMMAND, INPUT
from test.witness.rules_of_messages import malformed

CHUNK_BEHIND_S = 0.6
"""A chunk is told after the command that was made of it; so much later at most."""


def in_time(evidence: Evidence) -> Found:
    """A trajectory that says something new is published before it begins, but for what the machine is granted."""
    for name, each in evidence.setpoints.items():
        for time, late in each.late:
            if late > evidence.contract.allowance_s:
                yield time, f"{name}: published {late:.3f} s after the first time for which it says something new"


def plan_age(evidence: Evidence) -> Found:
    """Nothing moves longer than `max_plan_age` after the newest observation, and no message reaches further."""
    contract = evidence.contract
    chunks = evidence.recording.of(CHUNK)
    told = np.array([event.time for event in chunks])
    observed = np.array([seconds(event.message.header.stamp) for event in chunks])
    moving = [(float(time), float(time)) for time in evidence.moving]
    for event in evidence.recording.of(COMMAND):
        rules = contract.controllers[event.name]
        if not (streams(rules) or goes_by_itself(rules) or malformed(event.message, rules)):
            moving.append((event.time, _moves_until(event.message)))
    for time, until in moving:
        # Nothing is made of what is observed later, however soon its chunk is told.
        known = observed[(told <= time + CHUNK_BEHIND_S + contract.allowance_s) & (observed <= time + FUTURE_S)]
        # A chunk that came just before the recording began is not in it.
        over = until - known.max(initial=evidence.begin) - contract.max_plan_age
        if over > (contract.tick_s + contract.allowance_s if until == time else 1e-3):
            yield time, f"in motion until {over:.3f} s after the plan's age"


def _moves_until(message: Any) -> float:
    rows = np.array([list(point.positions) + list(point.velocities) for point in message.points])
    differs = np.flatnonzero((np.abs(rows - rows[-1]) > NEAR).any(axis=1))
    if not len(differs):
        return -np.inf
    return seconds(message.header.stamp) + seconds(message.points[int(differs[-1]) + 1].time_from_start)


def backed(evidence: Evidence) -> Found:
    """Each chunk is of an observation for which every input had a good message, which had come before."""
    contract = evidence.contract
    goods = {name: np.array(good_ones(evidence.recording, contract, name)).reshape(-1, 2) for name in contract.inputs}
    stamped = {event.name for event in evidence.recording.of(INPUT) if getattr(event.message, "header", None)}
    for event in evidence.recording.of(CHUNK):
        observed = seconds(event.message.header.stamp)
        if observed < evidence.begin + contract.max_skew + contract.allowance_s:
            continue
        for name, good in goods.items():
            taken = good[good[:, 1] <= event.time, 0]
            # What has no stamp is taken to be of the time at which it came.
            near = contract.max_skew + (1e-6 if name in stamped else contract.allowance_s)
            if not len(taken) or np.abs(taken - observed).min() > near:
                yield event.time, f"a chunk of {observed:.3f}, for which {name} has nothing good"


def fresh(evidence: Evidence) -> Found:
    """When nothing good that is younger than `max_age` has come of an input, nothing moves after a tick and braking."""
    contract = evidence.contract
    for name in contract.inputs:
        good = sorted(good_ones(evidence.recording, contract, name), key=lambda each: each[1])
        newest = evidence.begin
        for (taken, came), (_, next_came) in itertools.pairwise([(newest, newest), *good, (np.inf, np.inf)]):
            newest = max(newest, taken)
            last = evidence.moves_within(max(came, newest + contract.rest_s), next_came)
            if last is not None:
                yield last, f"moving {last - newest:.3f} s after the last good message of {name}"
