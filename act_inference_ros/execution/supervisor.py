"""Supervisor: decides whether the arm may be commanded now, by whom, and if not, why not.

All rules for moving an arm are here, in `rules.py` or in the small classes beside them, once for the node, the bag
evaluator and the simulated episodes. The supervisor has no clock, no thread and no lock: each method gets the time (s,
on the clock of the observations) from one caller at a time. If anything goes wrong on the way to the arm, every
controller is told to hold before the error is raised.
"""

from __future__ import annotations

from collections import Counter

from act_inference_ros.execution import reasons
from act_inference_ros.execution.late_command import LateCommand
from act_inference_ros.execution.rules import Rules
from act_inference_ros.execution.start_pose import StartPose
from act_inference_ros.execution.states import RUNNING, State
from act_inference_ros.observation.refusal import Refusal
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.spec import Chunk

POLICY, START_POSE, NOBODY = "policy", "start pose", "nobody"
"""Who commands."""


class Supervisor(Rules):
    """The state, and the rules that decide whether a plan reaches the controllers.

    Without `closed_loop` nobody executes the plan (a bag, a rehearsal): nobody needs to listen or follow, and a motion
    starts from the commanded positions instead of the measured ones. Only every `stride`-th observation is used for
    prediction.
    """

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
                # The commands of the other publisher are unknown. But no motion may begin while the arm still brakes.
                self._not_before = max(self._not_before, self._motion.forget_told_at_rest(controller, now))

    def enable(self, enabled: bool, now: float, waited_s: float = 0.0) -> None:
        """Note a message of the enabling topic, which came `waited_s` ago; one that forbids is obeyed at once."""
        with self._guarded(now):
            self.look_at_clock(now)
            self.permissions.enable(enabled, now - waited_s)
            if not enabled and self.state is State.COMMANDING:
                self._judge(now)

    def refused(self, refusal: Refusal | None) -> None:
        """Note why no observation could be taken, or None if one was taken; this is shown while there is no plan."""
        before, self._refusal = self._refusal, refusal
        if self.state is not State.WAITING or self._blocked:
            return
        if refusal is not None:
            self._enter(State.WAITING, self.standing.since, refusal.label, refusal.detail)
        elif before is not None:
            self._enter(State.WAITING, self.standing.since, reasons.NO_PLAN)

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
            if self._is_of_an_earlier_motion(t_obs) or self._paused_by_a_long_hold(now):
                return False
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

    # Requests of an operator, through `operator.Operator`.

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
