"""ControllerCheck: asks each trajectory controller for its parameters, once, and says what does not fit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import GetParameters
from rclpy.node import Node

from act_inference_ros.execution.controller_parameters import forbids_overlap, names_to_ask, shortcomings
from act_inference_ros.interfaces import OVERLAP_AUTO, OVERLAP_ON
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.robot.devices import Controller

PATIENCE_S = 5.0
"""How long a controller's parameter service is waited for, and then its answers."""


class ControllerCheck:
    """Lives from activation until every controller has been asked; `look` is called often, from one thread.

    `findings` maps each controller to what was found, for the diagnostics; what could not be checked is found, too.
    `shown` is called with each controller and why its trajectories must not overlap, None if they may.
    """

    def __init__(self, node: Node, configuration: RobotConfiguration, shown: Callable[[str, str | None], None]) -> None:
        self.findings: dict[str, list[str]] = {}
        self._node = node
        self._shown = shown
        self._limits = {joint.name: joint.max_deviation for joint in configuration.action.joints}
        self._begun = time.monotonic()
        self._asked = [
            _Questions(node, controller) for controller in configuration.controllers if not controller.interface.streams
        ]

    def look(self) -> None:
        """Go on asking; say what was found."""
        for each in list(self._asked):
            over = time.monotonic() > self._begun + PATIENCE_S
            if not each.ask_if_ready():
                if over:
                    self._tell(each, [f"it shows no parameters ({each.service} is not there), so they are not checked"])
            elif each.answered or over:
                use_sim_time = bool(self._node.get_parameter("use_sim_time").value)
                controller, values = each.controller, each.values()
                forbids = forbids_overlap(controller.joints, values, use_sim_time)
                if controller.overlap == OVERLAP_AUTO:
                    self._shown(controller.name, forbids)
                overlaps = controller.overlap == OVERLAP_ON or (controller.overlap == OVERLAP_AUTO and forbids is None)
                found = shortcomings(
                    controller.name, controller.joints, values, use_sim_time, self._limits, overlaps=overlaps
                )
                self._tell(each, found)

    def close(self) -> None:
        """Ask no more."""
        for each in self._asked:
            each.close()
        self._asked = []

    def _tell(self, asked: _Questions, found: list[str]) -> None:
        self._asked.remove(asked)
        asked.close()
        self.findings[asked.controller.name] = found
        for sentence in found:
            self._node.get_logger().warning(f"controller {asked.controller.name}: {sentence}")


class _Questions:
    """The requests to one controller: one parameter each, because an unknown one empties an answer."""

    def __init__(self, node: Node, controller: Controller) -> None:
        self.controller = controller
        # A controller listens on <its node>/joint_trajectory.
        name = node.resolve_topic_name(controller.topic).rpartition("/")[0]
        self.service = f"{name}/get_parameters"
        self._node = node
        self._client = node.create_client(GetParameters, self.service)
        self._futures: Mapping[str, Any] = {}

    def ask_if_ready(self) -> bool:
        """Return whether the questions have been asked."""
        if not self._futures and self._client.service_is_ready():
            names = names_to_ask(self.controller.joints)
            self._futures = {name: self._client.call_async(GetParameters.Request(names=[name])) for name in names}
        return bool(self._futures)

    @property
    def answered(self) -> bool:
        """Every answer has come."""
        return all(future.done() for future in self._futures.values())

    def values(self) -> dict[str, Any]:
        """Name -> value of the parameters that it knows, of those that were answered."""
        found = {}
        for name, future in self._futures.items():
            answer = future.result() if future.done() else None
            if answer is not None and len(answer.values) == 1 and answer.values[0].type in _FIELDS:
                value = getattr(answer.values[0], _FIELDS[answer.values[0].type])
                found[name] = list(value) if answer.values[0].type == ParameterType.PARAMETER_STRING_ARRAY else value
        return found

    def close(self) -> None:
        self._node.destroy_client(self._client)


_FIELDS = {
    ParameterType.PARAMETER_BOOL: "bool_value",
    ParameterType.PARAMETER_DOUBLE: "double_value",
    ParameterType.PARAMETER_STRING: "string_value",
    ParameterType.PARAMETER_STRING_ARRAY: "string_array_value",
}
