"""What the controllers made of the commands: setpoints through the models of the simulation, and when they moved."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import ObservationError
from act_inference_ros.interfaces import command_interface
from act_inference_ros.simulation.command_inputs import ControllerOptions, command_input
from test.witness.recording import COMMAND, COMMANDING, INPUT, STATUS, ControllerRules, Event, Recording

AGREES = 1e-3
"""ROS units: messages that agree so well say the same."""
SAME = 5e-6
"""ROS units: the same, but for what is lost in stamps that are read as float64."""
MEASURED = 0.02
"""ROS units: from what was measured to where a motion begins; the arm may still be settling."""
MEASURED_S = 1.0
"""How long before a message its joints were measured at most."""
RECENT_S = 0.15
"""A node that is late takes a measurement that is so much older than the newest, at most."""
GRID_S = 0.01
"""A trajectory's setpoints are looked at so often."""
MOVES = 2e-4
"""ROS units: a smaller change of a setpoint is rest."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Setpoints:
    """Times (n,), s, and positions (n, joints). `exact`: the times are those for which the setpoints were made."""

    times: Array
    positions: Array
    exact: bool
    refused: tuple[tuple[float, str], ...]
    """When the controller refused a message, and why."""
    late: tuple[tuple[float, float], ...] = ()
    """When a trajectory was published that should have been there earlier, and by how many seconds: since the time from
    which on it says something else than those before it."""
    came: Array = field(default_factory=lambda: np.zeros(0))
    """When each of a stream's setpoints was published (n,), s."""
    anchored: tuple[tuple[float, float], ...] = ()
    """When a controller at rest took a message that begins where its joints had been measured, and when that begins:
    it is led there in between, which is no step, whatever it was told before. Also from when until when the recording
    does not have its commands."""

    @property
    def judged(self) -> npt.NDArray[np.bool_]:
        """Which steps (n - 1,) from one setpoint to the next are none towards a measured arm."""
        begins, ends = self.times[:-1, None], self.times[1:, None]
        taken, led = np.array(self.anchored).reshape(-1, 2).T[:, None]
        near = (ends >= taken - 4.0 * GRID_S) & (begins <= led + 4.0 * GRID_S)
        return np.asarray(~near.any(axis=1))

    @property
    def moving(self) -> Array:
        """The times at which a setpoint differs from where it last was at rest, so that creeping is motion, too."""
        if len(self.times) < 2:
            return np.zeros(0)
        found, rested_at = [], self.positions[0]
        for time, row in zip(self.times.tolist(), self.positions, strict=True):
            if np.abs(row - rested_at).max() > MOVES:
                found.append(time)
                rested_at = row
        return np.array(found)


def seconds(message: Any) -> float:
    """A Time or Duration as a number."""
    return float(message.sec + message.nanosec * 1e-9)


def setpoints(recording: Recording, name: str, rules: ControllerRules) -> Setpoints:
    """What a controller wanted its joints to do; before its first command nothing.

    A trajectory that was published too late counts as if it had come in time: how late it may be is a rule
    of its own, and a controller that gets it late misses only its beginning.
    """
    events = recording.of(COMMAND, name)
    if command_interface(rules.interface).streams:
        return _of_stream(events, rules, recording)
    return _of_trajectories(events, rules, recording)


def measured_near(recording: Recording, joints: tuple[str, ...], time: float, row: Array) -> bool:
    """Whether the joints were at `row` when each of them was measured last, or up to RECENT_S before that."""
    told = dict(zip(joints, row.tolist(), strict=True))
    places: dict[str, list[tuple[float, float]]] = {joint: [] for joint in joints}
    for event in recording.events:
        if event.kind == INPUT and time - MEASURED_S < event.time <= time:
            for joint, place in getattr(event.message, "positions", {}).items():
                if joint in places:
                    places[joint].append((event.time, place))
    return all(
        any(at >= max(each)[0] - RECENT_S and abs(told[joint] - place) < MEASURED for at, place in each)
        for joint, each in places.items()
    )


def _of_stream(events: list[Event], rules: ControllerRules, recording: Recording) -> Setpoints:
    interface = command_interface(rules.interface)
    goes_by_itself = interface.action is not None
    taker = command_input("position_stream" if goes_by_itself else rules.interface, rules.joints)
    times: list[float] = []
    came: list[float] = []
    rows: list[Array] = []
    refused = []
    name = events[0].name if events else ""
    anchored = [(begin, end) for deaf, begin, end in recording.deaf if deaf == name]
    exact = bool(events) and not goes_by_itself and hasattr(events[0].message, "header")
    for event in events:
        message = event.message
        if goes_by_itself:
            try:
                message = SimpleNamespace(data=interface.read(rules.joints, message).positions[0].tolist())
            except ObservationError:
                continue  # the form is judged by itself
        reason = taker.take(message, event.time, np.zeros(len(rules.joints)), np.zeros(len(rules.joints)))
        if reason is not None:
            refused.append((event.time, reason))
            continue
        time = seconds(message.header.stamp) if exact else event.time
        row = taker.controller.sample(event.time)
        if exact and times and time == times[-1] and (row == rows[-1]).all():
            continue  # a hold is told at once, perhaps a second time in a tick
        steps = bool(rows) and np.abs(row - rows[-1]).max() > AGREES
        ends = steps and (_rests(times, rows, time, rules) or not _commands(recording, event.time))
        if ends and measured_near(recording, rules.joints, event.time, row):
            anchored.append((time, time))
        times.append(time)
        came.append(event.time)
        rows.append(row)
    positions = np.array(rows).reshape(len(rows), len(rules.joints))
    return Setpoints(np.array(times), positions, exact, tuple(refused), came=np.array(came), anchored=tuple(anchored))


def _commands(recording: Recording, time: float) -> bool:
    """Whether the newest status before `time` says that the node commands; after a hold a motion begins anew."""
    said = [(event.time, event.message.message) for event in recording.events if event.kind == STATUS]
    return max((each for each in said if each[0] < time), default=(0.0, COMMANDING))[1] == COMMANDING


def _rests(times: list[float], rows: list[Array], now: float, rules: ControllerRules) -> bool:
    """Whether a stream is at rest `now`: its last step was none, or could be braked within the time since then."""
    if len(rows) < 2:
        return True
    step = np.abs(rows[-1] - rows[-2])
    span = min(times[-1] - times[-2], now - times[-1])
    return bool(((step < MOVES) | (step <= rules.max_acceleration * span**2)).all())


def _of_trajectories(events: list[Event], rules: ControllerRules, recording: Recording) -> Setpoints:
    options = ControllerOptions(from_last_command=True)
    taker = command_input(rules.interface, rules.joints, options)
    refused: list[tuple[float, str]] = []
    late, anchored = [], []
    rows: list[Array] = []
    first, newest = None, -np.inf
    still = np.zeros(len(rules.joints))
    waiting: list[tuple[float, Any, bool]] = []
    for event in events:
        if not event.message.points or len(event.message.points[0].positions) != len(rules.joints):
            continue  # the form is judged by itself
        place = np.array(_in_order(event.message, event.message.points[0].positions, rules.joints))
        begins = seconds(event.message.header.stamp) + seconds(event.message.points[0].time_from_start)
        if first is None:
            first = begins
            taker.controller.hold(place)
            held = place
        alone = command_input(rules.interface, rules.joints, options)
        alone.controller.hold(place)
        alone.take(event.message, min(event.time, begins), place, still)
        if not waiting:
            newest = event.time  # what was told before the recording began is not known
        at = max(begins, newest)  # a controller does not remember what it did before its newest message
        taken = _says_the_same_until(event.time, at, alone.controller, taker.controller)
        if taken < event.time:
            late.append((event.time, event.time - taken))
        there, place = taker.controller.sample(at), alone.controller.sample(at)
        rests = np.abs(there - taker.controller.sample(at + GRID_S)).max() < MOVES
        jumps = bool(rests and np.abs(there - place).max() > AGREES) and measured_near(
            recording, rules.joints, event.time, place
        )
        if jumps:
            anchored.append((min(taken, at), at))
            taker.controller.hold(place)
        newest = max(newest, taken)
        reason = taker.take(event.message, taken, still, still)
        if reason is not None:
            refused.append((event.time, reason))
        waiting.append((taken, event.message, jumps))
    if first is None:
        return Setpoints(np.zeros(0), np.zeros((0, len(rules.joints))), True, ())
    taker = command_input(rules.interface, rules.joints, options)
    taker.controller.hold(held)
    waiting.sort(key=lambda each: each[0])
    begin, end = waiting[0][0], max(event.time for event in recording.events)
    times = np.arange(0.0, end - begin + 1.0, GRID_S) + begin
    for time in times.tolist():
        while waiting and waiting[0][0] <= time:
            taken, message, jumps = waiting.pop(0)
            if jumps:
                taker.controller.hold(_in_order(message, message.points[0].positions, rules.joints))
            taker.take(message, taken, still, still)
        rows.append(taker.controller.sample(time))
    known = times >= first  # where the controller came from when the recording began is not known
    return Setpoints(times[known], np.array(rows)[known], True, tuple(refused), tuple(late), anchored=tuple(anchored))


def _says_the_same_until(published: float, begins: float, new: Any, old: Any) -> float:
    """Until when a trajectory and what was told before say the same, of the time until it was published."""
    for time in np.arange(begins, published, GRID_S / 2.0).tolist():
        if np.abs(new.sample(time) - old.sample(time)).max() > SAME:
            return float(max(begins, time - GRID_S / 2.0))
    return published


def _in_order(message: Any, row: Any, joints: tuple[str, ...]) -> list[float]:
    names = list(message.joint_names)
    return [float(row[names.index(joint)]) if joint in names else 0.0 for joint in joints]
