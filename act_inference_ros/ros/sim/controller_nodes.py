"""ControllerNodes: the trajectory controllers as nodes with parameters, as ros2_control shows its own.

A real controller also publishes `<controller>/controller_state`, a message of control_msgs. That package is not among
the wheels that this robot runs on, so it is not published here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

import rclpy
from rclpy.executors import Executor
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from act_inference_ros.simulation.controllers import SimulatedController
from act_inference_ros.simulation.trajectory_controller import TrajectoryController


class ControllerNodes:
    """One node for each trajectory controller, named like it; other kinds of controllers get none.

    The nodes only provide their parameter services; commands are taken elsewhere. The nodes end with the block.
    """

    def __init__(self, controllers: Mapping[str, SimulatedController], use_sim_time: bool) -> None:
        self._nodes = [
            _node(name, controller, use_sim_time)
            for name, controller in controllers.items()
            if isinstance(controller, TrajectoryController)
        ]

    def add_to(self, executor: Executor) -> None:
        """Add the nodes to `executor`, which then answers their services."""
        for node in self._nodes:
            executor.add_node(node)

    def __enter__(self) -> ControllerNodes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in self._nodes:
            node.destroy_node()


def _node(name: str, controller: TrajectoryController, use_sim_time: bool) -> Node:
    values: dict[str, Any] = dict(controller.parameters(use_sim_time=use_sim_time))
    # The arguments of the command line are for the robot: its name must not become the controllers'.
    node = rclpy.create_node(
        name,
        use_global_arguments=False,
        enable_rosout=False,
        parameter_overrides=[RosParameter("use_sim_time", value=values.pop("use_sim_time"))],
    )
    for parameter, value in values.items():
        node.declare_parameter(parameter, value)
    return node
