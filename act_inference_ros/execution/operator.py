"""Operator: the requests that a person at the robot, or a program, may make to the supervisor, and the answers."""

from __future__ import annotations

from act_inference_ros.execution import reasons
from act_inference_ros.execution.states import RUNNING, Answer, State
from act_inference_ros.execution.supervisor import Supervisor

REQUESTS = ("reset", "pause", "resume", "stop", "clear_stop", "go_to_start")
"""The names of the requests; the services have the same names."""

RESUME = "call ~/resume to go on"
CLEAR = "call ~/clear_stop, then ~/resume"


class Operator:
    """The requests. Each is answered at once and none blocks; only `resume` and `go_to_start` lead to motion."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def reset(self, now: float) -> Answer:
        """Hold and forget plan, inputs and running inferences, as between episodes; a stop or a pause stays."""
        supervisor = self._supervisor
        if supervisor.state is State.INACTIVE:
            return Answer(True, "not active: there is no plan to forget")
        if supervisor.state in RUNNING:
            supervisor.enter(now, State.WAITING, reasons.RESET)
        supervisor.reset(now)
        return Answer(True, "the plan is forgotten")

    def pause(self, now: float) -> Answer:
        """Hold until `resume`."""
        if self._supervisor.state not in RUNNING:
            return Answer(self._supervisor.state is State.PAUSED, self._it_is())
        self._supervisor.enter(now, State.PAUSED, reasons.OPERATOR, RESUME)
        return Answer(True, f"paused; {RESUME}")

    def resume(self, now: float) -> Answer:
        """Continue after a pause, with the next observation."""
        if self._supervisor.state is not State.PAUSED:
            hint = "; call ~/clear_stop first" if self._supervisor.state is State.STOPPED else ""
            return Answer(self._supervisor.state in RUNNING, f"{self._it_is()}{hint}")
        self._supervisor.enter(now, State.WAITING, reasons.NO_PLAN)
        return Answer(True, "going on with the next observation")

    def stop(self, now: float) -> Answer:
        """Hold until `clear_stop` and `resume`."""
        if self._supervisor.state is State.INACTIVE:
            return Answer(False, "not active: nothing is commanded")
        if self._supervisor.state is not State.STOPPED:
            self._supervisor.enter(now, State.STOPPED, reasons.OPERATOR, CLEAR)
        return Answer(True, f"stopped; {CLEAR}")

    def clear_stop(self, now: float) -> Answer:
        """End a stop; this leads to `paused`, never to motion."""
        if self._supervisor.state is not State.STOPPED:
            return Answer(True, f"there is no stop to clear: {self._it_is()}")
        if self._supervisor.standing.reason == reasons.INTERNAL_FAULT:
            return Answer(False, f"{self._it_is()}; the node ends, start it again")
        was = self._supervisor.standing.reason
        if was == reasons.ANOTHER_POLICY:
            self._supervisor.accept_policy()
        self._supervisor.enter(now, State.PAUSED, reasons.CLEARED, f"it was: {was}; {RESUME}")
        return Answer(True, f"cleared; {RESUME}")

    def go_to_start(self, pose: tuple[float, ...], now: float) -> Answer:
        """Begin to move slowly to `pose` (n,), ROS units, under all rules, and pause there."""
        if not pose:
            return Answer(False, "start_pose is empty: give it in the parameter file, in the order of action.joints")
        if self._supervisor.state in (State.INACTIVE, State.STOPPED):
            return Answer(False, self._it_is())
        why = self._supervisor.begin_start_pose(pose, now)
        return Answer(why is None, why or "on the way to the start pose; ~/pause or ~/stop ends it")

    def _it_is(self) -> str:
        return f"it is {self._supervisor.standing.text}"
