"""The witness's rules. Each looks at the recording alone, and gives the breaches that it finds.

The node's own supervisor, timeline and limiter are not used here: what they do is what is judged.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from act_inference_ros.interfaces import command_interface
from test.witness.good_inputs import good_times
from test.witness.motion import GRID_S, Setpoints, seconds, setpoints
from test.witness.recording import CHUNK, COMMAND, INPUT, STATUS, Contract, ControllerRules, Recording

STAMP_S = 1.0
"""A command's stamp lies within this of the time at which it was published."""
SHARE, NEAR = 0.02, 1e-6
"""What numbers may exceed a limit by, for what is lost in stamps that are read as float64."""
JERKY = 0.05
"""ROS units/s2: the same, of an acceleration that is a difference of setpoints."""
JITTER_S = 0.02
"""Between the time for which a stream's value was made and that at which it was published."""
CHUNK_BEHIND_S = 0.6
"""A chunk is told after the command that was made of it; so much later at most."""
SILENT = ("inactive", "paused", "stopped", "waiting")
"""States in which nothing is commanded, but the way to rest."""
STATUS_S = 1.0
"""The status is repeated within this."""


@dataclass(frozen=True)
class Breach:
    """A rule that was broken, when (s), and how."""

    rule: str
    time: float
    detail: str


class Evidence:
    """A recording with what every rule needs of it."""

    def __init__(self, recording: Recording, contract: Contract) -> None:
        self.recording, self.contract = recording, contract
        self.begin = min((event.time for event in recording.events), default=0.0)
        self.end = max((event.time for event in recording.events), default=0.0)
        self.setpoints = {name: setpoints(recording, name, rules) for name, rules in contract.controllers.items()}
        moving = [each.moving for each in self.setpoints.values()]
        self.moving = np.sort(np.concatenate(moving)) if moving else np.zeros(0)
        """When any setpoint moved, s."""

    def moves_within(self, begin: float, end: float) -> float | None:
        """The last time in (begin, end] at which a setpoint moved; None for rest."""
        inside = self.moving[(self.moving > begin) & (self.moving <= min(end, self.end))]
        return float(inside[-1]) if len(inside) else None


Found: TypeAlias = Iterator[tuple[float, str]]


def well_formed(evidence: Evidence) -> Found:
    """Names, lengths, finite numbers, increasing times, stamps near now, and rest at a trajectory's end."""
    for event in evidence.recording.of(COMMAND):
        problem = _malformed(event.message, evidence.contract.controllers[event.name])
        if problem is None and hasattr(event.message, "header"):
            off = seconds(event.message.header.stamp) - event.time
            if abs(off) > STAMP_S:
                problem = f"stamped {off:+.3f} s from when it was published"
        if problem:
            yield event.time, f"{event.name}: {problem}"
    for name, each in evidence.setpoints.items():
        for time, reason in each.refused:
            yield time, f"{name}: the controller refuses it: {reason}"


def _malformed(message: Any, rules: ControllerRules) -> str | None:
    interface = command_interface(rules.interface)
    if not interface.streams:
        return _malformed_trajectory(message, rules)
    names = getattr(message, "name", None)
    values = message.data if names is None else message.position
    if names is not None and tuple(names) != rules.joints:
        return f"joints {list(names)}"
    return None if len(values) == len(rules.joints) and np.isfinite(values).all() else f"values {list(values)}"


def _malformed_trajectory(message: Any, rules: ControllerRules) -> str | None:
    if tuple(message.joint_names) != rules.joints:
        return f"joints {list(message.joint_names)}"
    rows = [np.array(row) for point in message.points for row in (point.positions, point.velocities)]
    if not rows or any(row.shape != (len(rules.joints),) or not np.isfinite(row).all() for row in rows):
        return "a point without a finite position and velocity for each joint"
    times = [seconds(point.time_from_start) for point in message.points]
    if times[0] < 0.0 or (np.diff(times) <= 0.0).any():
        return f"times {times}"
    return None if not rows[-1].any() else "it does not end at rest"


def position(evidence: Evidence) -> Found:
    """Every setpoint lies inside the limits of position."""
    for name, each, rules in _each(evidence):
        beyond = np.maximum(rules.lowest - each.positions, each.positions - rules.highest).max(axis=1)
        for place in np.flatnonzero(beyond > NEAR):
            yield float(each.times[place]), f"{name}: {beyond[place]:.4f} beyond a limit"


def velocity(evidence: Evidence) -> Found:
    """From one setpoint to the next no joint goes faster than it may."""
    for name, each, rules in _each(evidence):
        jitter = 0.0 if each.exact else JITTER_S + evidence.contract.allowance_s
        steps, gaps = np.abs(np.diff(each.positions, axis=0)), np.maximum(np.diff(each.times), 0.0)[:, None]
        over = (steps - rules.max_velocity * (gaps + jitter) * (1.0 + SHARE)).max(axis=1, initial=-1.0)
        for place in np.flatnonzero((over > NEAR) & each.judged):
            yield float(each.times[place + 1]), f"{name}: {steps[place].max():.4f} in {gaps[place, 0]:.4f} s"


def acceleration(evidence: Evidence) -> Found:
    """From one setpoint to the next no joint changes its velocity faster than it may."""
    for name, each, rules in _each(evidence):
        if len(each.times) < 3:
            continue
        jitter = 0.0 if each.exact else JITTER_S + evidence.contract.allowance_s
        gaps = np.maximum(np.diff(each.times), 1e-9)[:, None]
        steps = np.diff(each.positions, axis=0)
        if jitter:
            change = np.abs(np.diff(steps, axis=0))
            longest = np.maximum(gaps[1:], gaps[:-1]) + jitter
            allowed = rules.max_acceleration * longest**2 + rules.max_velocity * jitter
        else:
            change = np.abs(np.diff(steps / gaps, axis=0))
            allowed = rules.max_acceleration * (1.0 + SHARE) * (gaps[1:] + gaps[:-1]) / 2.0 + JERKY * GRID_S
        judged = each.judged[1:] & each.judged[:-1]
        for place in np.flatnonzero(((change - allowed).max(axis=1) > NEAR) & judged):
            yield float(each.times[place + 1]), f"{name}: {(change - allowed)[place].max():.4f} more than allowed"


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
    newest = np.maximum.accumulate([seconds(event.message.header.stamp) for event in chunks]) if chunks else told
    moving = [(float(time), float(time)) for time in evidence.moving]
    for event in evidence.recording.of(COMMAND):
        if not command_interface(contract.controllers[event.name].interface).streams:
            moving.append((event.time, _moves_until(event.message)))
    for time, until in moving:
        known = int(np.searchsorted(told, time + CHUNK_BEHIND_S + contract.allowance_s))
        # A chunk that came just before the recording began is not in it.
        over = until - (newest[known - 1] if known else evidence.begin) - contract.max_plan_age
        if over > (contract.tick_s + contract.allowance_s if until == time else 1e-3):
            yield time, f"in motion until {over:.3f} s after the plan's age"


def _moves_until(message: Any) -> float:
    rows = np.array([list(point.positions) + list(point.velocities) for point in message.points])
    if not len(rows):
        return -np.inf
    differs = np.flatnonzero((np.abs(rows - rows[-1]) > NEAR).any(axis=1))
    last = message.points[int(differs[-1]) + 1] if len(differs) else message.points[0]
    return seconds(message.header.stamp) + (seconds(last.time_from_start) if len(differs) else -np.inf)


def backed(evidence: Evidence) -> Found:
    """Each chunk is of an observation for which every input had a good message."""
    contract = evidence.contract
    goods = {name: np.array(good_times(evidence.recording, contract, name)) for name in contract.inputs}
    stamped = {event.name for event in evidence.recording.of(INPUT) if getattr(event.message, "header", None)}
    for event in evidence.recording.of(CHUNK):
        observed = seconds(event.message.header.stamp)
        if observed < evidence.begin + contract.max_skew + contract.allowance_s:
            continue
        for name, times in goods.items():
            # What has no stamp is taken to be of the time at which it came.
            near = contract.max_skew + (1e-6 if name in stamped else contract.allowance_s)
            if not len(times) or np.abs(times - observed).min() > near:
                yield event.time, f"a chunk of {observed:.3f}, for which {name} has nothing good"


def fresh(evidence: Evidence) -> Found:
    """When an input has had nothing good for `max_age`, a tick and the braking, nothing moves."""
    contract = evidence.contract
    for name in contract.inputs:
        times = [evidence.begin, *good_times(evidence.recording, contract, name), np.inf]
        for before, after in itertools.pairwise(times):
            last = evidence.moves_within(before + contract.rest_s, after)
            if last is not None:
                yield last, f"moving {last - before:.3f} s after the last good message of {name}"


def silent(evidence: Evidence) -> Found:
    """A node that says that it does not command publishes nothing but the way to rest."""
    grace = evidence.contract.braking_s + evidence.contract.tick_s + evidence.contract.allowance_s
    statuses = evidence.recording.of(STATUS)
    words = [event.message.message for event in statuses]
    for place, event in enumerate(statuses):
        if words[place] not in SILENT or (place and words[place - 1] in SILENT):
            continue
        over = next((i for i in range(place, len(words)) if words[i] not in SILENT), len(words))
        # A change is told a little after the first command of the new state.
        end = statuses[over].time - 0.1 - evidence.contract.allowance_s if over < len(words) else np.inf
        for command in evidence.recording.of(COMMAND):
            if event.time + grace < command.time < end:
                yield command.time, f"{command.name}: a command while {words[place]}"


def status_goes_on(evidence: Evidence) -> Found:
    """The status is repeated; a node that is gone says so by its silence, and commands nothing meanwhile."""
    times = [event.time for event in evidence.recording.of(STATUS)] or [evidence.begin]
    limit = STATUS_S + evidence.contract.allowance_s
    grace = 0.1 + evidence.contract.allowance_s  # a node that wakes up brakes first, and then says so
    for before, after in zip(times, [*times[1:], evidence.end], strict=True):
        late = [event for event in evidence.recording.of(COMMAND) if before + limit < event.time < after - grace]
        if late:
            yield late[0].time, f"a command {late[0].time - before:.3f} s after the last status"


def rest(evidence: Evidence) -> Found:
    """After a fault the arm is at rest within the fault's bound."""
    for fault in evidence.recording.faults:
        if fault.rest_s is not None:
            last = evidence.moves_within(fault.begin + fault.rest_s + evidence.contract.allowance_s, fault.end)
            if last is not None:
                yield last, f"{fault.name}: moving {last - fault.begin:.3f} s after it began"


def back(evidence: Evidence) -> Found:
    """After a fault's end the arm goes on within the fault's bound."""
    for fault in evidence.recording.faults:
        if fault.back_s is not None:
            until = fault.end + fault.back_s + evidence.contract.allowance_s
            if evidence.moves_within(fault.end, until) is None:
                yield until, f"{fault.name}: still at rest {until - fault.end:.3f} s after it ended"


def reason(evidence: Evidence) -> Found:
    """During a fault the status says why."""
    statuses = evidence.recording.of(STATUS)
    for fault in evidence.recording.faults:
        told = [words_of(event.message) for event in statuses if fault.begin < event.time <= fault.end + 0.1]
        if fault.reasons and not any(word in text for text in told for word in fault.reasons):
            yield fault.end, f"{fault.name}: expected {' or '.join(fault.reasons)}, the status said {set(told)}"


def words_of(status: Any) -> str:
    """The state and its reason, as people read them."""
    values = {pair.key: pair.value for pair in status.values}
    return f"{status.message}: {values.get('reason', '')} ({values.get('detail', '')})"


def _each(evidence: Evidence) -> Iterator[tuple[str, Setpoints, ControllerRules]]:
    for name, rules in evidence.contract.controllers.items():
        if len(evidence.setpoints[name].times):
            yield name, evidence.setpoints[name], rules


RULES: Mapping[str, Callable[[Evidence], Found]] = {
    each.__name__: each
    for each in (
        well_formed, position, velocity, acceleration, in_time, plan_age, backed, fresh, silent, status_goes_on, rest,
        back, reason,
    )
}  # fmt: skip
UNSAFE = tuple(name for name in RULES if name not in ("back", "reason"))
"""Rules whose breach may move the arm wrongly; the others are of what a person sees and waits for."""


def judge(recording: Recording, contract: Contract) -> list[Breach]:
    """All that is wrong with a recording."""
    evidence = Evidence(recording, contract)
    return [Breach(name, time, detail) for name, rule in RULES.items() for time, detail in rule(evidence)]
