"""What the stock trajectory controllers make of our messages where a motion begins again after a hold."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from act_inference_ros.simulation.trajectory import Trajectory, TrajectoryPoint
from act_inference_ros.simulation.trajectory_controller import DISTROS, TrajectoryController
from test.execution.rig import Rig

PERIOD_S = 0.002
JOINTS = ("lift", "pan")


def as_trajectory(command: Any) -> Trajectory:
    points = [
        TrajectoryPoint(float(time), tuple(row), tuple(speeds))
        for time, row, speeds in zip(command.times, command.positions, command.velocities, strict=True)
    ]
    return Trajectory(JOINTS, float(command.stamp), tuple(points))


class Arm:
    """A first-order arm behind a controller at 500 Hz, measured by the rig; `log` has each setpoint and position."""

    def __init__(self, rig: Rig, controller: TrajectoryController, lag: float) -> None:
        self.rig, self.controller, self.lag = rig, controller, lag
        self.position = np.zeros(2)
        self.log: list[tuple[float, npt.NDArray[Any], npt.NDArray[Any]]] = []
        self._taken = 0
        controller.hold([0.0, 0.0])
        rig.obeys = False

    def run(self, duration: float) -> None:
        """Let time pass, control cycle by control cycle; the rig ticks every tenth of them."""
        for cycle in range(round(duration / PERIOD_S)):
            self.rig.now += PERIOD_S
            for command in self.rig.trajectories[self._taken :]:
                assert self.controller.receive(as_trajectory(command), self.rig.now) is None
            self._taken = len(self.rig.trajectories)
            setpoint = np.array(self.controller.update(self.rig.now, self.position))
            self.log.append((self.rig.now, setpoint, self.position.copy()))
            self.position = self.position + (setpoint - self.position) * PERIOD_S / self.lag
            if cycle % 10 == 9:
                self.rig.positions |= dict(zip(JOINTS, self.position.tolist(), strict=True))
                self.rig.feed()
                self.rig.pipeline.tick(self.rig.now)


@pytest.mark.parametrize("distro", DISTROS.values(), ids=DISTROS.keys())
@pytest.mark.parametrize("lag", [0.03, 0.1])
def test_after_a_hold_the_setpoint_moves_towards_the_arm_and_never_away(distro: Any, lag: float) -> None:
    rig = Rig(**{"joint.pan.max_velocity": 1.0, "joint.lift.max_velocity": 1.0})
    arm = Arm(rig, TrajectoryController(JOINTS, distro=distro, period_s=PERIOD_S), lag)
    for _ in range(6):
        rig.chunk(target=1.0)
        arm.run(0.1)
    rig.silent = {"front"}
    arm.run(0.4)
    assert rig.state.value == "holding"
    rig.silent = set()
    arm.run(0.04)
    begun = len(arm.log)
    assert rig.chunk(target=1.0)
    arm.run(0.3)
    for (_, before, where), (_, after, _) in zip(arm.log[begun - 1 :], arm.log[begun:], strict=False):
        step = after - before
        towards = np.sign(where - before)
        far = np.abs(step) > 2.0 * 1.0 * PERIOD_S + 1e-9  # more than the plan moves, even in a doubled cycle
        assert (np.sign(step[far]) == towards[far]).all()
        assert (np.abs(step[far]) <= np.abs(where - before)[far] + 2.0 * PERIOD_S).all()
