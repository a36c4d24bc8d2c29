"""What the controllers made of the commands: inside the limits, from where the arm is, and to rest."""

from __future__ import annotations

import numpy as np

from test.witness.evidence import (
    JITTER_S,
    NEAR,
    SHARE,
    SILENT,
    Evidence,
    Found,
    goes_by_itself,
    streams,
    word_of,
)
from test.witness.motion import GRID_S, SAME, Array, Setpoints, measured_near
from test.witness.recording import COMMAND, ControllerRules

JERKY = 0.05
"""ROS units/s2: what an acceleration that is a difference of setpoints may exceed its limit by."""
WINDOWS = (5, 10, 15)
"""Numbers of steps over which the mean velocity of a stream without stamps is looked at."""


def position(evidence: Evidence) -> Found:
    """Every setpoint lies inside the limits of position."""
    for name, each, rules in evidence.commanded():
        beyond = np.maximum(rules.lowest - each.positions, each.positions - rules.highest).max(axis=1)
        for place in np.flatnonzero(beyond > NEAR):
            yield float(each.times[place]), f"{name}: {beyond[place]:.4f} beyond a limit"


def velocity(evidence: Evidence) -> Found:
    """From one setpoint to the next no joint goes faster than it may.

    A controller that is streamed to jumps to each target, however long ago the last one came: no step is longer than
    that of a tick.
    """
    for name, each, rules in evidence.commanded():
        if goes_by_itself(rules):
            continue
        steps, gaps = np.abs(np.diff(each.positions, axis=0)), np.maximum(np.diff(each.times), 0.0)[:, None]
        if streams(rules):
            gaps = np.full_like(gaps, evidence.contract.tick_s)
        over = (steps - rules.max_velocity * gaps * (1.0 + SHARE)).max(axis=1, initial=-1.0)
        for place in np.flatnonzero((over > NEAR) & each.judged):
            yield float(each.times[place + 1]), f"{name}: {steps[place].max():.4f} in {gaps[place, 0]:.4f} s"


def acceleration(evidence: Evidence) -> Found:
    """From one setpoint to the next no joint changes its velocity faster than it may.

    Of a stream without stamps the times for which its values were made are known by a jitter only: a turn is judged,
    and mean velocities, which jitter spoils the less the longer they are.
    """
    for name, each, rules in evidence.commanded():
        if len(each.times) < 3 or goes_by_itself(rules):
            continue
        if each.exact:
            over = _over_exactly(each, rules, evidence.contract.tick_s if streams(rules) else np.inf)
            found = [(1, over)]
        else:
            jitter = JITTER_S + evidence.contract.allowance_s
            found = [(1, _over_at_all(each, rules, jitter)), *_over_windows(each, rules, jitter)]
        for count, over in found:
            for place in np.flatnonzero((over.max(axis=1) > NEAR) & _judged_over(each, count)):
                time = float(each.times[place + count])
                yield time, f"{name}: {over[place].max():.4f} more than allowed over {count} setpoints"


def _judged_over(each: Setpoints, count: int) -> Array:
    """Which changes from `count` steps to the next `count` steps are judged, (n - 2 count,)."""
    unjudged = np.append(0, (~each.judged).cumsum())
    return np.asarray(unjudged[2 * count :] == unjudged[: -2 * count])


def _over_exactly(each: Setpoints, rules: ControllerRules, tick_s: float) -> Array:
    """How much more than allowed velocities change, (n - 2, joints), where the setpoints' times are known.

    A step of a stream that is as long as a tick allows, and took longer than a tick, may be slower than braking
    allows: the tick came late, and nobody was there to move the joint.
    """
    gaps = np.maximum(np.diff(each.times), 1e-9)[:, None]
    steps = np.diff(each.positions, axis=0)
    speeds = steps / gaps
    # A trajectory that comes where it already says something else, hardly to be seen, makes a step of that.
    hardly = 0.0 if streams(rules) else SAME / GRID_S
    allowed = rules.max_acceleration * (1.0 + SHARE) * (gaps[1:] + gaps[:-1]) / 2.0 + JERKY * GRID_S + hardly
    full = (np.abs(steps[1:]) >= rules.max_velocity * tick_s * (1.0 - SHARE)).any(axis=1, keepdims=True)
    late = full & (gaps[1:] > tick_s * (1.0 + SHARE))
    lowest = np.where(late, np.minimum(speeds[:-1], 0.0), speeds[:-1]) - allowed
    highest = np.where(late, np.maximum(speeds[:-1], 0.0), speeds[:-1]) + allowed
    return np.asarray(np.maximum(lowest - speeds[1:], speeds[1:] - highest))


def _over_at_all(each: Setpoints, rules: ControllerRules, jitter: float) -> Array:
    """The same, where the times may be wrong by `jitter`, s: how much steps differ more than that explains.

    Between a step and one back a joint rests: whenever they were made, they are no longer than that allows.
    """
    gaps, steps = np.diff(each.times)[:, None], np.diff(each.positions, axis=0)
    longest = np.maximum(gaps[1:], gaps[:-1]) + jitter
    turns = steps[1:] * steps[:-1] < 0.0
    allowed = rules.max_acceleration * longest**2 + np.where(turns, 0.0, rules.max_velocity * jitter)
    return np.asarray(np.abs(np.diff(steps, axis=0)) - allowed)


def _over_windows(each: Setpoints, rules: ControllerRules, jitter: float) -> list[tuple[int, Array]]:
    """The same of mean velocities over so many steps, and over as many after them."""
    found = []
    for count in WINDOWS:
        if len(each.times) > 2 * count:
            spans = (each.times[count:] - each.times[:-count])[:, None]
            means = (each.positions[count:] - each.positions[:-count]) / np.maximum(spans, 1e-9)
            before, after, first, second = means[:-count], means[count:], spans[:-count], spans[count:]
            loose = jitter * (np.abs(before) / first + np.abs(after) / second)
            allowed = rules.max_acceleration * ((first + second) / 2.0 + jitter) + loose
            found.append((count, np.abs(after - before) - allowed))
    return found


def begins(evidence: Evidence) -> Found:
    """The first setpoint after the node was inactive is where the joints are measured.

    After other states a node may go on from where it told the arm to be, which the recording need not have.
    """
    for name, each, rules in evidence.commanded():
        came = evidence.recording.of(COMMAND, name)[0].time
        before = [event for event in evidence.statuses if event.time < came]
        if any(word_of(event) == "inactive" for event in before) and evidence.heard(name, before[0].time, came):
            row = each.positions[0]
            if not measured_near(evidence.recording, rules.joints, came, row):
                yield came, f"{name}: begins at {row.round(4)}, where it is not measured"


def goes_on(evidence: Evidence) -> Found:
    """A stream is led to rest: its controller stays at once where the stream breaks off.

    That is judged where the node says meanwhile that it does not command. Whoever says nothing does not run, and cannot
    brake; and a stream that breaks off while the node says that it commands is the matter of `commands_come`.
    """
    tick = evidence.contract.tick_s
    soon = 2.0 * tick + JITTER_S + evidence.contract.allowance_s
    said = np.array([event.time for event in evidence.statuses if word_of(event) in SILENT])
    for name, each, rules in evidence.commanded():
        if not streams(rules):
            continue
        steps = np.abs(np.diff(each.positions, axis=0))
        fast = (steps > rules.max_acceleration * tick**2).any(axis=1) & each.judged
        fast &= np.diff(each.came) < soon  # one step after a pause is no motion that breaks off
        for last, following in zip(each.came[1:][fast], np.append(each.came[2:], evidence.end)[fast], strict=True):
            silent = ((said > last) & (said + soon < following)).any()
            if silent and evidence.heard(name, last, following):
                yield float(last), f"{name}: nothing for {following - last:.3f} s in the middle of a motion"
