"""Overlap: decides whether a message to a trajectory controller may begin with what the controller was told already.

The controller plays such a message from its stamp on, so its beginning must match the real motion: a controller that
was inactive, slowed down, or refused the messages before would jump to its commanded position. The controller's
published state is compared (`controller_state`), or the measured positions if it publishes none. Times are s, positions
ROS units.
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
from act_inference_ros.execution.controller_word import REFERENCE_AGE_S, ControllerWord, Reference
from act_inference_ros.execution.following import Measured, measured_together
from act_inference_ros.interfaces import OVERLAP_OFF, OVERLAP_ON
from act_inference_ros.robot.configuration import RobotConfiguration

REFERENCE_AGREEMENT = 0.02
"""The largest allowed distance between a controller's reference and its commanded position for the same time."""
CLOCKS_APART_S = 0.02
"""If a controller's stamps differ more than this from our clock, the two clocks do not agree."""
SLOWED_BELOW = 1.0 - 1e-3
"""A controller with a lower factor is slowed down."""
LONGEST_DELAY_S = 0.1
"""A message takes over at the latest its lead plus this after it was sent."""
HISTORY_S = 0.6
"""How far back the measured way is compared with the commanded way."""
HISTORY_STEP_S = 0.02


@dataclass(frozen=True)
class Patience:
    """Says when a joint has not moved as it was told to.

    Commands of the last `dead_time_s` do not count. If the commanded way is longer than `way` (ROS units; less if
    `max_deviation` is small), at least one joint must have moved by at least the share `moved` of it.
    """

    dead_time_s: float
    way: float
    moved: float


AT_FIRST = Patience(dead_time_s=0.06, way=0.01, moved=0.2)
"""For the time until a controller's joints have moved in this motion: the controller may not even have received it.
Later a joint may stand still for other reasons, for example because it pushes against something."""
IN_DOUBT = Patience(dead_time_s=0.0, way=0.01, moved=0.05)
"""For the time after a motion had to be restarted: a small movement of the joints is enough, but there must be one."""
WAY_OF_DEVIATION = 0.3
"""The ways above are for a joint with this `max_deviation`, rad; with a smaller `max_deviation` they are shorter."""


class Start(NamedTuple):
    """How the next message starts: it may `overlap` with what was told; the motion had to be restarted (`anew`)."""

    overlap: bool
    anew: bool


class Overlap:
    """Decides for each message whether it may overlap, and restarts a motion that must not continue.

    Without `closed_loop` nobody executes the plan, and every message continues the one before. `notes` has the newest
    reason for each controller whose messages do not overlap or whose motion had to be restarted; `anew` counts the
    restarts, and `why_anew` has the reason for the last one.
    """

    def __init__(self, configuration: RobotConfiguration, closed_loop: bool) -> None:
        self.notes: dict[str, str] = {}
        self.anew: Counter[str] = Counter()
        self.why_anew: dict[str, str] = {}
        self._closed_loop = closed_loop
        self._words = {controller.name: ControllerWord() for controller in configuration.controllers}
        self._history: dict[str, deque[Measured]] = {}
        self._found_following: set[str] = set()
        """The controllers whose joints have followed in this motion, since its last restart."""
        self._began: dict[str, float] = {}
        """Controller -> when its motion began; it may have begun with a jump to where the joints were measured."""
        self._started_anew: dict[str, float] = {}
        """Controller -> when its motion was restarted last; what was told before that was given up."""
        self.configure(configuration)

    def configure(self, configuration: RobotConfiguration) -> None:
        """Take new live parameters."""
        self._setting = {controller.name: controller.overlap for controller in configuration.controllers}
        self._shares = {
            joint.name: min(1.0, joint.max_deviation / WAY_OF_DEVIATION) if joint.smooth else math.inf
            for joint in configuration.action.joints
        }

    def shown(self, controller: str, forbids: str | None) -> None:
        """Note what the controller's parameters imply: why its messages must not overlap, or None."""
        self._words[controller].forbids = forbids

    def referred(self, controller: str, positions: Mapping[str, float], time: float, speed: float, now: float) -> None:
        """Note a state that a controller published: its reference (joint -> position) at `time`, and its speed."""
        self._words[controller].add(positions, time, speed, now)

    def offers(self, controller: str, offered: bool) -> None:
        """Note whether a controller publishes its state; if it does, silence means that it is not active."""
        self._words[controller].offers = offered

    def measured(self, joint: str, position: float, time: float) -> None:
        """Note the measured position of a joint at `time`."""
        if not self._closed_loop:
            return  # nobody executes the plan, so it is not checked whether the joints follow
        history = self._history.setdefault(joint, deque())
        if not history or time >= history[-1].time + HISTORY_STEP_S:
            history.append(Measured(position, time))
        while history[0].time < time - HISTORY_S:
            history.popleft()

    def forget(self) -> None:
        """Forget all timed data: the clock was set back, or the arm was not commanded for a while."""
        self._history.clear()
        for word in self._words.values():
            word.forget()

    def speed(self, controller: str, now: float) -> float | None:
        """The factor by which a controller scales its speed; None if it does not report the factor."""
        reference = self._words[controller].reference
        return None if reference is None or self._words[controller].silent(now) is not None else reference.speed

    def slowed(self, now: float) -> tuple[str, float] | None:
        """Return a controller that slows its motion down, and its factor; None if all run at full speed."""
        for name, word in self._words.items():
            reference = word.reference
            if reference is not None and now - reference.time <= REFERENCE_AGE_S and reference.speed < SLOWED_BELOW:
                return name, reference.speed
        return None

    def place(self, controller: str, now: float) -> dict[str, float]:
        """Joint -> where a controller wants it to be; empty if that is unknown or too old."""
        reference = self._fresh_reference(controller, now)
        return {} if reference is None else dict(reference.positions)

    def begins(self, controller: str, now: float) -> None:
        """Note that a motion begins: whether the controller's joints follow is not known yet."""
        self._began[controller] = now
        self._found_following.discard(controller)
        self._started_anew.pop(controller, None)

    def allows(self, controller: str, commander: Commander, now: float, here: Mapping[str, Measured]) -> Start:
        """Return how the next message starts; restart the motion if the joints do not do what was told.

        `here` has the measured joint positions; a joint that is no longer measured goes on as it was told.
        """
        if commander.streams or not self._closed_loop or not commander.known:
            return Start(overlap=True, anew=False)
        forbids = self.forbids(controller, now)
        # Without overlap a controller may start each trajectory at the measured position: its reference is not
        # told(now).
        reference = self._fresh_reference(controller, now) if forbids is None else None
        known = measured_together(commander.joint_names, here)
        if reference is not None:
            away = self._away_from(commander, reference)
            if away is None and reference.speed < SLOWED_BELOW:
                # A slowed controller leaves its commanded motion already: the next message starts at its reference.
                away = f"it goes at {reference.speed:.0%} of its speed"
            if away is None:
                self._follows(controller, commander)
        else:
            away = self._away_from_measured(controller, commander, known, now)
        self._note(controller, forbids, away)
        if away is None:
            return Start(overlap=forbids is None, anew=False)
        if reference is not None:
            commander.give_up_for(_line(commander, reference, now))
            return Start(overlap=True, anew=True)
        self._found_following.discard(controller)
        self._started_anew[controller] = now
        commander.give_up_for(commander.at_rest(now, {name: each.position for name, each in known.items()}))
        return Start(overlap=False, anew=True)

    def _note(self, controller: str, forbids: str | None, away: str | None) -> None:
        """Note why a motion is restarted, or otherwise why there is no overlap."""
        if away is not None:
            self.anew[controller] += 1
            self.why_anew[controller] = away
        text = forbids if away is None else away
        if text is None:
            self.notes.pop(controller, None)
        else:
            self.notes[controller] = text

    def forbids(self, controller: str, now: float) -> str | None:
        """Why a controller's messages must not overlap now, independent of any positions; None if they may."""
        word, setting = self._words[controller], self._setting[controller]
        if setting == OVERLAP_OFF:
            return "overlap is off"
        if word.reference is not None and abs(word.clocks_apart) > CLOCKS_APART_S:
            return f"its states are stamped {1e3 * word.clocks_apart:.0f} ms before our clock; synchronise the clocks"
        silent = word.silent(now)
        if silent is not None:
            return f"it has not published its state for {silent:.1f} s; is it active?"
        if setting == OVERLAP_ON:
            return None
        if word.forbids is None and word.reference is None and word.offers:
            return "it offers its state, but has published none yet; is it active?"
        return word.forbids

    def _fresh_reference(self, controller: str, now: float) -> Reference | None:
        """The controller's newest reference; None if it is too old, from the future, or of another clock."""
        word = self._words[controller]
        reference = word.reference
        if reference is None or word.silent(now) is not None or reference.time > now + CLOCKS_APART_S:
            return None
        return None if abs(word.clocks_apart) > CLOCKS_APART_S else reference

    def _away_from(self, commander: Commander, reference: Reference) -> str | None:
        """Return which joint's reference differs from what was told for its time, or None."""
        for name, apart in commander.deviations(reference.positions, reference.time, 0.0).items():
            if apart > REFERENCE_AGREEMENT:
                told = f"its reference of {name} is {apart:.3f} from what it was told"
                return f"{told}; is it active, slowed down, or refusing?"
        return None

    def _away_from_measured(
        self, controller: str, commander: Commander, known: Mapping[str, Measured], now: float
    ) -> str | None:
        """Return why the joints `known` do not seem to have moved as they were told, or None."""
        if not known:
            return None
        time = min(now, min(each.time for each in known.values()))
        if not commander.agrees({name: each.position for name, each in known.items()}, time):
            return "its joints are not where they were told to be; is it active, slowed down, or refusing?"
        if controller in self._found_following:
            return None
        began = self._started_anew.get(controller)
        patience = AT_FIRST if began is None else IN_DOUBT
        not_before = self._began.get(controller) if began is None else began
        still = None
        for name, each in known.items():
            moved = self._moved(name, each, not_before)
            if moved is None:
                continue
            (since, span), until = moved, each.time - patience.dead_time_s
            lowest, highest = commander.extremes(min(since, until), until)[name]
            way = highest - lowest
            if way <= patience.way * self._shares.get(name, math.inf):
                continue
            if span >= patience.moved * way:  # one joint that moves is enough: the controller has received the motion
                self._follows(controller, commander)
                return None
            still = f"{name} was told to move by {way:.3f} and moved by {span:.3f}; is it active, or refusing?"
        return still

    def _follows(self, controller: str, commander: Commander) -> None:
        self._found_following.add(controller)
        commander.found_following()

    def _moved(self, joint: str, newest: Measured, not_before: float | None) -> tuple[float, float] | None:
        """Since when a joint's positions are known, and how much it has moved since then; None if none are known."""
        begin = -math.inf if not_before is None else not_before - HISTORY_STEP_S
        history = [each for each in self._history.get(joint, ()) if each.time >= begin]
        if not history:
            return None
        positions = [newest.position, *(each.position for each in history)]
        since = history[0].time if not_before is None else max(history[0].time, not_before)
        return since, max(positions) - min(positions)


def _line(commander: Commander, reference: Reference, now: float) -> Cubic:
    """The motion that continues like the reference, until the next message takes over at the latest."""
    told = commander.told(reference.time)
    position = np.array([reference.positions.get(name, told[name]) for name in commander.joint_names])
    velocity = np.array([reference.velocities.get(name, 0.0) for name in commander.joint_names])
    span = now + commander.lead_s + LONGEST_DELAY_S - reference.time
    return Cubic(
        reference.time,
        np.array([0.0, span]),
        np.vstack([position, position + velocity * span]),
        np.vstack([velocity, velocity]),
    )
