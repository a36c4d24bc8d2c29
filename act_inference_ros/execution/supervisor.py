"""Supervisor: may the arm be commanded now, by what, and if not, why not.

Every rule for moving an arm is decided here or in the small classes beside it, once for the node, the bag evaluator and
the simulated episodes. The supervisor has no clock, no thread and no lock: each method is told what time it is (s, on
the clock of the observations), by one caller at a time. Whatever goes wrong on the way to the arm, every controller is
told to hold before the error is raised.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol

from act_inference_ros.control.commander import Commander
from act_inference_ros.execution import reasons
from act_inference_ros.execution.following import Following, Measured
from act_inference_ros.execution.permissions import Permissions
from act_inference_ros.execution.plan_age import automatic_plan_age
from act_inference_ros.execution.planned_motion import PlannedMotion
from act_inference_ros.execution.start_pose import StartPose
from act_inference_ros.execution.states import RUNNING, Standing, State
from act_inference_ros.observation.refusal import Refusal
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.spec import Chunk

CLOCK_JITTER_S = 0.001
"""Time read in two threads may seem to go back by a little; more is a jump."""
LATE_TICKS = 3.0
"""A tick that comes so many periods after the one before judges nothing: messages that waited with it come first."""

POLICY, START_POSE, NOBODY = "policy", "start pose", "nobody"
"""Who commands."""


class WatchedInputs(Protocol):
    """What the supervisor wants of the inputs; `observation.inputs.ObservationInputs` has it."""

    def fresh(self, now: float) -> Refusal | None:
        """Return the first input that is missing, too old or from the future; None when all are usable."""

    def clear(self) -> None:
        """Forget every message."""


class Supervisor:
    """The state, and the rules that decide whether a plan reaches the controllers.

    Without `closed_loop` nobody executes the plan (a bag, a rehearsal): then nobody need listen or follow, and an arm
    that is exactly where it was told to be stands in for the measured one where a motion starts. Of the observations
    every `stride`-th is predicted from.
    """

    def __init__(
        self,
        configuration: RobotConfiguration,
        inputs: WatchedInputs,
        commanders: Sequence[Commander],
        closed_loop: bool = True,
        stride: int = 1,
    ) -> None:
        self.standing = Standing(State.INACTIVE, "", "", 0.0)
        self.generation = 0
        """Counts what makes an inference in flight worthless: deactivation, reset, a clock that jumped."""
        self.holds: Counter[str] = Counter()
        """How often commanding ended, for each reason."""
        self.inference_s = 0.0
        """How long an inference takes, for the longest age of a plan."""
        self.permissions = Permissions(configuration, closed_loop)
        self.following = Following()
        self._motion = PlannedMotion(configuration, commanders)
        self._inputs = inputs
        self._closed_loop = closed_loop
        self._stride = stride
        self._measured: dict[str, Measured] = {}
        self._start_pose: StartPose | None = None
        self._refusal: Refusal | None = None
        self._blocked = False
        self._held_since: float | None = None
        """Since when the arm has been held for something that went wrong, until it is commanded again."""
        self._free = False
        """Somebody else may have moved the arm since it was commanded."""
        self._not_before = self._now = -math.inf
        self._last_tick: float | None = None
        self._let_one_pass = False
        self._take(configuration)

    def configure(self, configuration: RobotConfiguration, now: float) -> None:
        """Take new live parameters. The plan goes on; what is under way is told anew, within the new limits."""
        with self._guarded(now):
            self.look_at_clock(now)
            self._take(configuration)
            if self.state is State.COMMANDING and self._start_pose is None:
                self._motion.follow(now, self._until, streams=False)

    @property
    def state(self) -> State:
        """The state."""
        return self.standing.state

    @property
    def clamped(self) -> int:
        """Targets changed by a limit since configure."""
        return self._motion.clamped

    @property
    def who_commands(self) -> str:
        """The policy, the way to the start pose, or nobody."""
        if self.state is not State.COMMANDING:
            return NOBODY
        return POLICY if self._start_pose is None else START_POSE

    @property
    def max_plan_age(self) -> float:
        """How long a plan is followed after its newest observation, s."""
        given = self._configuration.max_plan_age
        return given or automatic_plan_age(self.inference_s, self._configuration.inference_rate, self._stride)

    def horizon(self, now: float) -> float:
        """Seconds of plan left; what will be too old by then does not count."""
        return max(0.0, min(self._motion.plan_end, self._until) - now)

    def told(self, now: float) -> dict[str, float]:
        """Joint -> where it is told to be now, ROS units."""
        return self._motion.told(now)

    def measured(self, now: float) -> dict[str, float]:
        """Joint -> position (ROS units), of those measured within max_age; without `closed_loop` as they were told."""
        oldest = now - self._configuration.max_age
        here = {name: each.position for name, each in self._measured.items() if each.time >= oldest}
        return here if self._closed_loop else here | self._motion.told(now)

    # What the supervisor is told.

    def measure(self, names: Sequence[str], positions: Sequence[float], time: float) -> None:
        """Remember where joints were at `time` (ROS units); what is not a number is no place."""
        if len(names) != len(positions):
            return
        for name, position in zip(names, positions, strict=True):
            known = self._measured.get(name)
            if math.isfinite(position) and (known is None or time >= known.time):
                self._measured[name] = Measured(float(position), time)

    def heard(self, controller: str, listeners: int, others: tuple[str, ...], now: float) -> None:
        """Note who listens and who else speaks on a controller's command topic."""
        self.permissions.heard(controller, listeners, others)
        if not others:
            return
        with self._guarded(now):
            self.look_at_clock(now)
            forbidden = self.permissions.forbidden(now)
            # What else there is to judge waits for the tick, and for the messages that a late one lets pass.
            if forbidden is not None and forbidden[0] == reasons.SOMEBODY_ELSE and self.state in RUNNING:
                self._judge(now)
            if self.state is not State.COMMANDING:
                self._motion.forget()  # who knows what the other one told it

    def refused(self, refusal: Refusal | None) -> None:
        """Note why no observation could be taken, or that one could (None): worth knowing while there is no plan."""
        self._refusal = refusal
        if refusal is not None and self.state is State.WAITING and not self._blocked:
            self._enter(State.WAITING, self.standing.since, refusal.label, refusal.detail)

    def activate(self, now: float) -> None:
        """Start looking at inputs; commands begin with the first chunk, or after `resume`."""
        self.forget()
        self.permissions.disable()  # the last word of the enabling topic may be of another time, on another clock
        if self._configuration.start_paused:
            self._enter(State.PAUSED, now, reasons.STARTED_PAUSED, "call ~/resume")
        else:
            self._enter(State.WAITING, now, reasons.NO_PLAN)

    def deactivate(self, now: float, reason: str = "") -> None:
        """Hold, and command nothing more, whatever comes, until activated again."""
        with self._guarded(now):
            self.look_at_clock(now)
            self._end_motion(now, reason or State.INACTIVE.value)
        self.forget()
        self._enter(State.INACTIVE, now, reason)

    def accept(self, chunk: Chunk, t_obs: float, now: float, generation: int) -> bool:
        """Add a chunk to the plan and command it; False if it is of no use (`standing` says why, where it matters)."""
        with self._guarded(now):
            if self.look_at_clock(now) or generation != self.generation:
                return False
            if self.state not in RUNNING or self._start_pose is not None or not self._judge(now):
                return False
            if t_obs <= self._not_before or self._paused_by_a_long_hold(now):
                return False  # taken before the hold: the arm may be somewhere else by now
            return self._take_over(chunk, t_obs, now)

    def tick(self, now: float) -> None:
        """Look whether the arm may still be commanded; stream the target for now."""
        with self._guarded(now):
            if self.state is State.INACTIVE or self.look_at_clock(now) or self._is_late(now):
                return
            if self.state not in RUNNING:
                return
            allowed = self._judge(now)
            if not self._paused_by_a_long_hold(now) and allowed and self.state is State.COMMANDING:
                self._tick_commanding(now)

    def fail(self, now: float, detail: str) -> None:
        """Hold because no chunk could be computed."""
        with self._guarded(now):
            if self.look_at_clock(now) or self.state not in RUNNING or self._start_pose is not None:
                return
            if self._judge(now):
                self._hold(now, reasons.INFERENCE_FAILED, detail)

    def fault(self, now: float, error: BaseException, unsent: bool = False) -> None:
        """Hold for good: something unforeseen happened on the way to the arm. Never raises.

        An arm that is not commanded was told to stay, and somebody else may have moved it since: it is told again only
        if what it was told last may be `unsent`.
        """
        if unsent or self.state is State.COMMANDING:
            self._motion.hold_whatever_happens(now)
        if self.state is State.INACTIVE or self.standing.reason == reasons.INTERNAL_FAULT:
            return
        self.holds[reasons.INTERNAL_FAULT] += 1
        self._settle(now, State.STOPPED, reasons.INTERNAL_FAULT, f"{type(error).__name__}: {error}")

    # What an operator asks for, through `operator.Operator`.

    def enter(self, now: float, state: State, reason: str, detail: str = "") -> None:
        """End the motion, if there is one, and enter `state`."""
        with self._guarded(now):
            self.look_at_clock(now)
            self._end_motion(now, reason)
            self._settle(now, state, reason, detail)

    def begin_start_pose(self, pose: tuple[float, ...], now: float) -> str | None:
        """Begin to move slowly to `pose`; returns None, or why that is not possible now."""
        with self._guarded(now):
            self.look_at_clock(now)
        why = self._why_not(now)
        if why is not None:
            return f"{why[1]}: {why[2]}"
        unknown = self._motion.unknown_joints(self.measured(now))
        if unknown:
            return f"{reasons.NOT_MEASURED}: {', '.join(unknown)}"
        with self._guarded(now):
            self._end_motion(now, START_POSE)
            self._motion.clear()
            self._begin(now)
            self._start_pose = StartPose(self._configuration, pose)
            self._enter(State.COMMANDING, now, "")
            self._tick_start_pose(self._start_pose, now)
        return None

    def forget(self, not_before: float = -math.inf) -> None:
        """Forget plan, inputs, what was told, and every inference in flight. The state stays.

        An observation taken at `not_before` or earlier does not begin a motion, even if it comes only now.
        """
        self.generation += 1
        self._motion.forget()
        self._inputs.clear()
        self._measured.clear()
        self._start_pose = self._refusal = self._last_tick = self._held_since = None
        self._free = False
        self._not_before = self._now = not_before

    # The rules.

    def _why_not(self, now: float) -> tuple[State, str, str] | None:
        """Return the state, reason and detail that the rules ask for now, or None where the arm may be commanded."""
        forbidden = self.permissions.forbidden(now)
        if forbidden is not None:
            return State.WAITING, *forbidden
        refusal = self._inputs.fresh(now)
        return None if refusal is None else (State.HOLDING, refusal.label, refusal.detail)

    def _judge(self, now: float) -> bool:
        """Return whether the arm may be commanded now; end the motion, and say why, if not."""
        why = self._why_not(now)
        if why is None:
            if self._blocked and self.state is State.WAITING:
                self._enter(State.WAITING, now, reasons.NO_PLAN)  # what was waited for is there
            self._blocked = False
            return True
        state, reason, detail = why
        if state is State.HOLDING:
            self._hold(now, reason, detail)
        else:
            self._end_motion(now, reason)
            self._settle(now, state, reason, detail)
            self._not_before, self._free = now, True  # meanwhile somebody else may move the arm
        self._blocked = True
        return False

    def _take_over(self, chunk: Chunk, t_obs: float, now: float) -> bool:
        here = self.measured(now)
        self._motion.add(chunk, t_obs, now, here | self._motion.told(now))
        unknown = self._motion.unknown_joints(here)
        if self.horizon(now) <= 0.0:
            self._hold(now, reasons.TOO_LATE, f"it is {now - t_obs:.2f} s after its observation; inference is slow")
            return False
        if unknown:
            self._hold(now, reasons.NOT_MEASURED, f"no position of {', '.join(unknown)} in the state topic")
            return False
        begins = self.state is not State.COMMANDING
        if begins:
            self._begin(now)
            self._enter(State.COMMANDING, now, "")
        self._motion.follow(now, self._until, streams=begins)  # a stream that runs has its own rate
        return True

    def _tick_commanding(self, now: float) -> None:
        breach = None
        if self._closed_loop:
            here = self.measured(now)
            lost = [name for name in self._motion.told(now) if name not in here]
            if lost:
                lasted = f"for more than {self._configuration.max_age:g} s"
                self._hold(now, reasons.NOT_MEASURED, f"no position of {', '.join(lost)} {lasted}")
                return
            lag = self._configuration.following_lag
            breach = self.following.judge(self._motion.commanders, self._measured, self._joints, lag, now)
        if breach is not None:
            self._motion.hold_at(now, self.measured(now))
            self.holds[reasons.NOT_FOLLOWING] += 1
            detail = f"{breach}; call ~/clear_stop, then ~/resume"
            self._settle(now, State.STOPPED, reasons.NOT_FOLLOWING, detail)
        elif self._start_pose is not None:
            self._tick_start_pose(self._start_pose, now)
        elif now > min(self._motion.plan_end + self._configuration.coast_time, self._until):
            self._hold(now, *self._why_over(now))
        else:
            self._motion.follow(now, self._until, trajectories=False)

    def _tick_start_pose(self, pose: StartPose, now: float) -> None:
        told = self._motion.told(now)
        if pose.reached(told):
            away = pose.distance(self.measured(now))
            if away <= pose.NEAR or pose.waited(now):
                reason = reasons.AT_START_POSE if away <= pose.NEAR else reasons.NEAR_START_POSE
                self._start_pose = None
                self.enter(now, State.PAUSED, reason, f"within {away:.3f}; call ~/resume to go on")
                return
        renewed = pose.renew(told, now, self.max_plan_age)
        self._motion.follow_timeline(pose.timeline, now, now + self.max_plan_age, trajectories=renewed)

    @property
    def _until(self) -> float:
        """When the plan is too old to be followed."""
        return self._motion.newest + self.max_plan_age

    def _why_over(self, now: float) -> tuple[str, str]:
        refused = f"; the last observation was refused: {self._refusal}" if self._refusal else ""
        if self._until < self._motion.plan_end + self._configuration.coast_time:
            age = f"its newest observation is {now - self._motion.newest:.2f} s old"
            return reasons.TOO_OLD, f"{age}, a plan is followed for {self.max_plan_age:.2f} s{refused}"
        late = now - self._motion.plan_end
        return reasons.RAN_OUT, f"no new chunk for {late:.2f} s after the last one's end{refused}"

    def _begin(self, now: float) -> None:
        self._motion.begin(now, self.measured(now), self._free)
        self._free, self._held_since = False, None
        self.following.restart()

    def _hold(self, now: float, reason: str, detail: str) -> None:
        """End the motion because something went wrong; goes on by itself. Before any motion it is only waited for."""
        self._end_motion(now, reason)
        self._settle(now, State.WAITING if self.state is State.WAITING else State.HOLDING, reason, detail)

    def _end_motion(self, now: float, reason: str) -> None:
        if self.state is State.COMMANDING:
            self.holds[reason] += 1
            self._motion.hold(now)

    def _settle(self, now: float, state: State, reason: str, detail: str) -> None:
        """Forget the plan and enter `state`; an interrupted way to the start pose is not gone on with."""
        if self._start_pose is not None and state in RUNNING:
            state, detail = State.PAUSED, f"the way to the start pose ended: {detail}"
        if state is State.HOLDING:
            self._held_since = now if self._held_since is None else self._held_since
        elif state is not State.WAITING:
            self._free, self._held_since = True, None
        self._start_pose = None
        self._blocked = False
        self._motion.clear()
        if state is not self.state:
            self._not_before = now
        self._enter(state, self.standing.since if state is self.state else now, reason, detail)

    def _paused_by_a_long_hold(self, now: float) -> bool:
        """Enter `paused` if the arm has been held for longer than it goes on by itself; return whether it is."""
        longest = self._configuration.resume_within
        if self._held_since is None or now - self._held_since <= longest:
            return False
        lasted = f"for more than {longest:g} s; call ~/resume to go on"
        self._settle(now, State.PAUSED, self.standing.reason, lasted)
        return True

    def _enter(self, state: State, since: float, reason: str, detail: str = "") -> None:
        self.standing = Standing(state, reason, detail, since)

    def _is_late(self, now: float) -> bool:
        """Return whether this tick shall judge nothing; never two in a row."""
        gap = 0.0 if self._last_tick is None else now - self._last_tick
        self._last_tick = now
        self._let_one_pass = not self._let_one_pass and gap > LATE_TICKS * self._configuration.tick_period_s
        return self._let_one_pass

    def look_at_clock(self, now: float) -> bool:
        """Return whether time went back since the last event: then the motion has ended, and inputs are forgotten.

        Every event begins with this: what was told is known by times that mean something else after a jump.
        """
        if now >= self._now - CLOCK_JITTER_S:
            self._now = max(self._now, now)
            return False
        before, self._now = self._now, now
        # Commands are stamped in a time that no longer exists: every controller is told anew where to stay.
        self._motion.restart_clock(before, now)
        if self.state is State.COMMANDING:
            here = {name: each.position for name, each in self._measured.items()}
            self._motion.begin(now, here if self._closed_loop else here | self._motion.told(now))
            self._motion.hold_whatever_happens(now)
            self.holds[reasons.CLOCK_JUMPED] += 1
            self._settle(now, State.HOLDING, reasons.CLOCK_JUMPED, "")
        self.generation += 1
        self._inputs.clear()
        self._measured.clear()
        self.permissions.disable()
        self._not_before, self._last_tick = now, None
        self._held_since = None if self._held_since is None else now
        self.standing = replace(self.standing, since=now)
        return True

    def _take(self, configuration: RobotConfiguration) -> None:
        self._configuration = configuration
        self._joints = {joint.name: joint for joint in configuration.action.joints}
        self._motion.configure(configuration)
        self.permissions.configure(configuration)

    @contextmanager
    def _guarded(self, now: float) -> Iterator[None]:
        """Hold every controller before an unforeseen error goes on its way."""
        try:
            yield
        except Exception as error:
            self.fault(now, error)
            raise
