"""Rules: when the arm may go on, when it must hold or stop, and when time itself cannot be trusted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from act_inference_ros.control.commander import Commander
from act_inference_ros.execution import reasons
from act_inference_ros.execution.following import Measured
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


class Rules(Transitions):
    """The part of the supervisor that reacts to events; `supervisor.Supervisor` says what the arguments mean."""

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

    @property
    def max_plan_age(self) -> float:
        """How long a plan is followed after its newest observation, s."""
        given = self._configuration.max_plan_age
        return given or automatic_plan_age(self.inference_s, self._configuration.inference_rate, self._stride)

    def horizon(self, now: float) -> float:
        """Seconds of plan left; the part that will be too old by then does not count."""
        return max(0.0, min(self._motion.plan_end, self._until) - now)

    def fault(self, now: float, error: BaseException, unsent: bool = False) -> None:
        """Hold until a person acts: something unforeseen happened on the way to the arm. Never raises.

        An arm that is not commanded was told to stay already, and somebody else may have moved it since. So it is told
        to hold again only if its last command may be `unsent`.
        """
        if unsent or self.state is State.COMMANDING:
            self._motion.hold_whatever_happens(now, self._fresh_places(now))
        if self.state is State.INACTIVE or self.standing.reason == reasons.INTERNAL_FAULT:
            return
        self.holds[reasons.INTERNAL_FAULT] += 1
        self._settle(now, State.STOPPED, reasons.INTERNAL_FAULT, f"{type(error).__name__}: {error}")

    def enter(self, now: float, state: State, reason: str, detail: str = "") -> None:
        """End the motion, if there is one, and enter `state`."""
        with self._guarded(now):
            self.look_at_clock(now)
            self._end_motion(now, reason)
            self._settle(now, state, reason, detail)

    def forget(self) -> None:
        """Forget plan, inputs, commanded motion, all running inferences, and what was accepted. The state stays."""
        super().forget()
        self.policy_accepted = ""

    def _forget_inputs(self, not_before: float) -> None:
        super()._forget_inputs(not_before)
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

    def _since_then(self, now: float) -> str:
        if self._blocked or self.inferring_since is None:
            return ""
        return f", and an inference has taken {now - self.inferring_since:.1f} s so far"

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
        self._motion.restart_clock(before, now)
        self.overlap.forget()  # what the controllers said is of a time that no longer exists
        # So are the stamps of the commands: every controller is told again where to stay, unless somebody else may
        # have moved the arm since.
        if self.state is State.COMMANDING:
            told = {} if self._closed_loop else self._motion.told(now)
            here = {name: each.position for name, each in self._measured.items()} | told
            self._motion.begin(now, {name: Measured(position, now) for name, position in here.items()})
        if self.state is State.COMMANDING or (self.state in RUNNING and not self._free):
            self._motion.hold_whatever_happens(now, self._fresh_places(now))
        if self.state is State.COMMANDING:
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
