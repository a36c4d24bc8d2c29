"""A robot without ROS: a trajectory controller at 500 Hz, an arm of first order, and a policy that takes time.

The arm goes to its setpoint with `lag` as time constant: x' = (setpoint - x) / lag.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from act_inference_ros.simulation.trajectory import Trajectory
from act_inference_ros.simulation.trajectory_controller import Distro, TrajectoryController
from benchmarks.motion.plan import JOINTS, Plan
from benchmarks.motion.scenarios import Scenario
from benchmarks.motion.senders import EPOCH_S, Floats, Sender

PERIOD_S = 0.002
CYCLES_PER_STATE = 5
"""Joint states come at 100 Hz."""
CYCLES_PER_REFERENCE = 10
"""controller_state comes at 50 Hz, joint_trajectory_controller's default."""
JITTER = 0.2
TRANSPORT_S = (0.001, 0.006)
"""Time between a message's sending and its arrival at the controller."""
THROTTLE = 0.5


@dataclass(frozen=True)
class Setup:
    """The controller's release, and the state from which it starts a new trajectory."""

    distro: Distro
    from_last_command: bool = False

    @property
    def label(self) -> str:
        """`jazzy` or, with the parameter set that starts from the last command, `jazzy, from desired`."""
        return f"{self.distro.name}{', from desired' if self.from_last_command else ''}"


@dataclass
class Recording:
    """What happened in n cycles: `times` (n,), s; `setpoints` and `positions` (n, joints), rad.

    `joins` are the cycles from which on a new chunk is followed, `latencies` those of the chunks, s. `sent` counts the
    messages, `refused` has the controller's reasons, and `holds` why the sender held the arm, and how often.
    """

    times: Floats
    setpoints: Floats
    positions: Floats
    joins: list[int] = field(default_factory=list)
    sent: int = 0
    latencies: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    holds: dict[str, int] = field(default_factory=dict)


class Robot:
    """One run of a scenario; `run` may be called once."""

    def __init__(self, scenario: Scenario, setup: Setup, plan: Plan, make_sender: Callable[[Scenario], Sender]) -> None:
        self._scenario = scenario
        self._plan = plan
        self._sender = make_sender(scenario)
        self._random, self._way = (np.random.default_rng((scenario.seed, stream)) for stream in (1, 2))
        self._controller = TrajectoryController(
            JOINTS, distro=setup.distro, from_last_command=setup.from_last_command, period_s=PERIOD_S
        )
        self._position = plan.at(np.zeros(1))[0] + scenario.start_off
        self._velocity = np.zeros(len(JOINTS))
        self._controller.hold(self._position)
        self._sender.parameters(self._controller.parameters())
        if scenario.inactive_messages:
            self._controller.deactivate()
        cycles = round(scenario.duration_s / PERIOD_S)
        shape = (cycles, len(JOINTS))
        self._recording = Recording(np.arange(cycles) * PERIOD_S, np.empty(shape), np.empty(shape))
        self._coming: list[tuple[float, float, Floats]] = []
        self._under_way: list[tuple[float, Trajectory]] = []
        self._chunks = 0
        self._joins = False
        self._next_tick = 0.0

    def run(self) -> Recording:
        """Run the scenario, and return what happened."""
        for cycle, time in enumerate(self._recording.times.tolist()):
            while self._coming and self._coming[0][0] <= time:
                arrival, t_obs, rows = self._coming.pop(0)
                self._sender.chunk(rows, t_obs, EPOCH_S + arrival)
                self._joins = True
            if cycle % CYCLES_PER_STATE == 0:
                self._sender.sense(self._position.copy(), EPOCH_S + time, not _within(self._scenario.silent, time))
                self._observe(time)
            if time >= self._next_tick - 1e-9:
                self._sender.tick(EPOCH_S + time)
                self._next_tick += self._sender.tick_period_s
            for message in self._sender.messages():
                self._under_way.append((time + self._way.uniform(*TRANSPORT_S), message))
            while self._under_way and self._under_way[0][0] <= time:
                self._deliver(self._under_way.pop(0)[1], cycle, time)
            self._move(cycle, time)
            if self._scenario.publishes_state and cycle % CYCLES_PER_REFERENCE == 0 and self._controller.active:
                speed = self._controller.speed_scaling_factor
                self._sender.reference(self._controller.reference, speed, EPOCH_S + time)
        self._recording.holds = self._sender.holds()
        return self._recording

    def _observe(self, time: float) -> None:
        """Begin an inference if the sender wants one; chunks come in the order of their observations."""
        scenario = self._scenario
        t_obs = self._sender.take(EPOCH_S + time)
        if t_obs is None:
            return
        self._chunks += 1
        latency = scenario.latency_s * self._random.uniform(1.0 - JITTER, 1.0 + JITTER)
        is_lost = self._random.uniform() < scenario.lost_share or _within(scenario.no_chunks, time)
        rows = self._plan.rows(time, time + np.arange(scenario.chunk_size) / scenario.fps)
        if scenario.late_every and self._chunks % scenario.late_every == 0:
            latency += scenario.late_by_s
        if not is_lost:
            self._recording.latencies.append(latency)
            # In the order of arrival: a late one may come after those that were begun after it.
            self._coming.append((time + latency, t_obs, rows))
            self._coming.sort(key=lambda each: each[0])

    def _deliver(self, message: Trajectory, cycle: int, time: float) -> None:
        """Give the controller a message, which it follows from this cycle on, unless a fault prevents that."""
        if self._joins:
            self._recording.joins.append(cycle)
            self._joins = False
        self._recording.sent += 1
        if _within(self._scenario.rejecting, time):
            return
        if self._recording.sent > self._scenario.inactive_messages:
            self._controller.activate()
        refusal = self._controller.receive(message, time)
        if refusal is not None:
            self._recording.refused.append(refusal)

    def _move(self, cycle: int, time: float) -> None:
        throttled = _within(self._scenario.throttled, time)
        self._controller.speed_scaling_factor = THROTTLE if throttled else 1.0
        setpoint = self._controller.update(time, self._position, self._velocity)
        self._recording.setpoints[cycle], self._recording.positions[cycle] = setpoint, self._position
        after = self._position + (setpoint - self._position) * -math.expm1(-PERIOD_S / self._scenario.lag_s)
        self._position, self._velocity = after, (setpoint - after) / self._scenario.lag_s


def _within(span: tuple[float, float], time: float) -> bool:
    return span[0] <= time < span[1]
