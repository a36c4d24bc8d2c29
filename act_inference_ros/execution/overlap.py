"""Overlap: may a message to a trajectory controller begin with what the controller has been told already?

Such a message is played without a step wherever the arm is, so it must be true: a controller that was inactive, slowed
down, or refused the messages before would jump to where it was told to be. What the controller says of itself is
compared (`controller_state`), and where it says nothing, what is measured. Times are s, positions ROS units.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from act_inference_ros.control.commander import Commander
from act_inference_ros.control.cubic import Cubic
from act_inference_ros.execution.following import Measured
from act_inference_ros.interfaces import OVERLAP_OFF, OVERLAP_ON
from act_inference_ros.robot.configuration import RobotConfiguration

REFERENCE_AGREEMENT = 0.02
"""The furthest that a controller's reference may be from what it was told for the same time."""
REFERENCE_AGE_S = 0.3
"""A controller that has said nothing of itself for longer is not active."""
CLOCKS_APART_S = 0.02
"""Stamps of a controller that are further from our clock tell of another time."""
STATES_KEPT = 20
"""So many of a controller's states are looked at for how far its clock is from ours: some come late."""

HISTORY_S = 0.6
"""How far back the measured way is compared with the told way."""
HISTORY_STEP_S = 0.02
DEAD_TIME_S = 0.1
"""An arm need not have moved for what it was told later than this."""
WAY = 0.04
"""ROS units: a told way that is longer must have been moved along, at least a little."""
WAY_SHARE = 0.13
"""Of `max_deviation`, where that is less."""
MOVED = 0.3
"""The share of the told way that an arm which follows has moved at least."""


@dataclass(frozen=True)
class Reference:
    """Where a controller wants its joints at `time`: joint -> position, and -> velocity as far as it is known.

    `speed` is the factor by which it slows everything down, 1.0 for full speed.
    """

    time: float
    positions: Mapping[str, float]
    velocities: Mapping[str, float]
    speed: float


class Start(NamedTuple):
    """How the next message starts: it may `overlap` with what was told; the motion had to begin `anew`."""

    overlap: bool
    anew: bool


class ControllerWord:
    """What one controller says of itself: its parameters, once, and its states, again and again."""

    def __init__(self) -> None:
        self.forbids: str | None = "it has not shown itself through its parameter service"
        """Why its messages must not overlap; None where nothing forbids it."""
        self.reference: Reference | None = None
        self._apart: deque[float] = deque(maxlen=STATES_KEPT)

    def add(self, positions: Mapping[str, float], time: float, speed: float, now: float) -> None:
        """Take a state of the controller, stamped `time`, that came at `now`."""
        before = self.reference
        velocities = dict.fromkeys(positions, 0.0)
        if before is not None and 0.0 < time - before.time < REFERENCE_AGE_S:
            velocities = {
                name: (position - before.positions[name]) / (time - before.time)
                for name, position in positions.items()
                if name in before.positions
            }
        self.reference = Reference(time, dict(positions), velocities, speed)
        self._apart.append(now - time)

    @property
    def clocks_apart(self) -> float:
        """How far its clock is from ours, at least."""
        return min(self._apart, key=abs, default=0.0)

    def forget(self) -> None:
        """Forget the states: the clock was set back."""
        self.reference = None
        self._apart.clear()


class Overlap:
    """Decides for each message whether it may overlap, and lets a motion start anew where it must not go on.

    Without `closed_loop` nobody executes the plan, and every message goes on from the one before. `notes` has the
    newest reason for each controller whose messages do not overlap, `anew` counts motions that had to start anew.
    """

    def __init__(self, configuration: RobotConfiguration, closed_loop: bool) -> None:
        self.notes: dict[str, str] = {}
        self.anew: Counter[str] = Counter()
        self._closed_loop = closed_loop
        self._words = {controller.name: ControllerWord() for controller in configuration.controllers}
        self._history: dict[str, deque[Measured]] = {}
        self.configure(configuration)

    def configure(self, configuration: RobotConfiguration) -> None:
        """Take new live parameters."""
        self._setting = {controller.name: controller.overlap for controller in configuration.controllers}
        self._ways = {
            joint.name: min(WAY, WAY_SHARE * joint.max_deviation) if joint.smooth else math.inf
            for joint in configuration.action.joints
        }

    def shown(self, controller: str, forbids: str | None) -> None:
        """Note what a controller's parameters say: why its messages must not overlap, or None."""
        self._words[controller].forbids = forbids

    def referred(self, controller: str, positions: Mapping[str, float], time: float, speed: float, now: float) -> None:
        """Note a state that a controller published: its reference (joint -> position) at `time`, and its speed."""
        self._words[controller].add(positions, time, speed, now)

    def measured(self, joint: str, position: float, time: float) -> None:
        """Note where a joint was at `time`."""
        history = self._history.setdefault(joint, deque())
        if not history or time >= history[-1].time + HISTORY_STEP_S:
            history.append(Measured(position, time))
        while history[0].time < time - HISTORY_S:
            history.popleft()

    def forget(self) -> None:
        """Forget what has a time: the clock was set back, or the arm was left alone."""
        self._history.clear()
        for word in self._words.values():
            word.forget()

    def slowed(self, now: float) -> tuple[str, float] | None:
        """Return a controller that slows its motion down, and by which factor; None if all go at full speed."""
        for name, word in self._words.items():
            reference = word.reference
            if reference is not None and now - reference.time <= REFERENCE_AGE_S and reference.speed < 1.0 - 1e-3:
                return name, reference.speed
        return None

    def place(self, controller: str, now: float) -> dict[str, float]:
        """Joint -> where a controller wants it to be, where that is known and fresh."""
        reference = self._fresh_reference(controller, now)
        return {} if reference is None else dict(reference.positions)

    def allows(self, controller: str, commander: Commander, now: float, here: Mapping[str, Measured]) -> Start:
        """Return how the next message starts; start the motion anew if what was told is not the truth.

        `here` has where joints were measured.
        """
        if commander.streams or not self._closed_loop or not commander.known:
            return Start(overlap=True, anew=False)
        reference = self._fresh_reference(controller, now)
        forbids = self._forbids(controller, now)
        if reference is not None:
            away = self._away_from(commander, reference)
            if away is None:
                commander.found_following()
                return Start(self._noted(controller, forbids), anew=False)
            self.anew[controller] += 1
            commander.give_up_for(_line(commander, reference, now))
            return Start(self._noted(controller, forbids, f"its reference {away}"), anew=True)
        away = self._away_from_measured(commander, here, now)
        if away is None:
            return Start(self._noted(controller, forbids), anew=False)
        self.anew[controller] += 1
        commander.give_up_for(commander.at_rest(now, {name: each.position for name, each in here.items()}))
        self._noted(controller, forbids, away)
        return Start(overlap=False, anew=True)

    def _noted(self, controller: str, forbids: str | None, why: str | None = None) -> bool:
        """Note why a motion starts anew, or why there is no overlap; return whether there is."""
        text = why if why is not None else forbids
        if text is None:
            self.notes.pop(controller, None)
        else:
            self.notes[controller] = text
        return forbids is None

    def _forbids(self, controller: str, now: float) -> str | None:
        word, setting = self._words[controller], self._setting[controller]
        if setting == OVERLAP_OFF:
            return "overlap is off"
        if word.reference is not None and abs(word.clocks_apart) > CLOCKS_APART_S:
            return f"its states are stamped {1e3 * word.clocks_apart:.0f} ms before our clock; synchronise the clocks"
        if word.reference is not None and now - word.reference.time > REFERENCE_AGE_S:
            return f"it has not published its state for {now - word.reference.time:.1f} s; is it active?"
        return None if setting == OVERLAP_ON else word.forbids

    def _fresh_reference(self, controller: str, now: float) -> Reference | None:
        word = self._words[controller]
        reference = word.reference
        if reference is None or now - reference.time > REFERENCE_AGE_S or abs(word.clocks_apart) > CLOCKS_APART_S:
            return None
        return reference

    def _away_from(self, commander: Commander, reference: Reference) -> str | None:
        """Say which joint's reference is not what was told for its time, or None."""
        for name, apart in commander.deviations(reference.positions, reference.time, 0.0).items():
            if apart > REFERENCE_AGREEMENT:
                return f"of {name} is {apart:.3f} from what it was told; is it active, slowed down, or refusing?"
        return None

    def _away_from_measured(self, commander: Commander, here: Mapping[str, Measured], now: float) -> str | None:
        """Say why the measured joints do not look as if they went where they were told, or None."""
        known = {name: here[name] for name in commander.joint_names if name in here}
        if not known:
            return None
        time = min(now, min(each.time for each in known.values()))
        if not commander.agrees({name: each.position for name, each in known.items()}, time):
            return "its joints are not where they were told to be; is it active, slowed down, or refusing?"
        for name, (lowest, highest) in commander.extremes(now - HISTORY_S, now - DEAD_TIME_S).items():
            way, moved = highest - lowest, self._moved(name, now)
            if way <= self._ways.get(name, math.inf) or moved is None:
                continue
            if moved < MOVED * way:
                return f"{name} was told to move by {way:.3f} and moved by {moved:.3f}; is it active, or refusing?"
            commander.found_following()
        return None

    def _moved(self, joint: str, now: float) -> float | None:
        """By how much a joint was measured to move lately; None if it was not measured for long enough."""
        history = self._history.get(joint)
        if not history or history[0].time > now - HISTORY_S / 2.0:
            return None
        positions = [each.position for each in history]
        return max(positions) - min(positions)


def _line(commander: Commander, reference: Reference, now: float) -> Cubic:
    """The motion that goes on as the reference does, for as long as the next message takes to take over."""
    told = commander.told(reference.time)
    position = np.array([reference.positions.get(name, told[name]) for name in commander.joint_names])
    velocity = np.array([reference.velocities.get(name, 0.0) for name in commander.joint_names])
    span = now + commander.lead_s + DEAD_TIME_S - reference.time
    return Cubic(
        reference.time,
        np.array([0.0, span]),
        np.vstack([position, position + velocity * span]),
        np.vstack([velocity, velocity]),
    )
