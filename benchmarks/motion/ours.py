"""The package's own way of sending a plan: its whole pipeline, driven as by the node; nothing else here uses it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from act_inference_ros.control.commanders import make_commander
from act_inference_ros.evaluation.episodes.messages import (
    Float64MultiArray,
    JointState,
    header,
    make_plain_message,
)
from act_inference_ros.execution.controller_parameters import forbids_overlap
from act_inference_ros.execution.controller_state import ControllerState
from act_inference_ros.execution.pipeline import Pipeline, Taken
from act_inference_ros.interfaces import NANOSECONDS, Command
from act_inference_ros.observation.binding import bind_inputs
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.simulation.command_inputs import trajectory_from_message
from act_inference_ros.simulation.trajectory import MotionState, Trajectory
from act_inference_ros.spec import PolicySpec
from benchmarks.motion.plan import JOINTS
from benchmarks.motion.scenarios import Scenario
from benchmarks.motion.senders import EPOCH_S, Floats

CONTROLLER = "arm"


def configuration_of(scenario: Scenario, changes: Mapping[str, Any]) -> RobotConfiguration:
    """The parameters of a robot in this scenario, everything else at its default."""
    parameters: dict[str, Any] = {
        "fps": scenario.fps,
        "merge": scenario.merge,
        "inference_rate": 1.0 / scenario.interval_s,
        "state.topic": "/joint_states",
        "state.joints": list(JOINTS),
        "environment_state.topic": "/environment",
        "controllers": [CONTROLLER],
        f"controller.{CONTROLLER}.topic": "/arm/joint_trajectory",
        f"controller.{CONTROLLER}.joints": list(JOINTS),
    }
    return RobotConfiguration.from_parameters(parameters | dict(changes))


class Ours:
    """A `Sender`: the pipeline with its inputs, rules, merging, limits and messages."""

    def __init__(self, scenario: Scenario, **changes: Any) -> None:
        self.configuration = configuration_of(scenario, changes)
        self.tick_period_s = self.configuration.tick_period_s
        spec = PolicySpec(scenario.chunk_size, len(JOINTS), state_dim=len(JOINTS), environment_state_dim=1)
        self._interface = self.configuration.controllers[0].interface
        self._commands: list[Command] = []
        commanders = [
            make_commander(each, self.configuration, self._commands.append) for each in self.configuration.controllers
        ]
        self.pipeline = Pipeline(
            self.configuration, bind_inputs(self.configuration, spec), commanders, inference_s=scenario.latency_s
        )
        self.pipeline.supervisor.heard(CONTROLLER, 1, (), EPOCH_S)
        self.pipeline.supervisor.activate(EPOCH_S)
        self._latency_s = scenario.latency_s
        self._fills_speed = False
        self._taken: dict[float, Taken] = {}

    def parameters(self, values: Mapping[str, Any]) -> None:
        """See `Sender`: as the node does with the answers of a controller's parameter service."""
        self._fills_speed = "speed_scaling.state_interface" in values
        self.pipeline.supervisor.overlap.shown(CONTROLLER, forbids_overlap(JOINTS, values))

    def sense(self, positions: Floats, now: float, complete: bool) -> None:
        """See `Sender`."""
        if complete:
            self.pipeline.environment_state(Float64MultiArray(np.zeros(1)), now)
        self.pipeline.state(JointState(header(round(now * NANOSECONDS)), list(JOINTS), positions), now)

    def reference(self, reference: MotionState, speed: float, now: float) -> None:
        """See `Sender`: as the node does with a controller_state message, where Humble's has no speed."""
        positions = dict(zip(JOINTS, reference.positions.tolist(), strict=True))
        state = ControllerState(positions, now, speed if self._fills_speed else 1.0)
        self.pipeline.controller_state(CONTROLLER, state, now)

    def take(self, now: float) -> float | None:
        """See `Sender`."""
        taken = self.pipeline.take(now)
        if taken is None:
            return None
        self._taken[taken.t_obs] = taken
        return taken.t_obs

    def chunk(self, rows: Floats, t_obs: float, now: float) -> None:
        """See `Sender`."""
        self.pipeline.chunk(self._taken.pop(t_obs), rows.astype(np.float32), now, self._latency_s)

    def tick(self, now: float) -> None:
        """See `Sender`."""
        self.pipeline.tick(now)

    def messages(self) -> list[Trajectory]:
        """See `Sender`: what the commanders sent, written as messages and read back by the controller's side."""
        written = [self._interface.write(make_plain_message, JOINTS, command) for command in self._commands]
        self._commands.clear()
        return [_since_epoch(message) for message in written]

    def holds(self) -> dict[str, int]:
        """See `Sender`."""
        return dict(self.pipeline.supervisor.holds)


def _since_epoch(message: Any) -> Trajectory:
    """The trajectory of a message; a float64 of its stamp since 1970 would be off by up to 0.12 us."""
    trajectory = trajectory_from_message(message)
    stamp = message.header.stamp
    return replace(trajectory, stamp_s=stamp.sec - EPOCH_S + stamp.nanosec / NANOSECONDS)
