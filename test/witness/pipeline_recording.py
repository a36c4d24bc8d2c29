"""What the package's own pipeline sends, in this process and on a clock that is moved by hand, as a recording.

Nothing of it may break a rule, however late its ticks come, whatever fails and whatever an operator asks for.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from act_inference_ros.interfaces import Command, command_interface
from test.execution.rig import JOINTS, START, TICK_S, Rig
from test.witness.good_inputs import Looked
from test.witness.made_up import header, make, status
from test.witness.recording import CHUNK, COMMAND, INPUT, STATUS, Contract, ControllerRules, Event, Fault, Recording

MAX_AGE_S, MAX_PLAN_AGE_S, FARTHEST = 0.2, 0.9, 2.0
CHUNK_S, BEHIND_S, FPS = 0.1, 0.06, 10
SILENT, PAUSED = (4.0, 5.5), (8.0, 9.0)
"""When the camera is silent, and when the operator has paused the arm, s since the begin."""
TOLD_EVERY_S = 0.5
ARM = ("lift", "pan")
"""In the order of their controller."""


@dataclass(frozen=True)
class Way:
    """How the pipeline is run: the gripper's interface, its limits, what the policy wants, and how ticks come.

    The policy lets each joint swing by `amplitude`, rad, at `pace`, rad/s. Ticks come up to `jitter_s` early or late,
    and now and then up to `late_s` later. `at_random`: what fails and what is asked for, and when, depends on the seed.
    """

    gripper: str = "position_stream"
    seed: int = 0
    velocity: float = 1.0
    acceleration: float = 5.0
    amplitude: float = 0.6
    pace: float = 1.2
    jitter_s: float = 0.0
    late_s: float = 0.0
    lasts_s: float = 12.0
    at_random: bool = False
    merge: str = "blend"


class HeardRig(Rig):
    """A rig of which everything that it sends is noted."""

    def __init__(self, way: Way) -> None:
        self.recording = Recording()
        self.rng = np.random.default_rng(way.seed)
        self._interfaces = {"arm": "joint_trajectory", "gripper": way.gripper}
        given: dict[str, Any] = {
            "max_plan_age": MAX_PLAN_AGE_S, "controller.gripper.interface": way.gripper, "merge": way.merge,
            "controller.arm.overlap": "on",
        }  # fmt: skip
        for joint in JOINTS:
            given |= {f"joint.{joint}.max_velocity": way.velocity, f"joint.{joint}.max_acceleration": way.acceleration}
            given |= {f"joint.{joint}.min": -FARTHEST, f"joint.{joint}.max": FARTHEST}
        super().__init__(**given)

    def note(self, kind: str, name: str, message: Any, after: float = 0.0) -> None:
        self.recording.events.append(Event(self.now + after, kind, name, message))

    def _sent(self, controller: str, command: Command) -> None:
        super()._sent(controller, command)
        write = command_interface(self._interfaces[controller]).write
        joints = ARM if controller == "arm" else ("grip",)
        self.note(COMMAND, controller, write(make, joints, command), self.rng.uniform(0.001, 0.005))


def heard(way: Way) -> tuple[Recording, Contract]:
    """Run the pipeline, and give what was heard of it and what it had promised."""
    rig = HeardRig(way)
    faults, told = _Faults(rig, way), _Told(rig)
    next_chunk = START + 0.3
    while rig.now < START + way.lasts_s:
        late = way.late_s * rig.rng.random() if rig.rng.random() < 0.01 else 0.0
        rig.now += TICK_S + rig.rng.uniform(-1.0, 1.0) * way.jitter_s + late
        faults.make()
        _sense(rig)
        observed = rig.now - BEHIND_S
        if rig.now >= next_chunk and not faults.hide(observed):
            next_chunk = rig.now + CHUNK_S
            times = observed - START + np.arange(FPS) / FPS
            rows = way.amplitude * np.sin(way.pace * times[:, None] + np.arange(3.0))
            rig.rows(rows.astype(np.float32), observed)
            rig.note(CHUNK, "chunk", SimpleNamespace(header=header(observed)), 0.006)
        rig.pipeline.tick(rig.now)
        told.tell()
    rig.recording.events.sort(key=lambda event: event.time)
    contract = Contract(
        {"arm": _rules("joint_trajectory", ARM, way), "gripper": _rules(way.gripper, ("grip",), way)},
        {"front": (2, 2), "state": JOINTS}, MAX_AGE_S, 0.05, MAX_PLAN_AGE_S, TICK_S, 0.04 + way.late_s + way.jitter_s,
    )  # fmt: skip
    if not way.at_random:
        braking = TICK_S + contract.braking_s
        rig.recording.faults += [
            Fault("front off", START + SILENT[0], START + SILENT[1], MAX_AGE_S + braking, 1.0, ("stale: front",)),
            Fault("paused", START + PAUSED[0], START + PAUSED[1], 0.05 + braking, 1.0, ("paused",)),
        ]
    return rig.recording, contract


def _rules(interface: str, joints: tuple[str, ...], way: Way) -> ControllerRules:
    ones = np.ones(len(joints))
    return ControllerRules(
        interface, joints, -FARTHEST * ones, FARTHEST * ones, way.velocity * ones, way.acceleration * ones
    )


def _sense(rig: HeardRig) -> None:
    rig.feed()
    if "front" not in rig.silent:
        image = SimpleNamespace(header=header(rig.now), encoding="rgb8", height=2, width=2, step=6, data=bytes(12))
        rig.note(INPUT, "front", image)
    if "state" not in rig.silent:
        rig.note(INPUT, "state", Looked(header(rig.now), True, dict(rig.positions)))


class _Faults:
    """What fails and what is asked for: at their times, or at random."""

    def __init__(self, rig: HeardRig, way: Way) -> None:
        self._rig, self._at_random = rig, way.at_random
        self._missing: list[tuple[float, float]] = []
        self._slow_until = 0.0
        self._asked: set[str] = set()

    def make(self) -> None:
        rig, now = self._rig, self._rig.now
        if self._at_random:
            self._make_at_random()
            return
        since = now - START
        self._missing = [(START + SILENT[0], START + SILENT[1])]
        rig.silent = {"front"} if SILENT[0] < since < SILENT[1] else set()
        for request, time in zip(("pause", "resume"), PAUSED, strict=True):
            if since > time and request not in self._asked:
                self._asked.add(request)
                getattr(rig.operator, request)(now)

    def _make_at_random(self) -> None:
        rig, now, rng = self._rig, self._rig.now, self._rig.rng
        if not self._missing or now > self._missing[-1][1]:
            rig.silent = set()
            if rng.random() < 0.01:
                rig.silent = {str(rng.choice(["front", "state"]))}
                self._missing.append((now, now + rng.uniform(0.1, 1.5)))
        if now > self._slow_until and rng.random() < 0.005:
            self._slow_until = now + rng.uniform(0.2, 1.8)
        for request, share in (
            ("pause", 0.003),
            ("stop", 0.003),
            ("clear_stop", 0.025),
            ("resume", 0.03),
            ("reset", 2e-3),
        ):
            if rng.random() < share:
                getattr(rig.operator, request)(now)

    def hide(self, observed: float) -> bool:
        """Whether there is no chunk of this observation."""
        gone = any(begin - TICK_S < observed < end + TICK_S for begin, end in self._missing)
        return gone or self._rig.now < self._slow_until


class _Told:
    """The status: each change, and again after a while."""

    def __init__(self, rig: HeardRig) -> None:
        self._rig, self._last, self._at = rig, ("", ""), -np.inf

    def tell(self) -> None:
        rig = self._rig
        for standing in (*rig.supervisor.passed(), rig.supervisor.standing):
            what = standing.state.value, standing.reason
            if what != self._last or rig.now - self._at > TOLD_EVERY_S:
                self._last, self._at = what, rig.now
                rig.note(STATUS, "status", status(*what, since=standing.since), 0.006)
