"""PolicyReplay: what policy_node would have done with a bag, on the bag's clock, without waiting for it to pass.

The same observation/, inference/ and control/ code as in the node, driven by the times at which the messages were
recorded; the rules that the node keeps in its threads and timers are followed here in their order:

* An observation is taken when an image comes (or 50 ms have passed), at most `inference_rate` times a second, when
  every camera has a new image, or 50 ms after the last one was taken; inputs must be fresh and belong together.
* Its chunk arrives some latency later: by default none, so that a result does not depend on the machine it was
  computed on; a fixed time; or as measured, the wall time of `predict`. Meanwhile no other observation is taken.
* The arm is told to hold, and the plan forgotten, when an input goes stale, the plan runs out, an inference fails or
  the clock jumps back; it goes on with the next good chunk from where it was measured.

Streaming controllers are followed at the steps of the plan instead of each of their ticks. What an arm does when it
coasts or holds is not compared.
"""

from __future__ import annotations

import math
import time
from typing import Any

from act_inference_ros.errors import InferenceError, ObservationError
from act_inference_ros.evaluation.comparison.executed_plan import ExecutedPlan
from act_inference_ros.evaluation.comparison.truth_comparison import TruthComparison
from act_inference_ros.evaluation.metrics.series import thumbnail
from act_inference_ros.evaluation.metrics.tally import Tally
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.interfaces import MERGES
from act_inference_ros.observation.binding import bind_inputs
from act_inference_ros.observation.inputs import Selection
from act_inference_ros.observation.refusal import ObservationRefused, Refusal
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.spec import Chunk

POLL_S = 0.05
MAX_GAP_S = 60.0
"""In a longer silence of the bag the node's timers are followed for this long only."""
MAX_FAILURES = 10
"""Inferences in a row: then the server is gone, and every further one would cost a timeout."""


class PolicyReplay:
    """One episode. Times are seconds on the bag's clock; `latency_s` None: as measured.

    Of the observations the node would take, every `stride`-th is predicted from. `broken` says why it makes no sense
    to go on, else None.
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
    ) -> None:
        self.broken: str | None = None
        self.holding: str | None = "no plan yet"
        self._configuration = configuration
        self._client = client
        self._tally = tally
        self._comparison = comparison
        self._latency_s = latency_s
        self._stride = stride
        self._taken = 0
        self._now = start_s
        self._inputs = bind_inputs(configuration, client.spec, client.takes_jpeg)
        self._plans = {merge: ExecutedPlan(configuration, merge) for merge in MERGES}
        self._tick_s = configuration.tick_period_s
        self._measured: dict[str, tuple[float, float]] = {}
        self._failures = 0
        self._begin(start_s)

    def add_image(self, camera: str, msg: Any, received: float) -> None:
        """Take a camera's message; may take an observation and predict."""
        self._note(self._inputs.add_image(camera, msg, received))
        self._attempt(received)

    def add_state(self, msg: Any, received: float) -> None:
        """Take a message of the state topic."""
        if len(msg.name) == len(msg.position):
            self._measured.update(
                {
                    name: (float(at), received)
                    for name, at in zip(msg.name, msg.position, strict=True)
                    if math.isfinite(at)
                }
            )
        if self._client.spec.state_dim is not None:
            self._note(self._inputs.add_state(msg, received))

    def add_environment_state(self, msg: Any, received: float) -> None:
        """Take a message of the environment state's topic."""
        self._note(self._inputs.add_environment_state(msg, received))

    def advance_to(self, now: float) -> None:
        """Let the node's timers run, and a chunk on its way arrive, up to `now`."""
        if now < self._now:
            return  # recorded a little out of order
        if now > self._now + MAX_GAP_S:
            self._run_timers(self._now + MAX_GAP_S)
            self._next_tick = self._next_poll = now
        self._run_timers(now)
        self._now = now

    def jump_back(self, now: float) -> None:
        """The bag's clock was set back: plan, inputs and measured positions are of a time that no longer exists."""
        self._hold(self._now, "the clock jumped back")
        self._inputs.clear()
        self._measured.clear()
        self._begin(now)

    def finish(self, end: float) -> None:
        """The bag is over; what is on its way still counts, as far as there is a truth for it."""
        if self._arriving is not None:
            self._arrive(self._arriving[2])
        for merge, plan in self._plans.items():
            if plan.running:
                plan.hold(end)
            self._comparison.add_executed(merge, plan.take())

    def _begin(self, now: float) -> None:
        self._now = self._next_tick = self._next_poll = self._last_look = now
        self._last_t_obs = self._earliest = -math.inf
        self._plan_end = now
        self._arriving: tuple[Chunk, float, float] | None = None  # chunk, t_obs, arrival

    def _run_timers(self, until: float) -> None:
        while True:
            arrival = self._arriving[2] if self._arriving is not None else math.inf
            tick = self._next_tick if self.holding is None else math.inf
            event = min(arrival, tick, self._next_poll)
            if event > until:
                break
            if event == arrival:
                self._arrive(event)
            elif event == tick:
                self._tick(event)
                self._next_tick = event + self._tick_s
            else:
                self._next_poll = event + POLL_S
                self._attempt(event)
        if self.holding is not None:
            self._next_tick = until

    def _attempt(self, now: float) -> None:
        """Take an observation if the node would, and predict."""
        if self._arriving is not None or self.broken is not None:
            return
        if now < self._earliest:
            self._next_poll = min(self._next_poll, self._earliest)
            return
        if now - self._last_look < POLL_S and not self._inputs.has_news_since(self._last_t_obs):
            return
        try:
            selection = self._inputs.select(now)
        except ObservationRefused as refused:
            self._note(refused.refusal)
            return
        if selection.t_obs <= self._last_t_obs:
            return
        self._last_look, self._last_t_obs = now, selection.t_obs
        self._earliest = now + 1.0 / self._configuration.inference_rate
        self._taken += 1
        if (self._taken - 1) % self._stride:
            return
        try:
            self._predict(selection, now)
        except ObservationRefused as refused:
            self._note(refused.refusal)
            self._inputs.discard(selection, refused.refusal)

    def _predict(self, selection: Selection, now: float) -> None:
        observation = self._inputs.decode(selection)
        self._tally.observations += 1
        self._tally.skew.add(max(selection.stamps.values()) - min(selection.stamps.values()))
        started = time.perf_counter()
        try:
            chunk = self._client.predict(observation)
        except (InferenceError, ObservationError) as error:
            self._fail(error, now)
            return
        inference_s = time.perf_counter() - started
        self._failures = 0
        self._tally.chunks += 1
        images = {
            image.camera: thumbnail(pixels)
            for image in self._client.spec.images
            if not isinstance(pixels := observation[image.key], bytes)
        }
        self._comparison.add_chunk(chunk, selection.t_obs, images)
        arrival = now + (inference_s if self._latency_s is None else self._latency_s)
        self._comparison.add_latency(selection.t_obs, inference_s, arrival - selection.t_obs)
        self._arriving = (chunk, selection.t_obs, arrival)
        if arrival <= now:
            self._arrive(now)

    def _arrive(self, now: float) -> None:
        """Let the chunk on its way join the plan, if the node would."""
        if self._arriving is None:
            return
        (chunk, t_obs, _), self._arriving = self._arriving, None
        if self._stop_if_stale(now):
            return
        oldest = now - self._configuration.max_age
        measured = {name: at for name, (at, time) in self._measured.items() if time >= oldest}
        unmeasured = [name for name in self._configuration.action.names if name not in measured]
        if self.holding is not None and unmeasured:
            self._tally.refuse("joint not measured", f"no position of {', '.join(unmeasured)} in the state topic")
            self._hold(now, "joint not measured")
            return
        for merge, plan in self._plans.items():
            jump = plan.accept(chunk, t_obs, now, measured)
            self._comparison.add_executed(merge, plan.take())
            if jump is not None:
                self._tally.by_merge[merge].seams.jump.add(jump[None])
        horizon = self._plans[self._configuration.merge].horizon(now)
        if horizon <= 0.0:
            self._tally.refuse("chunk too late", f"it was over {now - t_obs:.2f} s after its observation")
            self._hold(now, "chunk too late", force=True)
            return
        self._plan_end = now + horizon
        if self.holding is not None:
            self.holding, self._next_tick = None, now + self._tick_s

    def _tick(self, now: float) -> None:
        if not self._stop_if_stale(now) and now > self._plan_end + self._configuration.coast_time:
            self._hold(now, "plan ran out")

    def _stop_if_stale(self, now: float) -> bool:
        refusal = self._inputs.fresh(now)
        if refusal is not None:
            self._hold(now, refusal.label)
        return refusal is not None

    def _hold(self, now: float, reason: str, force: bool = False) -> None:
        if self.holding is None:
            self._tally.holds[reason] += 1
        if self.holding is None or force:
            for merge, plan in self._plans.items():
                plan.hold(now)
                self._comparison.add_executed(merge, plan.take())
        self.holding = reason

    def _fail(self, error: Exception, now: float) -> None:
        kind = type(error).__name__
        self._tally.failures[kind] += 1
        self._tally.refused_examples.setdefault(f"inference failed: {kind}", str(error))
        self._failures += 1
        self._hold(now, "inference failed")
        if self._failures >= MAX_FAILURES:
            self.broken = f"{MAX_FAILURES} inferences in a row failed, the last: {error}"

    def _note(self, refusal: Refusal | None) -> None:
        if refusal is not None:
            self._tally.refuse(refusal.label, refusal.detail)
