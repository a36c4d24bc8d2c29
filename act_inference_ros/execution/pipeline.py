"""Pipeline: inputs, taker and supervisor put together, driven by events; whoever has a clock tells it what happens.

The node drives it from its executor and its inference thread, under one lock; the bag evaluator and the simulated
episodes drive it from a loop over recorded or simulated time. Since each of them only passes events on, what a fault
leads to is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from act_inference_ros.control.commander import Commander
from act_inference_ros.errors import AnotherPolicyError
from act_inference_ros.execution.controller_state import ControllerState
from act_inference_ros.execution.inference_statistics import InferenceStatistics
from act_inference_ros.execution.operator import Operator
from act_inference_ros.execution.supervisor import Supervisor
from act_inference_ros.execution.taker import Taker
from act_inference_ros.observation.refusal import Reason, Refusal
from act_inference_ros.observation.selection import Selection
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.spec import Chunk


class Inputs(Protocol):
    """What the pipeline needs of the inputs; `observation.inputs.ObservationInputs` has it."""

    def configure(self, max_age: float, max_skew: float, max_still: float, hold_if_stuck: bool) -> None:
        """Take new live parameters."""

    def add_image(self, camera: str, msg: Any, received: float) -> Refusal | None:
        """Take an image message; return why it was refused, or None."""

    def add_state(self, msg: Any, received: float) -> Refusal | None:
        """Take a JointState; return why it was refused, or None."""

    def add_environment_state(self, msg: Any, received: float) -> Refusal | None:
        """Take an environment state; return why it was refused, or None."""

    def time_of(self, msg: Any, received: float) -> float | None:
        """Return when a message was taken, s; None for one that says so itself and does not."""

    def discard(self, selection: Selection, refusal: Refusal) -> None:
        """Forget the image that could not be decoded."""

    def has_news_since(self, t_obs: float) -> bool:
        """Whether every camera (every vector, without cameras) has something newer than `t_obs`."""

    def select(self, now: float) -> Selection:
        """Choose the messages of the newest observation, or raise ObservationRefused."""

    def fresh(self, now: float) -> Refusal | None:
        """Return the first input that is missing, too old or from the future; None when all are usable."""

    def clear(self) -> None:
        """Forget every message."""


@dataclass(frozen=True)
class Taken:
    """An observation that was taken, still to be decoded, and the generation it belongs to."""

    selection: Selection
    generation: int

    @property
    def t_obs(self) -> float:
        """The observation's time, s."""
        return self.selection.t_obs


class Pipeline:
    """The events. Times are s on one clock; none of the methods is safe to be called by two threads at once.

    `warm_up_s` is the backend's slowest warm-up, which stands for the inference time until there have been chunks;
    `inference_s` is given where inference only pretends to take so long. The rest is as for `Supervisor`.
    """

    def __init__(
        self,
        configuration: RobotConfiguration,
        inputs: Inputs,
        commanders: Sequence[Commander],
        *,
        closed_loop: bool = True,
        stride: int = 1,
        warm_up_s: float = 0.0,
        inference_s: float | None = None,
    ) -> None:
        self.inputs = inputs
        self.taker = Taker(inputs, configuration.inference_rate)
        self.supervisor = Supervisor(configuration, inputs, commanders, closed_loop, stride)
        self.operator = Operator(self.supervisor)
        self.statistics = InferenceStatistics(warm_up_s)
        self._pretended_s = inference_s
        self._generation = self.supervisor.generation
        self._take(configuration)
        self._expect(source="")

    def configure(self, configuration: RobotConfiguration, now: float) -> None:
        """Take new live parameters."""
        self._take(configuration)
        self.supervisor.configure(configuration, now)

    def image(self, camera: str, msg: Any, now: float) -> Refusal | None:
        """A camera's message has come; returns why it was refused, or None."""
        self.supervisor.look_at_clock(now)
        return self.inputs.add_image(camera, msg, now)

    def state(self, msg: Any, now: float) -> Refusal | None:
        """A message with joint states has come; returns why it was refused, or None."""
        self.supervisor.look_at_clock(now)
        refusal = self.inputs.add_state(msg, now)
        taken = self.inputs.time_of(msg, now)
        if taken is not None and (refusal is None or refusal.reason is not Reason.FUTURE):
            # Otherwise nobody knows when the joints were there. A message that has only some of them is welcome.
            self.supervisor.measure(msg.name, msg.position, min(taken, now))
        return refusal

    def controller_state(self, controller: str, state: ControllerState, now: float) -> None:
        """A trajectory controller has said where it wants its joints."""
        self.supervisor.look_at_clock(now)
        self.supervisor.overlap.referred(controller, state.positions, state.time, state.speed, now)

    def environment_state(self, msg: Any, now: float) -> Refusal | None:
        """An environment state has come; returns why it was refused, or None."""
        self.supervisor.look_at_clock(now)
        return self.inputs.add_environment_state(msg, now)

    def tick(self, now: float) -> None:
        """One period of the commands has passed."""
        self.supervisor.tick(now)

    def due(self, now: float) -> float:
        """Return for how many seconds from `now` on no observation will be taken."""
        self.supervisor.look_at_clock(now)
        self._begin_anew_if_told()
        return self.taker.due(now)

    def take(self, now: float) -> Taken | None:
        """Return a new observation to predict from, or None if it is too early or there is none."""
        self.supervisor.look_at_clock(now)
        self._begin_anew_if_told()
        selection = self.taker.take(now)
        self.supervisor.refused(self.taker.refusal)
        return None if selection is None else Taken(selection, self._generation)

    def undecodable(self, taken: Taken, refusal: Refusal) -> None:
        """An image of a taken observation turned out not to be one."""
        self.inputs.discard(taken.selection, refusal)
        self.supervisor.refused(refusal)

    def chunk(self, taken: Taken, chunk: Chunk, now: float, inference_s: float, source: str = "") -> bool:
        """A chunk has come, computed by `source`; returns whether it was of use."""
        accepted = self.supervisor.accept(chunk, taken.t_obs, now, taken.generation)
        self.statistics.inferred(inference_s, now - taken.t_obs, accepted, source)
        self._expect(source)
        return accepted

    def failed(self, taken: Taken, error: Exception, now: float) -> None:
        """No chunk could be computed."""
        self.statistics.failed(error)
        if taken.generation != self.supervisor.generation:
            return
        if isinstance(error, AnotherPolicyError):
            self.supervisor.found_another_policy(now, taken.t_obs, error.policy_id, str(error))
        else:
            self.supervisor.fail(now, str(error))

    def take_policy_acceptance(self) -> str:
        """Return, once, the policy_id of another policy that somebody has accepted; empty if nobody has."""
        accepted, self.supervisor.policy_accepted = self.supervisor.policy_accepted, ""
        return accepted

    def _begin_anew_if_told(self) -> None:
        """Forget what was taken if the plan was forgotten or the clock jumped: times may be of another clock."""
        if self._generation != self.supervisor.generation:
            self._generation = self.supervisor.generation
            self.taker.restart()

    def _take(self, configuration: RobotConfiguration) -> None:
        self.taker.inference_rate = configuration.inference_rate
        self.inputs.configure(
            configuration.max_age, configuration.max_skew, configuration.max_still, configuration.hold_if_stuck
        )

    def _expect(self, source: str) -> None:
        """Tell the supervisor how long an inference takes."""
        expected = self.statistics.expected_s(source) if self._pretended_s is None else self._pretended_s
        self.supervisor.inference_s = expected
