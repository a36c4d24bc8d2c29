"""The simulated arm's controllers: a commander's command becomes the interface's message, and moves the joints."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.control.commander import Commander
from act_inference_ros.control.commanders import make_commander
from act_inference_ros.evaluation.episodes.messages import CommandMessage, make_plain_message
from act_inference_ros.interfaces import Command
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.robot.devices import Controller
from act_inference_ros.simulation.command_inputs import command_input
from act_inference_ros.simulation.trajectory_controller import TrajectoryController

Floats = npt.NDArray[np.float64]


class ControlledJoints:
    """One controller: provides a commander, and moves its joints by the commands. Positions in ROS units."""

    def __init__(self, controller: Controller, configuration: RobotConfiguration, start: Mapping[str, float]) -> None:
        self.topic = controller.topic
        self.joints = controller.joints
        self.lead_s = 0.0 if controller.interface.streams else controller.lead_s
        self._interface = controller.interface
        self._sent: deque[Command] = deque()
        self.commander: Commander = make_commander(controller, configuration, self._sent.append)
        self._input = command_input(controller.interface.name, controller.joints)
        self._input.controller.hold([start[name] for name in self.joints])

    @property
    def parameters(self) -> Mapping[str, Any] | None:
        """Return the answer of the controller's parameter service; None for a controller that has no parameters."""
        controller = self._input.controller
        return controller.parameters() if isinstance(controller, TrajectoryController) else None

    def execute(self, now: float, measured: Mapping[str, float]) -> list[CommandMessage]:
        """Execute the commands sent since the last call; return their messages, in order."""
        messages: list[CommandMessage] = []
        position = np.array([measured[name] for name in self.joints])
        while self._sent:
            message: CommandMessage = self._interface.write(make_plain_message, self.joints, self._sent.popleft())
            refusal = self._input.take(message, now, position, np.zeros(len(self.joints)))
            if refusal is not None:
                raise AssertionError(f"{self.topic}: a command made by the rules was refused: {refusal}")
            messages.append(message)
        return messages

    def setpoints(self, times: Floats) -> Floats:
        """Return the controller's setpoints (n, joints) at `times` (n,), none before the last command."""
        return np.stack([self._input.controller.sample(time) for time in times.tolist()])

    def target(self, now: float) -> Floats:
        """Return the controller's setpoint now, (joints,)."""
        return self._input.controller.sample(now)
