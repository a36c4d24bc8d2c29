"""From a plan to the simulated arm: for each controller of the parameter file, its commands and what they make it do.

Commands come from the node's own commanders; the controllers are the simulated robot's.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from act_inference_ros.control.commander import make_commander
from act_inference_ros.control.timeline import ActionTimeline
from act_inference_ros.evaluation.episodes.messages import CommandMessage, make_message
from act_inference_ros.interfaces import Command
from act_inference_ros.robot.configuration import Controller, RobotConfiguration
from act_inference_ros.simulation.command_inputs import command_input

Floats = npt.NDArray[np.float64]


class ControlledJoints:
    """One controller: takes the plan, gives commands, and moves its joints as they say. Positions in ROS units."""

    def __init__(self, controller: Controller, configuration: RobotConfiguration, start: Mapping[str, float]) -> None:
        self.topic = controller.topic
        self.joints = controller.joints
        self._interface = controller.interface
        self._sent: list[Command] = []
        self._commander = make_commander(controller, configuration, self._sent.append)
        self._input = command_input(controller.interface.name, controller.joints)
        self._input.controller.hold([start[name] for name in self.joints])

    @property
    def streams(self) -> bool:
        """Wants `follow` at every step, else once per chunk."""
        return self._commander.streams

    @property
    def clamped(self) -> int:
        """Targets that a limit changed."""
        return self._commander.clamped

    def follow(self, timeline: ActionTimeline, now: float, measured: Mapping[str, float]) -> CommandMessage | None:
        """Command the plan: a trajectory for each chunk, or one target per call. Returns what was sent."""
        self._commander.follow(timeline, now, measured)
        if not self._sent:
            return None
        message: CommandMessage = self._interface.write(make_message, self.joints, self._sent.pop())
        position = np.array([measured[name] for name in self.joints])
        refusal = self._input.take(message, now, position, np.zeros(len(self.joints)))
        if refusal is not None:
            raise AssertionError(f"{self.topic}: a command made by the rules was refused: {refusal}")
        return message

    def target(self, now: float) -> Floats:
        """Where the controller wants its joints now, (joints,)."""
        return self._input.controller.sample(now)
