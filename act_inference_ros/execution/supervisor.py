"""Supervisor: decides whether the arm may be commanded now, by whom, and if not, why not.

All rules for moving an arm are here or in the small classes beside this file, once for the node, the bag evaluator and
the simulated episodes. The supervisor has no clock, no thread and no lock: each method gets the time (s, on the clock
of the observations) from one caller at a time. If anything goes wrong on the way to the arm, every controller is told
to hold before the error is raised.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from act_inference_ros.control.commander import Commander
from act_inference_ros.execution import reasons
from act_inference_ros.execution.following import Measured
from act_inference_ros.execution.late_command import LateCommand
from act_inference_ros.execution.plan_age import automatic_plan_age
from act_inference_ros.execution.start_pose import StartPose
from act_inference_ros.execution.states import RUNNING, State
from act_inference_ros.execution.transitions import Transitions, WatchedInputs
from act_inference_ros.observation.refusal import Refusal
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.spec import Chunk

CLOCK_JITTER_S = 0.001
"""Two threads may read times in a slightly wrong order; a larger step back is a jump of the clock."""
LATE_TICKS = 3.0
"""A tick that comes this many periods after the one before judges nothing: delayed messages are handled first."""

POLICY, START_POSE, NOBODY = "policy", "start pose", "nobody"
"""Who commands."""


class Supervisor(Transitions):
    """The state, and the rules that decide whether a plan reaches the controllers.

    Without `closed_loop` nobody executes the plan (a bag, a rehearsal): nobody needs to listen or follow, and a motion
    starts from the commanded positions instead of the measured ones. Only every `stride`-th observation is used for
    prediction.
    """

    def __init__(
        self,
        configuration: RobotConfiguration,
        inputs: WatchedInputs,
        commanders: Sequence[Commander],
        closed_loop: bool = True,
        stride: int = 1,
    ) -> None:
        super().__init__(configuration, inputs, commanders, closed_loop)
        self.inference_s = 0.0
        """How long an inference takes; this determines how old a plan may become."""
        self.inferring_since: float | None = None
        """When the running inference began, s; None if there is none."""
        self._stride = stride
        self._refusal: Refusal | None = None
        self._now = -math.inf
        self._last_tick: float | None = None
        self.policy_accepted = ""
        """The policy_id of another policy that the inference backend may continue with after somebody has cleared the
        stop."""
        self._other_policy = ""
        self._let_one_pass = False
        self.published_late: Counter[str] = Counter()
        """Controller -> how often its commands were not published because they were too late."""
        self._take(configuration)

    def configure(self, configuration: RobotConfiguration, now: float) -> None:
        """Take new live parameters. The plan continues; the running motion is commanded again within the new limits."""
        with self._guarded(now):
            self.look_at_clock(now)
            self._take(configuration)
            if self.state is State.COMMANDING and self._start_pose is None and self._judge(now):
                self._motion.follow(now, self._until, self._fresh_places(now))

    @property
    def clamped(self) -> int:
        """Number of values of the plan beyond a position limit since configure."""
        return self._motion.clamped

    @property
    def beyond(self) -> dict[str, float]:
        """Joint -> how far the newest plan goes beyond a position limit, ROS units; joints within are left out."""
        return self._motion.beyond

    @property
    def smoothed(self) -> Counter[str]:
        """Joint -> how often its plan exceeded the velocity or acceleration limit and was smoothed."""
        return self._motion.smoothed

    @property
    def bridged(self) -> Counter[str]:
        """Joint -> how often it was too far from its plan and was first led there."""
        return self._motion.bridged

    @property
    def who_commands(self) -> str:
        """The policy, the motion to the start pose, or nobody."""
        if self.state is not State.COMMANDING:
            return NOBODY
        return POLICY if self._start_pose is None else START_POSE

    @property
    def max_plan_age(self) -> float:
        """How long a plan is followed after its newest observation, s."""
        given = self._configuration.max_plan_age
        return given or automatic_plan_age(self.inference_s, self._configuration.inference_rate, self._stride)

    def horizon(self, now: float) -> float:
        """Seconds of plan left; the part that will be too old by then does not count."""
        return max(0.0, min(self._motion.plan_end, self._until) - now)

    # Events that the supervisor is told.

    def heard(self, controller: str, listeners: int, others: tuple[str, ...], now: float) -> None:
        """Note who listens and who else publishes on a controller's command topic."""
        self.permissions.heard(controller, listeners, others)
        if not others:
            return
        with self._guarded(now):
            self.look_at_clock(now)
            forbidden = self.permissions.forbidden(now)
            # All other rules wait for the tick, and for the messages that a late tick handles first.
            if forbidden is not None and forbidden[0] == reasons.SOMEBODY_ELSE and self.state in RUNNING:
                self._judge(now)
            if self.state is not State.COMMANDING:
                self._motion.forget_told(controller)  # the commands of the other publisher are unknown

    def enable(self, enabled: bool, now: float, waited_s: float = 0.0) -> None:
        """Note a message of the enabling topic, which came `waited_s` ago; one that forbids is obeyed at once."""
        with self._guarded(now):
            self.look_at_clock(now)
            self.permissions.enable(enabled, now - waited_s)
            if not enabled and self.state is State.COMMANDING:
                self._judge(now)

    def refused(self, refusal: Refusal | None) -> None:
        """Note why no observation could be taken, or None if one was taken; this is shown while there is no plan."""
        self._refusal = refusal
        if refusal is not None and self.state is State.WAITING and not self._blocked:
            self._enter(State.WAITING, self.standing.since, refusal.label, refusal.detail)

    def activate(self, now: float) -> None:
        """Start checking the inputs; commands begin with the first chunk, or after `resume`."""
        self.forget()
        self.permissions.disable()  # the last message of the enabling topic may be old, or of another clock
        if self._configuration.start_paused:
            self._enter(State.PAUSED, now, reasons.STARTED_PAUSED, "call ~/resume")
        else:
            self._enter(State.WAITING, now, reasons.NO_PLAN)

    def deactivate(self, now: float, reason: str = "") -> None:
        """Hold, and send no more commands until activated again."""
        with self._guarded(now):
            self.look_at_clock(now)
            self._end_motion(now, reason or State.INACTIVE.value)
        self.forget()
        self._enter(State.INACTIVE, now, reason)

    @property
    def unfinished(self) -> bool:
        """Whether `finish` still has something to send."""
        return self._motion.unfinished

    def brake(self, now: float, reason: str) -> None:
        """End the motion, and command only the rest of its way to a standstill, which `finish` must send.

        For callers that have the time to let the arm come to rest before `deactivate`, which ends every motion at once.
        """
        with self._guarded(now):
            self.look_at_clock(now)
            self._end_motion(now, reason or State.INACTIVE.value)
        self._enter(State.INACTIVE, now, reason)

    def finish(self, now: float) -> None:
        """Send what is left of the way to rest."""
        with self._guarded(now):
            if not self.look_at_clock(now):
                self._motion.finish(now, self._fresh_places(now))

    def accept(self, chunk: Chunk, t_obs: float, now: float, generation: int) -> bool:
        """Add a chunk to the plan and command it; False if it is not used (`standing` says why, if that matters)."""
        with self._guarded(now):
            if self.look_at_clock(now) or generation != self.generation:
                return False
            if self.state not in RUNNING or self._start_pose is not None or not self._judge(now):
                return False
            if t_obs <= self._not_before or self._paused_by_a_long_hold(now):
                return False  # taken before the hold: the arm may have moved since then
            return self._take_over(chunk, t_obs, now)

    def tick(self, now: float) -> None:
        """Check whether the arm may still be commanded; stream the target for now."""
        with self._guarded(now):
            if self.state is State.INACTIVE or self.look_at_clock(now) or self._is_late(now):
                return
            if self.state in RUNNING:
                allowed = self._judge(now)
                if not self._paused_by_a_long_hold(now) and allowed and self.state is State.COMMANDING:
                    self._tick_commanding(now)
                    return
            self._motion.finish(now, self._fresh_places(now))  # a hold takes a while

    def fail(self, now: float, detail: str) -> None:
        """Hold because no chunk could be computed."""
        with self._guarded(now):
            if self.look_at_clock(now) or self.state not in RUNNING or self._start_pose is not None:
                return
            if self._judge(now):
                self._hold(now, reasons.INFERENCE_FAILED, detail)

    def not_published(self, controller: str, late: LateCommand, now: float) -> None:
        """Note that a controller's command, and those after it, were not published because they were too late.

        The controller goes on with what it was told before. At the next tick the plan, or the hold, is told again from
        there, for the time that it is then. A motion that had not begun, or commands that are late again and again, end
        in a hold.
        """
        with self._guarded(now):
            if self.look_at_clock(now):
                return
            self.published_late[controller] += 1
            under_way = self._motion.take_back(controller, late.command)
            if self.state is State.COMMANDING and (late.again_and_again or not under_way):
                self._hold(now, reasons.PUBLISHED_LATE, f"{controller}: {late.text}")
                self._free = self._free or not under_way

    def found_another_policy(self, now: float, t_obs: float, policy_id: str, detail: str) -> None:
        """Stop because the inference backend has another policy than before: a person has to check it first.

        The other policy was found with the observation of `t_obs`, s. Without a `policy_id` it cannot be accepted.
        """
        with self._guarded(now):
            if self.look_at_clock(now) or self.state not in RUNNING or t_obs <= self._not_before:
                return
            if self.policy_accepted:
                return  # computed before the accepted policy was taken up
            self._end_motion(now, reasons.ANOTHER_POLICY)
            remedy = "~/clear_stop accepts it" if policy_id else "configure the node anew"
            self._settle(now, State.STOPPED, reasons.ANOTHER_POLICY, f"{detail}; {remedy}")
            self._other_policy = policy_id

    def fault(self, now: float, error: BaseException, unsent: bool = False) -> None:
        """Hold until a person acts: something unforeseen happened on the way to the arm. Never raises.

        If the arm is not commanded, it was told to stay, and somebody else may have moved it since: then the hold is
        sent again only if the last command may be `unsent`.
        """
        if unsent or self.state is State.COMMANDING:
            self._motion.hold_whatever_happens(now, self._fresh_places(now))
        if self.state is State.INACTIVE or self.standing.reason == reasons.INTERNAL_FAULT:
            return
        self.holds[reasons.INTERNAL_FAULT] += 1
        self._settle(now, State.STOPPED, reasons.INTERNAL_FAULT, f"{type(error).__name__}: {error}")

    # Requests of an operator, through `operator.Operator`.

    def enter(self, now: float, state: State, reason: str, detail: str = "") -> None:
        """End the motion, if there is one, and enter `state`."""
        with self._guarded(now):
            self.look_at_clock(now)
            self._end_motion(now, reason)
            self._settle(now, state, reason, detail)

    def accept_policy(self) -> None:
        """Note that somebody has accepted the policy for which the arm was stopped."""
        self.policy_accepted = self._other_policy

    def begin_start_pose(self, pose: tuple[float, ...], now: float) -> str | None:
        """Begin to move slowly to `pose`; returns None, or why that is not possible now."""
        with self._guarded(now):
            self.look_at_clock(now)
        why = self._why_not(now)
        if why is not None:
            return f"{why[1]}: {why[2]}"
        lost = self._motion.joints_without(self.measured(now))
        if lost:
            return f"{reasons.NOT_MEASURED}: {', '.join(lost)}"
        with self._guarded(now):
            self._end_motion(now, START_POSE)
            self._motion.clear()
            self._begin(now)
            self._start_pose = StartPose(self._configuration, pose)
            self._enter(State.COMMANDING, now, "")
            self._tick_start_pose(self._start_pose, now)
        return None

    # The rules.

    def _forget_inputs(self, not_before: float) -> None:
        super()._forget_inputs(not_before)
        self.policy_accepted = ""
        self._refusal = self._last_tick = self.inferring_since = None
        self._now = not_before

    def _take_over(self, chunk: Chunk, t_obs: float, now: float) -> bool:
        here = self.measured(now)
        self._motion.add(chunk, t_obs, now, here | self._motion.told(now))
        lost = self._motion.joints_without(here)
        if self.horizon(now) <= 0.0:
            self._hold(now, reasons.TOO_LATE, f"it is {now - t_obs:.2f} s after its observation; inference is slow")
            return False
        if lost:
            self._hold(now, reasons.NOT_MEASURED, self._not_measured(lost))
            return False
        begins = self.state is not State.COMMANDING
        if begins:
            self._begin(now)
            self._enter(State.COMMANDING, now, "")
        self._motion.follow(now, self._until, self._fresh_places(now))
        if begins:
            self._motion.tick(now)  # a stream continues at its own rate
        return True

    def _tick_commanding(self, now: float) -> None:
        breach = None
        if self._closed_loop:
            here = self.measured(now)
            lost = self._motion.joints_without(here)
            if lost:
                self._hold(now, reasons.NOT_MEASURED, self._not_measured(lost))
                return
            lag = self._configuration.following_lag
            breach = self.following.judge(self._motion.commanders, self._measured, self._joints, lag, now)
        if breach is not None:
            self._motion.hold_at(now, self._fresh_places(now))
            self.holds[reasons.NOT_FOLLOWING] += 1
            detail = f"{breach}; call ~/clear_stop, then ~/resume"
            self._settle(now, State.STOPPED, reasons.NOT_FOLLOWING, detail)
        elif self._start_pose is not None:
            self._tick_start_pose(self._start_pose, now)
        elif now > min(self._motion.plan_end + self._configuration.coast_time, self._until):
            self._hold(now, *self._why_over(now))
        else:
            self._motion.tick(now)
            self._motion.catch_up(now, self._until, self._fresh_places(now))

    def _tick_start_pose(self, pose: StartPose, now: float) -> None:
        told = self._motion.told(now)
        if pose.reached(told):
            away = pose.distance(self.measured(now))
            if away <= pose.NEAR or pose.waited(now):
                reason = reasons.AT_START_POSE if away <= pose.NEAR else reasons.NEAR_START_POSE
                self._start_pose = None
                self.enter(now, State.PAUSED, reason, f"within {away:.3f}; call ~/resume to go on")
                return
        if pose.renew(told, now, self.max_plan_age):
            self._motion.follow_timeline(pose.timeline, now, now + self.max_plan_age, self._fresh_places(now))
        self._motion.tick(now)
        self._motion.catch_up(now, now + self.max_plan_age, self._fresh_places(now), pose.timeline)

    @property
    def _until(self) -> float:
        """When the plan becomes too old to be followed."""
        return self._motion.newest + self.max_plan_age

    def _not_measured(self, lost: Sequence[str]) -> str:
        topics = " or ".join(self._configuration.state_topics)
        return f"no position of {', '.join(lost)} on {topics} for more than {self._configuration.max_age:g} s"

    def _why_over(self, now: float) -> tuple[str, str]:
        cause = f"; the last observation was refused: {self._refusal}" if self._refusal else ""
        if self.inferring_since is not None:
            cause = f"; an inference has taken {now - self.inferring_since:.1f} s so far"
        if self._until < self._motion.plan_end + self._configuration.coast_time:
            age = f"its newest observation is {now - self._motion.newest:.2f} s old"
            return reasons.TOO_OLD, f"{age}, a plan is followed for {self.max_plan_age:.2f} s{cause}"
        late = now - self._motion.plan_end
        return reasons.RAN_OUT, f"no new chunk for {late:.2f} s after the last one's end{cause}"

    def _is_late(self, now: float) -> bool:
        """Return whether this tick must judge nothing; never true for two ticks in a row."""
        gap = 0.0 if self._last_tick is None else now - self._last_tick
        self._last_tick = now
        self._let_one_pass = not self._let_one_pass and gap > LATE_TICKS * self._configuration.tick_period_s
        return self._let_one_pass

    def look_at_clock(self, now: float) -> bool:
        """Return whether time went back since the last event: then the motion has ended, and inputs are forgotten.

        Every event begins with this check, because the times of earlier commands are invalid after a jump.
        """
        if now >= self._now - CLOCK_JITTER_S:
            self._now = max(self._now, now)
            return False
        before, self._now = self._now, now
        # Commands are stamped in a time that no longer exists: every controller is told again where to stay.
        self._motion.restart_clock(before, now)
        if self.state is State.COMMANDING:
            told = {} if self._closed_loop else self._motion.told(now)
            here = {name: each.position for name, each in self._measured.items()} | told
            self._motion.begin(now, {name: Measured(position, now) for name, position in here.items()})
            self._motion.hold_whatever_happens(now, self._fresh_places(now))
            self.holds[reasons.CLOCK_JUMPED] += 1
            self._settle(now, State.HOLDING, reasons.CLOCK_JUMPED, "")
        self.generation += 1
        self._inputs.clear()
        self._measured.clear()
        self.overlap.forget()
        self.permissions.disable()
        self._not_before, self._last_tick, self.inferring_since = now, None, None
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
        """Hold every controller before an unforeseen error is raised further."""
        try:
            yield
        except Exception as error:
            self.fault(now, error)
            raise
