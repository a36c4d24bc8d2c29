"""Supervisor: decides at every instant whether the arm may be commanded, and by what.

It has no clock, no thread and no lock of its own: every method is told what time it is, by one caller at a time.

Commands flow only while the node is active, every input is fresh, the last inference did not fail and the plan covers
now (or ran out at most coast_time ago). When one of these ends the arm is told to hold, the plan is forgotten, and
commanding starts again by itself with the next good chunk, from where the arm was measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from act_inference_ros.control.commander import Commander
from act_inference_ros.control.timeline import ActionTimeline
from act_inference_ros.observation.refusal import Refusal
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.spec import Chunk

CLOCK_JITTER_S = 0.001
"""ROS time read from two threads may seem to go back by a little; more is a jump."""


class Inputs(Protocol):
    """What the supervisor wants to know of the inputs; `observation.inputs.ObservationInputs` tells it."""

    max_age: float
    max_skew: float

    def fresh(self, now: float) -> Refusal | None:
        """Return the first input that is missing, too old or from the future; None when all are usable."""

    def clear(self) -> None:
        """Forget every message."""


class Supervisor:
    """The plan, the commanders and the reason why nothing is commanded (`holding`; None while commanding)."""

    def __init__(self, configuration: RobotConfiguration, inputs: Inputs, commanders: Sequence[Commander]) -> None:
        self._inputs = inputs
        self.holding: str | None = "inactive"
        self.detail = ""
        self.generation = 0
        """Counts what makes an inference in flight worthless: deactivation, reset, a clock that jumped."""
        self.holds: dict[str, int] = {}
        self._stopped = True
        self._commanders = list(commanders)
        self._measured: dict[str, tuple[float, float]] = {}  # joint -> position in ROS units, time in s
        self._now = 0.0
        self._plan_end = 0.0
        self.configure(configuration)

    def configure(self, configuration: RobotConfiguration) -> None:
        """Take new live parameters; the plan is forgotten only if the way of merging changed."""
        merging = (
            configuration.fps,
            configuration.merge,
            configuration.blend_time,
            configuration.ensemble_coeff,
        )
        if getattr(self, "_merging", None) != merging:
            self._merging = merging
            self._timeline = ActionTimeline(*merging)
        self._coast_time = configuration.coast_time
        self._inputs.max_age = configuration.max_age
        self._inputs.max_skew = configuration.max_skew
        for controller, commander in zip(configuration.controllers, self._commanders, strict=True):
            commander.configure(configuration.action.joints, controller.lead_s, configuration.command_rate)

    @property
    def clamped(self) -> int:
        """Targets changed by a limit since configure."""
        return sum(commander.clamped for commander in self._commanders)

    def horizon(self, now: float) -> float:
        """Seconds of plan left."""
        return self._timeline.horizon(now)

    def activate(self) -> None:
        """Start looking at inputs; commands begin with the first chunk."""
        self._stopped = False
        self.forget("no plan yet")

    def stop(self, now: float, reason: str) -> None:
        """Hold, and command nothing more, whatever comes, until activated again."""
        self._stopped = True
        self.hold(now, reason)
        self.forget(reason)

    def measure(self, names: Sequence[str], positions: Sequence[float], now: float) -> None:
        """Remember where the joints are (ROS units), as start of the next motion; what is not a number is no place."""
        if len(names) == len(positions):
            self._measured.update(
                {name: (at, now) for name, at in zip(names, positions, strict=True) if math.isfinite(at)}
            )

    def measured(self, now: float) -> dict[str, float]:
        """Joint -> position, of those measured within max_age."""
        oldest = now - self._inputs.max_age
        return {name: position for name, (position, time) in self._measured.items() if time >= oldest}

    def accept(self, chunk: Chunk, t_obs: float, now: float, generation: int) -> bool:
        """Add a chunk to the plan and command it; False if it comes too late to be of use (`holding` says why)."""
        if self._stopped or generation != self.generation or self._jumped_back(now):
            return False
        if self._stop_if_stale(now):
            return False
        self._timeline.add(chunk, t_obs, now)
        if self._timeline.horizon(now) <= 0.0:
            self.hold(
                now, "chunk too late", f"it was over {now - t_obs:.2f} s after its observation; inference is slow"
            )
            return False
        measured = self.measured(now)
        unmeasured = [name for commander in self._commanders for name in commander.unknown_joints(measured)]
        if unmeasured:
            self.hold(now, "joint not measured", f"no position of {', '.join(unmeasured)} in the state topic")
            return False
        self._plan_end = now + self._timeline.horizon(now)
        for commander in self._commanders:
            # A stream that runs has its own rate.
            if self.holding is not None or not commander.streams:
                commander.follow(self._timeline, now, measured)
        self.holding = None
        return True

    def tick(self, now: float) -> None:
        """Stream the plan's target for now; hold where an input is stale or the plan has run out."""
        if self._stopped or self._jumped_back(now) or self._stop_if_stale(now) or self.holding is not None:
            return
        if now > self._plan_end + self._coast_time:
            self.hold(now, "plan ran out", f"no new chunk for {now - self._plan_end:.2f} s after the last one's end")
            return
        for commander in self._commanders:
            if commander.streams:
                commander.follow(self._timeline, now)

    def hold(self, now: float, reason: str, detail: str = "") -> None:
        """Tell the controllers to stay where they are and forget the plan. Repeated holds only update the reason."""
        if self.holding is None:
            for commander in self._commanders:
                commander.hold(now)
            self.holds[reason] = self.holds.get(reason, 0) + 1
        self.holding, self.detail = reason, detail
        self._timeline.clear()

    def forget(self, reason: str) -> None:
        """Forget plan, inputs and every inference in flight; the arm is not commanded until new inputs gave a chunk."""
        self.generation += 1
        self._timeline.clear()
        self._inputs.clear()
        self._measured.clear()
        self._now = 0.0
        self.holding, self.detail = reason, ""

    def _stop_if_stale(self, now: float) -> bool:
        refusal = self._inputs.fresh(now)
        if refusal is not None:
            self.hold(now, refusal.label, refusal.detail)
        return refusal is not None

    def _jumped_back(self, now: float) -> bool:
        if now >= self._now - CLOCK_JITTER_S:
            self._now = max(self._now, now)
            return False
        # Commands are stamped in a time that no longer exists: only the measured position still means something.
        for commander in self._commanders:
            commander.start_from(now, {name: position for name, (position, _) in self._measured.items()})
        self.hold(now, "the clock jumped back")
        self.forget("the clock jumped back")
        return True
