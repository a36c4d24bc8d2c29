"""ControllerCheck: asks each trajectory controller for its parameters, and says what does not fit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import GetParameters
from rclpy.node import Node

from act_inference_ros.execution.controller_parameters import (
    fills_speed,
    forbids_overlap,
    names_to_ask,
    shortcomings,
)
from act_inference_ros.interfaces import OVERLAP_AUTO, OVERLAP_ON
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.robot.devices import Controller
from act_inference_ros.ros.policy.controller_states import controller_node

PATIENCE_S = 5.0
"""How long a controller's parameter service is waited for, and then its answers, before that is said."""
LOOK_S = 0.2
"""Between two looks for the service."""


class ControllerCheck:
    """Asks whenever a controller's parameter service appears: late, or again; `look` is called often, from one thread.

    `findings` maps each controller to what was found, for the diagnostics; what could not be checked is found, too.
    `shown` is called with each controller, why its trajectories must not overlap, None if they may, and whether the
    states that it publishes have its speed.
    """

    def __init__(
        self, node: Node, configuration: RobotConfiguration, shown: Callable[[str, str | None, bool], None]
    ) -> None:
        self.findings: dict[str, list[str]] = {}
        self._node = node
        self._shown = shown
        self._limits = {joint.name: joint.max_deviation for joint in configuration.action.joints}
        self._questions = [
            _Questions(node, controller) for controller in configuration.controllers if not controller.interface.streams
        ]
        self._looked = -math.inf

    def look(self) -> None:
        """Go on asking; say what was found."""
        now = time.monotonic()
        if now < self._looked + LOOK_S:
            return
        self._looked = now
        for each in self._questions:
            each.look(now)
            if each.answered and not each.told:
                self._tell_of_parameters(each)
            elif each.overdue(now) and not each.told:
                state = "does not answer" if each.there else "is not there"
                self._tell(each, [f"it shows no parameters ({each.service} {state}), so they are not checked"])

    def close(self) -> None:
        """Ask no more."""
        for each in self._questions:
            each.close()
        self._questions = []

    def _tell_of_parameters(self, asked: _Questions) -> None:
        use_sim_time = bool(self._node.get_parameter("use_sim_time").value)
        controller, values = asked.controller, asked.values()
        forbids = forbids_overlap(controller.joints, values, use_sim_time)
        self._shown(controller.name, forbids, fills_speed(values))
        overlaps = controller.overlap == OVERLAP_ON or (controller.overlap == OVERLAP_AUTO and forbids is None)
        self._tell(
            asked,
            shortcomings(controller.name, controller.joints, values, use_sim_time, self._limits, overlaps=overlaps),
        )

    def _tell(self, asked: _Questions, found: list[str]) -> None:
        asked.told = True
        before = self.findings.get(asked.controller.name, [])
        self.findings[asked.controller.name] = found
        for sentence in found:
            if sentence not in before:
                self._node.get_logger().warning(f"controller {asked.controller.name}: {sentence}")


class _Questions:
    """The requests to one controller: one parameter each, because an unknown one empties an answer.

    They are asked anew after the service was away, since what comes back may be another controller, and where an
    answer is overdue. `told` is for the user of this class, and False again once they are asked anew.
    """

    def __init__(self, node: Node, controller: Controller) -> None:
        self.controller = controller
        self.service = f"{controller_node(node, controller)}/get_parameters"
        self.there = False
        self.told = False
        self._node = node
        self._client = node.create_client(GetParameters, self.service)
        self._futures: dict[str, Any] = {}
        self._since = time.monotonic()
        """When the service was begun to be waited for, or asked."""

    def look(self, now: float) -> None:
        """Ask what is to be asked."""
        there = self._client.service_is_ready()
        changed, self.there = there != self.there, there
        if changed or (there and self.told and not self.answered and self.overdue(now)):
            self._begin(now)

    def _begin(self, now: float) -> None:
        for future in self._futures.values():
            self._client.remove_pending_request(future)
        names = names_to_ask(self.controller.joints) if self.there else ()
        self._futures = {name: self._client.call_async(GetParameters.Request(names=[name])) for name in names}
        self._since = now
        self.told = False

    @property
    def answered(self) -> bool:
        """Every answer has come."""
        return bool(self._futures) and all(future.done() for future in self._futures.values())

    def overdue(self, now: float) -> bool:
        """Whether the service, or an answer of it, has been waited for long enough to say so."""
        return now > self._since + PATIENCE_S

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
