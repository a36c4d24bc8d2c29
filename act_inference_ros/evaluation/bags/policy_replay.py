"""PolicyReplay: what policy_node would have done with a bag, on the bag's clock, without waiting for it to pass.

The node's own pipeline (inputs, taker, supervisor, commanders) gets the recorded messages at their times of recording,
a tick in every period of the commands, and each chunk at its time of arrival. Nobody executes the plan. So when a
motion starts, the supervisor assumes that the measured arm is exactly at its commanded position, and it checks neither
for listeners nor whether the arm follows.

A chunk, or the failure to compute one, arrives some latency after its observation was taken. The latency is 0 by
default, so that a result does not depend on the machine; it may be a fixed time, or the measured wall time of
`predict`. Meanwhile no other observation is taken; after that, a newer image is used at once. The configured merge is
supervised; other merges that the tally asks for are executed along with it, for comparison.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from act_inference_ros.control.commanders import make_commander
from act_inference_ros.errors import InferenceError, ObservationError
from act_inference_ros.evaluation.comparison.executed_plan import ExecutedPlan
from act_inference_ros.evaluation.comparison.truth_comparison import TruthComparison
from act_inference_ros.evaluation.metrics.series import thumbnail
from act_inference_ros.evaluation.metrics.tally import Tally
from act_inference_ros.evaluation.watch import EpisodeWatch
from act_inference_ros.execution.pipeline import Pipeline, Taken
from act_inference_ros.execution.states import Standing, State
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.interfaces import Command
from act_inference_ros.observation.binding import bind_inputs
from act_inference_ros.observation.refusal import ObservationRefused, Refusal
from act_inference_ros.observation.selection import Selection
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.spec import Chunk

POLL_S = 0.05
"""How long the node's inference thread waits for an image before it looks for an observation without one."""
MAX_GAP_S = 60.0
"""In a longer gap between messages, the node's timers run only for this long."""
LOOK_AT_PLANS_S = 0.25
"""Period at which the commanded plan is collected, for comparison while the operator's motion is remembered."""
MAX_FAILURES = 10
"""After this many failed inferences in a row the server is gone; every further one would cost a timeout."""


@dataclass(frozen=True)
class _Coming:
    """A running inference: its result, which arrives at `arrival`, s on the bag's clock."""

    taken: Taken
    result: Chunk | Exception
    arrival: float
    inference_s: float


class PolicyReplay:
    """One episode. Times are seconds on the bag's clock; `latency_s` None means the measured latency.

    The policy predicts from every `stride`-th observation that the node would take. `broken` says why it makes no sense
    to continue, else None. `commands` receives the controllers' commands, each with the controller's name; nobody
    executes them.
    """

    def __init__(
        self,
        configuration: RobotConfiguration,
        client: InferenceClient,
        tally: Tally,
        comparison: TruthComparison,
        latency_s: float | None,
        stride: int,
        start_s: float,
        watch: EpisodeWatch | None = None,
    ) -> None:
        self.broken: str | None = None
        self.commands: list[tuple[str, Command]] | None = None
        self._configuration = configuration
        self._client = client
        self._tally = tally
        self._comparison = comparison
        self._watch = watch or EpisodeWatch()
        self._latency_s = latency_s
        self._stride = stride
        self._taken = 0
        self._failures = 0
        self._noted: Refusal | None = None
        configuration = configuration.rehearsed
        self._inputs = bind_inputs(configuration, client.spec, client.takes_jpeg)
        self._plans = {merge: ExecutedPlan(configuration, merge) for merge in tally.by_merge}
        self._pipeline = Pipeline(
            configuration,
            self._inputs,
            [make_commander(each, configuration, self._sender(each.name)) for each in configuration.controllers],
            closed_loop=False,
            stride=stride,
            warm_up_s=client.warm_up_s,
            inference_s=latency_s,
        )
        self._tick_s = configuration.tick_period_s
        self._now = start_s
        self._plans_seen = start_s
        self._next_tick = start_s + self._tick_s  # as in the node's timer and its thread
        self._next_look = start_s + POLL_S
        self._news = False
        self._coming: _Coming | None = None
        self._pipeline.supervisor.activate(start_s)

    @property
    def standing(self) -> Standing:
        """The supervisor's standing."""
        return self._pipeline.supervisor.standing

    def add_image(self, camera: str, msg: Any, received: float) -> None:
        """Take a camera's message; may take an observation and predict."""
        self.add_images({camera: msg}, received)

    def add_images(self, messages: Mapping[str, Any], received: float) -> None:
        """Take messages of cameras (camera -> message) that come at once; may then take an observation and predict."""
        for camera, msg in messages.items():
            self._note(self._pipeline.image(camera, msg, received))
        self._news = True
        self._attempt(received)

    def time_of(self, msg: Any, received: float) -> float | None:
        """Return the message's time by the node's rule, s; None if its header has none."""
        return self._inputs.time_of(msg, received)

    def add_state(self, msg: Any, received: float, topic: str = "") -> None:
        """Take a message of one of the state's topics; `topic` may be empty if there is only one."""
        self._note(self._pipeline.state(msg, received, topic))

    def add_environment_state(self, msg: Any, received: float) -> None:
        """Take a message of the environment state's topic."""
        self._note(self._pipeline.environment_state(msg, received))

    def advance_to(self, now: float) -> None:
        """Let the node's timers run, and a pending chunk arrive, up to `now`."""
        if now < self._now:
            return  # recorded a little out of order
        if now > self._now + MAX_GAP_S:
            self._run_timers(self._now + MAX_GAP_S)
            self._next_tick = self._next_look = now
        self._run_timers(now)
        self._now = now

    def jump_back(self, now: float) -> None:
        """Handle a bag's clock that was set back: plan, inputs and measured positions are then no longer valid.

        As in ROS, a timer's next call is one period away; work that takes wall time, such as an inference, continues.
        """
        self._supervised(now, lambda: self._pipeline.supervisor.look_at_clock(now), ended=self._now)
        for plan in self._plans.values():
            plan.forget()
        back = now - self._now
        self._plans_seen = now
        self._now, self._next_tick, self._next_look = now, now + self._tick_s, self._next_look + back
        if self._coming is not None:
            self._coming = replace(self._coming, arrival=self._coming.arrival + back)

    def finish(self, end: float) -> None:
        """End the bag; a pending chunk still counts, as far as there is a truth for it."""
        if self._coming is not None:
            self._arrive(self._coming, self._coming.arrival)
        self._tally.holds.update(self._pipeline.supervisor.holds)
        self._end_plans(end)
        for merge, plan in self._plans.items():
            self._tally.by_merge[merge].limits.add_commands(plan.commands, plan.smoothed, plan.bridged)

    def _sender(self, controller: str) -> Callable[[Command], None]:
        def send(command: Command) -> None:
            if self.commands is not None:
                self.commands.append((controller, command))

        return send

    def _run_timers(self, until: float) -> None:
        while True:
            coming = self._coming
            look = self._next_look if coming is None else math.inf
            event = min(math.inf if coming is None else coming.arrival, self._next_tick, look)
            if event > until:
                return
            if coming is not None and event == coming.arrival:
                self._arrive(coming, event)
                self._look_again(event)
            elif event == self._next_tick:
                self._tick(event)
                self._next_tick = event + self._tick_s
            else:
                self._attempt(event)

    def _tick(self, now: float) -> None:
        self._supervised(now, lambda: self._pipeline.tick(now))
        if now >= self._plans_seen + LOOK_AT_PLANS_S:
            self._look_at_plans(now)

    def _look_at_plans(self, now: float) -> None:
        self._plans_seen = now
        for merge, plan in self._plans.items():
            plan.advance(now)
            self._comparison.add_executed(merge, *plan.take())

    def _look_again(self, now: float) -> None:
        """Use the inputs that came during an inference, now that it is over."""
        self._next_look = now + POLL_S
        if self._news:
            self._attempt(now)

    def _attempt(self, now: float) -> None:
        """Take an observation if the node would, and predict."""
        if self._coming is not None:
            return
        self._next_look = now + POLL_S
        if self.broken is not None:
            return
        due = self._pipeline.due(now)
        if due > 0.0:
            self._next_look = now + due
            return
        self._news = False
        taken = self._pipeline.take(now)
        if taken is None:
            self._note(self._pipeline.taker.refusal)
            return
        self._taken += 1
        if (self._taken - 1) % self._stride:
            self._pipeline.passed_over()
            return
        try:
            self._predict(taken, now)
        except ObservationRefused as refused:
            self._note(refused.refusal)
            self._pipeline.undecodable(taken, refused.refusal)

    def _predict(self, taken: Taken, now: float) -> None:
        selection = taken.selection
        observation = self._inputs.decode(selection)
        self._tally.observations += 1
        self._watch.observed(observation, selection.stamps)
        self._tally.skew.add(max(selection.stamps.values()) - min(selection.stamps.values()))
        started = time.perf_counter()
        result: Chunk | Exception
        try:
            result = self._client.predict(observation)
        except (InferenceError, ObservationError) as error:
            result = error
        inference_s = time.perf_counter() - started
        arrival = now + (inference_s if self._latency_s is None else self._latency_s)
        self._coming = coming = _Coming(taken, result, arrival, inference_s)
        if isinstance(result, Exception):
            self._count_failure(result)
        else:
            self._count_chunk(result, selection, observation, coming)
        if arrival <= now:
            self._arrive(coming, now)

    def _count_chunk(self, chunk: Chunk, selection: Selection, observation: Mapping[str, Any], coming: _Coming) -> None:
        self._failures = 0
        self._tally.chunks += 1
        images = {
            image.camera: thumbnail(pixels)
            for image in self._client.spec.images
            if not isinstance(pixels := observation[image.key], bytes)
        }
        self._watch.predicted(chunk, selection.t_obs, coming.arrival)
        self._comparison.add_chunk(chunk, selection.t_obs, images)
        self._comparison.add_latency(selection.t_obs, coming.inference_s, coming.arrival - selection.t_obs)

    def _count_failure(self, error: Exception) -> None:
        kind = type(error).__name__
        self._tally.failures[kind] += 1
        self._tally.refused_examples.setdefault(f"inference failed: {kind}", str(error))
        self._failures += 1
        if self._failures >= MAX_FAILURES:
            self.broken = f"{MAX_FAILURES} inferences in a row failed, the last: {error}"

    def _arrive(self, coming: _Coming, now: float) -> None:
        """Let the pending chunk join the plan, if the node would."""
        self._coming = None
        taken, chunk, inference_s = coming.taken, coming.result, coming.inference_s
        if isinstance(chunk, Exception):
            error = chunk
            self._supervised(now, lambda: self._pipeline.failed(taken, error, now))
            return
        supervisor = self._pipeline.supervisor
        here = supervisor.measured(now)
        accepted = False

        def arrive() -> None:
            nonlocal accepted
            accepted = self._pipeline.chunk(taken, chunk, now, inference_s, self._client.source)

        self._supervised(now, arrive)
        if not accepted:
            if supervisor.state in (State.HOLDING, State.WAITING) and supervisor.standing.reason:
                self._tally.refuse(supervisor.standing.reason, supervisor.standing.detail)
            return
        for merge, plan in self._plans.items():
            plan.accept(chunk, taken.t_obs, now, here, supervisor.max_plan_age)
            self._comparison.add_executed(merge, *plan.take())

    def _supervised(self, now: float, event: Callable[[], object], ended: float | None = None) -> None:
        """Pass an event on; if it ends the motion, the executed plan ends, too (at `ended`, else now)."""
        before = self._pipeline.supervisor.state
        event()
        if before is State.COMMANDING and self._pipeline.supervisor.state is not State.COMMANDING:
            self._end_plans(now if ended is None else ended)

    def _end_plans(self, now: float) -> None:
        for merge, plan in self._plans.items():
            plan.hold(now)
            self._comparison.add_executed(merge, *plan.take())

    def _note(self, refusal: Refusal | None) -> None:
        """Count a refusal once, although a message's refusal is also why no observation can be taken."""
        if refusal is not None and refusal is not self._noted:
            self._noted = refusal
            self._tally.refuse(refusal.label, refusal.detail)
