"""What each message is like by itself: names, numbers, stamps, and the curve of a trajectory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from act_inference_ros.errors import ObservationError
from act_inference_ros.interfaces import command_interface
from act_inference_ros.simulation.command_inputs import trajectory_from_message
from act_inference_ros.simulation.trajectory import MotionState, Path
from test.witness.evidence import JITTER_S, NEAR, SHARE, Evidence, Found, goes_by_itself, streams
from test.witness.good_inputs import FUTURE_S
from test.witness.motion import Array, seconds
from test.witness.recording import CHUNK, COMMAND, ControllerRules

STAMP_S = 1.0
"""A trajectory's stamp lies within this of the time at which it was published."""
SAMPLES = 8
"""At so many places each segment of a trajectory is looked at."""
NANOSECOND = 1e-9
"""s: the times of a trajectory's points are rounded to it, which a segment of microseconds shows."""


def well_formed(evidence: Evidence) -> Found:
    """Names, lengths, finite numbers, increasing times, and rest at a trajectory's end."""
    for event in evidence.recording.of(COMMAND):
        problem = malformed(event.message, evidence.contract.controllers[event.name])
        if problem:
            yield event.time, f"{event.name}: {problem}"
    for name, each in evidence.setpoints.items():
        for time, reason in each.refused:
            yield time, f"{name}: the controller refuses it: {reason}"


def stamps(evidence: Evidence) -> Found:
    """Commands are stamped near the time at which they are published."""
    for event in evidence.recording.of(COMMAND):
        if hasattr(event.message, "header"):
            exact = streams(evidence.contract.controllers[event.name])
            off = seconds(event.message.header.stamp) - event.time
            if abs(off) > (JITTER_S + evidence.contract.allowance_s if exact else STAMP_S):
                yield event.time, f"{event.name}: stamped {off:+.3f} s from when it was published"


def well_formed_chunks(evidence: Evidence) -> Found:
    """Chunks are finite, and each is of a past observation that is not older than the one before."""
    newest = -np.inf
    for event in evidence.recording.of(CHUNK):
        observed = seconds(event.message.header.stamp)
        if not newest <= observed <= event.time + FUTURE_S:
            yield event.time, f"a chunk of {observed - event.time:+.3f} s, after one of {newest - event.time:+.3f} s"
        newest = max(newest, observed)
        if not all(np.isfinite(point.positions).all() for point in getattr(event.message, "points", ())):
            yield event.time, "a chunk that is not finite"


def malformed(message: Any, rules: ControllerRules) -> str | None:
    """What is wrong with a command's form; None for nothing."""
    if goes_by_itself(rules):
        try:
            command_interface(rules.interface).read(rules.joints, message)
        except ObservationError as error:
            return str(error)
        return None
    if not streams(rules):
        return _malformed_trajectory(message, rules)
    names = getattr(message, "name", None)
    values = message.data if names is None else message.position
    if names is not None and tuple(names) != rules.joints:
        return f"joints {list(names)}"
    if len(getattr(message, "velocity", ())) or len(getattr(message, "effort", ())):
        return "a velocity or an effort beside the positions"
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


def curve(evidence: Evidence) -> Found:
    """The curve of each trajectory keeps all limits: between its points, and where a newer one replaces it, too."""
    for event in evidence.recording.of(COMMAND):
        rules = evidence.contract.controllers[event.name]
        if streams(rules) or goes_by_itself(rules) or malformed(event.message, rules) or len(event.message.points) < 2:
            continue
        faster, harder, beyond = (float(each.max()) for each in _beyond_limits(event.message, rules))
        if faster > NEAR or harder > NEAR or beyond > NEAR:
            yield event.time, f"{event.name}: velocity {faster:+.4f}, its change {harder:+.4f}, position {beyond:+.4f}"


def _beyond_limits(message: Any, rules: ControllerRules) -> tuple[Array, Array, Array]:
    """How much more than allowed velocities, changes of velocity and positions along a trajectory are, ROS units, s."""
    still = MotionState.at_rest(np.zeros(len(rules.joints)))
    told = replace(trajectory_from_message(message), stamp_s=0.0)
    path = Path.through(told, rules.joints, 0.0, 0.0, still)
    segments = np.diff(path.times)
    times = (path.times[:-1, None] + segments[:, None] * np.arange(SAMPLES) / SAMPLES).ravel()
    states = path.states_at(np.append(times, path.times[-1]))
    rounded = (2.0 * NANOSECOND / segments).repeat(SAMPLES)[:, None] * rules.max_velocity
    faster = np.abs(states.velocities[:-1]) - rules.max_velocity * (1.0 + SHARE) - rounded
    spans = (segments / SAMPLES).repeat(SAMPLES)[:, None]
    changes = np.abs(np.diff(states.velocities, axis=0))
    harder = changes - rules.max_acceleration * spans * (1.0 + SHARE) - rounded
    return faster, harder, np.maximum(rules.lowest - states.positions, states.positions - rules.highest)
