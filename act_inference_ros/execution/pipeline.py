"""Pipeline: joins inputs, taker and supervisor. It has no clock; its caller reports the events.

The node drives it from its executor and its inference thread, under one lock; the bag evaluator and the simulated
episodes drive it from a loop over recorded or simulated time. All of them only pass events on, so a fault has the same
effect everywhere.
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

_UNKNOWN_PLACE = (Reason.FUTURE, Reason.TWICE)
"""After a refusal for one of these reasons the message's positions are not used: their time or source is unsure."""


class Inputs(Protocol):
    """The inputs as the pipeline needs them; `observation.inputs.ObservationInputs` implements this."""

    def configure(self, max_age: float, max_skew: float, max_still: float, hold_if_stuck: bool) -> None:
        """Take new live parameters."""

    def add_image(self, camera: str, msg: Any, received: float) -> Refusal | None:
        """Take an image message; return why it was refused, or None."""

    def add_state(self, msg: Any, received: float, topic: str = "") -> Refusal | None:
        """Take a JointState from one of the state's topics; return why it was refused, or None."""

    def add_environment_state(self, msg: Any, received: float) -> Refusal | None:
        """Take an environment state; return why it was refused, or None."""

    def time_of(self, msg: Any, received: float) -> float | None:
        """Return when a message was taken, s; None if its header should carry the time and does not."""

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
    """An observation that was taken but is not decoded yet, and the generation it belongs to."""

    selection: Selection
    generation: int

    @property
    def t_obs(self) -> float:
        """The observation's time, s."""
        return self.selection.t_obs


class Pipeline:
    """The events. Times are s on one clock; no two threads may call methods at the same time.

    `warm_up_s` is the backend's slowest warm-up, which stands for the inference time until there are chunks;
    `inference_s` is given if the inference time is only simulated. The other arguments are as for `Supervisor`.
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

    def image(self, camera: str, msg: Any, now: float, waited_s: float = 0.0) -> Refusal | None:
        """Take a camera's message, which came `waited_s` ago; returns why it was refused, or None."""
        self.supervisor.look_at_clock(now)
        return self.inputs.add_image(camera, msg, now - waited_s)

    def state(self, msg: Any, now: float, topic: str = "", waited_s: float = 0.0) -> Refusal | None:
        """Take a message with joint states from one of the state's topics; returns why it was refused, or None.

        `topic` is optional if there is only one. The message came `waited_s` ago.
        """
        self.supervisor.look_at_clock(now)
        refusal = self.inputs.add_state(msg, now - waited_s, topic)
        taken = self.inputs.time_of(msg, now - waited_s)
        if taken is not None and (refusal is None or refusal.reason not in _UNKNOWN_PLACE):
            # A message that has only some of the joints is allowed.
            self.supervisor.measure(msg.name, msg.position, min(taken, now))
        return refusal

    def controller_state(self, controller: str, state: ControllerState, now: float) -> None:
        """Take the state of a trajectory controller, with its wanted joint positions."""
        self.supervisor.look_at_clock(now)
        self.supervisor.overlap.referred(controller, state.positions, state.time, state.speed, now)

    def environment_state(self, msg: Any, now: float, waited_s: float = 0.0) -> Refusal | None:
        """Take an environment state, which came `waited_s` ago; returns why it was refused, or None."""
        self.supervisor.look_at_clock(now)
        return self.inputs.add_environment_state(msg, now - waited_s)

    def tick(self, now: float) -> None:
        """Note that one command period has passed."""
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
        if selection is None:
            return None
        self.supervisor.inferring_since = now
        return Taken(selection, self._generation)

    def passed_over(self) -> None:
        """Note that no chunk is predicted from the observation that was taken."""
        self.supervisor.inferring_since = None

    def undecodable(self, taken: Taken, refusal: Refusal) -> None:
        """Note that an image of a taken observation could not be decoded."""
        self.supervisor.inferring_since = None
        self.inputs.discard(taken.selection, refusal)
        self.supervisor.refused(refusal)

    def chunk(self, taken: Taken, chunk: Chunk, now: float, inference_s: float, source: str = "") -> bool:
        """Take a chunk computed by `source`; returns whether it was accepted."""
        self.supervisor.inferring_since = None
        accepted = self.supervisor.accept(chunk, taken.t_obs, now, taken.generation)
        self.statistics.inferred(inference_s, now - taken.t_obs, accepted, source)
        self._expect(source)
        return accepted

    def failed(self, taken: Taken, error: Exception, now: float) -> None:
        """Note that no chunk could be computed."""
        self.supervisor.inferring_since = None
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
        """Forget what was taken if the plan was forgotten or the clock jumped: old times may be of another clock."""
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
