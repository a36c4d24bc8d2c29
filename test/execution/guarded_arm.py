"""A policy in the whole pipeline, a controller at 500 Hz that may have faults, and a slow arm."""

from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.execution.controller_state import ControllerState
from act_inference_ros.simulation.trajectory import Trajectory, TrajectoryPoint
from act_inference_ros.simulation.trajectory_controller import Distro, TrajectoryController
from act_inference_ros.spec import ImageSpec, PolicySpec
from test.execution.rig import Rig

PERIOD_S = 0.002
JOINTS = ("lift", "pan")
FPS = 30.0
ROWS = 50
SPEC = PolicySpec(ROWS, 3, images=(ImageSpec("observation.images.front", 2, 2),), state_dim=3)
LATENCY_S = 0.1
WAY_CYCLES = 2
"""Transport time of a message to or from the controller, in cycles."""
AMPLITUDE, FREQUENCY = 0.5, 2.5
"""Of the plan, rad and rad/s."""
PLAN_STEP = AMPLITUDE * FREQUENCY * PERIOD_S
"""What the plan moves in one cycle at most, rad."""
MAX_STEP = 2.0 * PERIOD_S
"""What max_velocity allows in one cycle, rad."""


class GuardedArm:
    """The rig's arm: `run` lets time pass, `go` brings a chunk each `interval`; `setpoints` has each cycle's.

    `says`: the controller publishes its state, `offset` s before the rig's clock. `rejects`: it takes no message.
    """

    # `| Any`: mypy takes any value of a `**{...}` for it.
    def __init__(
        self, distro: Distro, from_last_command: bool, lag: float, says: bool | Any = True, **changes: Any
    ) -> None:
        fixed = {"fps": FPS, "merge": "blend", "resume_within": 100.0}
        far = dict.fromkeys(
            ("joint.pan.max_deviation", "joint.lift.max_deviation"), 3.0
        )  # so that only the guard judges
        self.rig = Rig(spec=SPEC, **(fixed | far | changes))
        self.rig.obeys = False
        self.overlap = self.rig.supervisor.overlap
        self.overlap.shown("arm", None)
        self.overlap.offers("arm", says)
        self.controller = TrajectoryController(
            JOINTS, distro=distro, from_last_command=from_last_command, period_s=PERIOD_S
        )
        self.lag, self.says, self.offset, self.rejects = lag, says, 0.0, False
        self.position = np.zeros(2)
        self.setpoints: list[npt.NDArray[np.float64]] = []
        self.notes: list[str | None] = []
        """Why messages do not overlap, after each chunk."""
        self._states_every = 10 if distro.name == "humble" else 5
        self._begun, self._cycle, self._taken = self.rig.now, 0, 0
        self._messages: list[tuple[int, Any]] = []
        self._states: list[tuple[int, ControllerState]] = []
        self.run(0.3)

    @property
    def state(self) -> str:
        return self.rig.state.value

    def plan(self, times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(n, 2): lift and pan."""
        phase = FREQUENCY * np.maximum(0.0, times - self._begun)
        return AMPLITUDE * np.stack([np.sin(phase), 1.0 - np.cos(phase)], axis=1)

    def chunk(self) -> None:
        taken = self.rig.now - LATENCY_S
        rows = np.zeros((ROWS, 3), np.float32)
        rows[:, [1, 0]] = self.plan(taken + np.arange(ROWS) / FPS)
        self.rig.rows(rows, taken)
        self.notes.append(self.overlap.notes.get("arm"))

    def go(self, chunks: int, interval: float = 0.25) -> None:
        for _ in range(chunks):
            self.chunk()
            self.run(interval)

    def run(self, duration: float) -> None:
        for _ in range(round(duration / PERIOD_S)):
            self.rig.now += PERIOD_S
            self._cycle += 1
            self._deliver()
            setpoint = np.array(self.controller.update(self.rig.now, self.position))
            self.setpoints.append(setpoint)
            self.position = self.position + (setpoint - self.position) * PERIOD_S / self.lag
            if self._cycle % 10 == 0:
                self.rig.positions |= dict(zip(JOINTS, self.position.tolist(), strict=True))
                self.rig.feed()
                self.rig.pipeline.tick(self.rig.now)

    def largest_step(self, after_cycle: int = 0) -> float:
        return float(np.abs(np.diff(self.setpoints[after_cycle:], axis=0)).max())

    def _deliver(self) -> None:
        sent = self.rig.trajectories[self._taken :]
        self._taken += len(sent)
        self._messages += [(self._cycle + WAY_CYCLES, command) for command in sent]
        while self._messages and self._messages[0][0] <= self._cycle:
            command = self._messages.pop(0)[1]
            if not self.rejects:
                assert self.controller.receive(as_trajectory(command), self.rig.now) is None
        if self.says and self.controller.active and self._cycle % self._states_every == 0:
            wanted = dict(zip(JOINTS, self.controller.reference.positions.tolist(), strict=True))
            time = self.rig.now - PERIOD_S - self.offset  # of the update before
            state = ControllerState(wanted, time, self.controller.speed_scaling_factor)
            self._states.append((self._cycle + WAY_CYCLES, state))
        while self._states and self._states[0][0] <= self._cycle:
            self.rig.pipeline.controller_state("arm", self._states.pop(0)[1], self.rig.now)


def as_trajectory(command: Any) -> Trajectory:
    points = [
        TrajectoryPoint(float(time), tuple(row), tuple(speeds))
        for time, row, speeds in zip(command.times, command.positions, command.velocities, strict=True)
    ]
    return Trajectory(JOINTS, float(command.stamp), tuple(points))
