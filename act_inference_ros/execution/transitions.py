"""Transitions between the states, and their effect on the motion; the supervisor decides which one happens."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from act_inference_ros.control.commander import Commander
from act_inference_ros.execution import reasons
from act_inference_ros.execution.following import Following, Measured
from act_inference_ros.execution.overlap import Overlap
from act_inference_ros.execution.permissions import Permissions
from act_inference_ros.execution.planned_motion import PlannedMotion
from act_inference_ros.execution.start_pose import StartPose
from act_inference_ros.execution.states import RUNNING, Standing, State
from act_inference_ros.observation.refusal import Refusal
from act_inference_ros.robot.configuration import RobotConfiguration

IT_IS_OVER = "it is over; waiting for the next chunk"
"""The detail of a hold whose cause has passed."""
MOST_PASSED = 10
"""So many states that nobody has asked for are remembered."""
LARGEST = 1e6
"""A joint position that is further from zero than this (rad or m) is ignored as not measured."""


class WatchedInputs(Protocol):
    """The inputs as the supervisor needs them; `observation.inputs.ObservationInputs` implements this."""

    def fresh(self, now: float) -> Refusal | None:
        """Return the first input that is missing, too old or from the future; None when all are usable."""

    def clear(self) -> None:
        """Forget every message."""


class Transitions:
    """The state, its reason, and the motion, which begins and ends with the state.

    `generation` counts the events that make a running inference useless: deactivation, reset, a jump of the clock.
    `holds` counts for each reason how often commanding ended.
    """

    def __init__(
        self,
        configuration: RobotConfiguration,
        inputs: WatchedInputs,
        commanders: Sequence[Commander],
        closed_loop: bool,
    ) -> None:
        self.standing = Standing(State.INACTIVE, "", "", 0.0)
        self.generation = 0
        self.holds: Counter[str] = Counter()
        self.permissions = Permissions(configuration, closed_loop)
        self.following = Following()
        self._configuration = configuration
        self.overlap = Overlap(configuration, closed_loop)
        self._motion = PlannedMotion(configuration, commanders, self.overlap)
        self._inputs = inputs
        self._closed_loop = closed_loop
        self._moved_joints = frozenset(configuration.action.names)
        self._measured: dict[str, Measured] = {}
        self._start_pose: StartPose | None = None
        self._blocked = False
        """Whether a permission or an input is missing: `standing` says which."""
        self._held_since: float | None = None
        """Since when the arm has been held because something went wrong, until it is commanded again."""
        self._free = False
        """Whether somebody else may have moved the arm since it was commanded."""
        self._has_moved = False
        """Whether there has been a motion since the arm was last released."""
        self._not_before = -math.inf
        """An observation that is not newer than this does not begin a motion."""
        self._entered: deque[Standing] = deque(maxlen=MOST_PASSED)

    @property
    def state(self) -> State:
        """The state."""
        return self.standing.state

    def told(self, now: float) -> dict[str, float]:
        """Joint -> its commanded position now, ROS units."""
        return self._motion.told(now)

    def measured(self, now: float) -> dict[str, float]:
        """Joint -> position (ROS units) measured within max_age; without `closed_loop` the commanded position."""
        return {name: each.position for name, each in self._places(now).items()}

    def _places(self, now: float) -> dict[str, Measured]:
        """Joint -> position and time, like `measured`."""
        told = {} if self._closed_loop else self._motion.told(now)
        return self._fresh_places(now) | {name: Measured(position, now) for name, position in told.items()}

    def _fresh_places(self, now: float) -> dict[str, Measured]:
        """Joint -> position and time of a measurement within max_age."""
        oldest = now - self._configuration.max_age
        return {name: each for name, each in self._measured.items() if each.time >= oldest}

    def measure(self, names: Sequence[str], positions: Sequence[float], time: float) -> None:
        """Remember the joint positions at `time`, in ROS units.

        Positions that are non-finite or impossibly large are ignored, and joints that are not in the action: messages
        whose names change must not fill the memory.
        """
        if len(names) != len(positions):
            return
        for name, position in zip(names, positions, strict=True):
            if name not in self._moved_joints:
                continue
            known = self._measured.get(name)
            if abs(position) <= LARGEST and (known is None or time >= known.time):
                self._measured[name] = Measured(float(position), time)
                self.overlap.measured(name, float(position), time)

    def forget(self) -> None:
        """Forget plan, inputs, commanded motion, and all running inferences. The state stays."""
        self._motion.forget()
        self._forget_inputs(-math.inf)

    def reset(self, now: float) -> None:
        """Forget plan, inputs and all running inferences, and the commanded motion once it is at rest. The state stays.

        Only an observation that was taken at rest begins a motion.
        """
        rests_from = self._motion.forget_at_rest(now)
        self._forget_inputs(now)
        self._not_before = rests_from

    def _forget_inputs(self, not_before: float) -> None:
        self.generation += 1
        self._inputs.clear()
        self._measured.clear()
        self.overlap.forget()
        self._start_pose = self._held_since = None
        self._free = self._has_moved = False
        self._not_before = not_before

    def _why_not(self, now: float) -> tuple[State, str, str] | None:
        """Return the state, reason and detail that the rules require now, or None if the arm may be commanded."""
        forbidden = self.permissions.forbidden(now)
        if forbidden is not None:
            return State.WAITING, *forbidden
        refusal = self._inputs.fresh(now)
        if refusal is not None:
            return State.HOLDING, refusal.label, refusal.detail
        slowed = self.overlap.slowed(now)
        if slowed is None:
            return None
        controller, speed = slowed
        return State.HOLDING, reasons.SLOWED, f"{controller} goes at {speed:.0%} of its speed; set it to 100%"

    def _judge(self, now: float) -> bool:
        """Return whether the arm may be commanded now; if not, end the motion and say why."""
        why = self._why_not(now)
        if why is None:
            if self._blocked and self.state is State.WAITING:
                self._enter(State.WAITING, now, reasons.NO_PLAN)  # what was missing has arrived
            elif self._blocked and self.state is State.HOLDING:
                self.standing = replace(self.standing, detail=IT_IS_OVER)
            self._blocked = False
            return True
        state, reason, detail = why
        if state is State.HOLDING:
            self._hold(now, reason, detail)
        else:
            self._end_motion(now, reason)
            self._settle(now, state, reason, detail)
            self._not_before, self._free = max(now, self._not_before), True  # somebody else may move the arm now
            if self._inputs.fresh(now) is None:
                self._held_since = None  # only the permission is missing, and that may last
        self._blocked = True
        return False

    def _is_of_an_earlier_motion(self, t_obs: float) -> bool:
        """Whether an observation was taken before the hold, or while an arm that was let go still braked."""
        return t_obs <= self._not_before or (self._free and t_obs <= self._motion.rests_from)

    def _begin(self, now: float) -> None:
        self._motion.begin(now, self._places(now), self._free)
        self._free, self._held_since, self._has_moved = False, None, True
        self.following.restart()

    def _hold(self, now: float, reason: str, detail: str) -> None:
        """End the motion because something went wrong; it restarts by itself. Before any motion: only wait."""
        self._end_motion(now, reason)
        waits = self.state is State.WAITING and not self._has_moved
        self._settle(now, State.WAITING if waits else State.HOLDING, reason, detail)

    def _end_motion(self, now: float, reason: str) -> None:
        if self.state is State.COMMANDING:
            self.holds[reason] += 1
            self._motion.hold(now, self._fresh_places(now))

    def _settle(self, now: float, state: State, reason: str, detail: str) -> None:
        """Forget the plan and enter `state`; an interrupted motion to the start pose is not continued."""
        if self._start_pose is not None and state in RUNNING:
            state, detail = State.PAUSED, f"the way to the start pose ended: {detail}"
        if state is State.HOLDING:
            self._held_since = now if self._held_since is None else self._held_since
        elif state is not State.WAITING:
            self._free, self._held_since, self._has_moved = True, None, False
        self._start_pose = None
        self._blocked = False
        self._motion.clear()
        if state is not self.state:
            self._not_before = max(now, self._not_before)
        self._enter(state, self.standing.since if state is self.state else now, reason, detail)

    def _paused_by_a_long_hold(self, now: float) -> bool:
        """Enter `paused` if a hold has lasted too long to continue by itself; return whether it has."""
        longest = self._configuration.resume_within
        if self._held_since is None or now - self._held_since <= longest:
            return False
        lasted = f"for more than {longest:g} s{self._since_then(now)}; call ~/resume to go on"
        self._settle(now, State.PAUSED, self.standing.reason, lasted)
        return True

    def _since_then(self, now: float) -> str:
        """What has kept the arm from going on since the cause of a hold is over; empty while it is not."""
        return ""

    def passed(self) -> list[Standing]:
        """Return the states that began and ended since this was last asked, oldest first; `standing` is not one."""
        passed = list(self._entered)[:-1]
        self._entered.clear()
        return passed

    def _enter(self, state: State, since: float, reason: str, detail: str = "") -> None:
        before, self.standing = self.standing.state, Standing(state, reason, detail, since)
        if state is not before:
            self._entered.append(self.standing)
