"""ControllerCheck: asks each trajectory controller for its parameters, and reports those that do not fit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
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
"""Wait for a controller's parameter service, and then for its answers, before the delay is reported."""
AGAIN_S = 1.0
"""Wait for an answer, before it is asked for again. A service that has just come may lose its first answers: DDS has
shown it to the node, but not yet the node to it."""
AWAITED = 6
"""At most this many requests for one parameter wait for an answer; until a request is given up, a slow one counts."""
LOOK_S = 0.2
"""Period of the check for the service."""


class ControllerCheck:
    """Asks each time a controller's parameter service appears, even late or again; call `look` often, from one thread.

    `findings` maps each controller to the findings for the diagnostics, including what could not be checked. `shown`
    is called with three values for each controller: the controller, why its trajectories must not overlap (None if they
    may), and whether the states that it publishes contain its speed.
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
        """Continue to ask, and report what was found."""
        now = time.monotonic()
        if now < self._looked + LOOK_S:
            return
        self._looked = now
        for each in self._questions:
            each.look(now)
            if each.answered and not each.told:
                each.told = True
                self._tell_of_parameters(each)
            elif each.overdue(now) and not each.told and not each.told_of_silence:
                each.told_of_silence = True
                state = "does not answer" if each.there else "is not there"
                self._tell(each, [f"it shows no parameters ({each.service} {state}), so they are not checked"])

    def close(self) -> None:
        """Stop asking."""
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
        before = self.findings.get(asked.controller.name, [])
        self.findings[asked.controller.name] = found
        for sentence in found:
            if sentence not in before:
                self._node.get_logger().warning(f"controller {asked.controller.name}: {sentence}")


class _Questions:
    """The requests to one controller, one parameter each, because one unknown parameter makes an answer empty.

    They are sent again after the service was away (another controller may have come back), and those that are not
    answered from time to time. The user of this class sets `told`, of the answers, and `told_of_silence`; both become
    False when the service has come or gone.
    """

    def __init__(self, node: Node, controller: Controller) -> None:
        self.controller = controller
        self.service = f"{controller_node(node, controller)}/get_parameters"
        self.there = False
        self.told = self.told_of_silence = False
        self._node = node
        self._client = node.create_client(GetParameters, self.service)
        self._futures: dict[str, list[Any]] = {}
        self._since = time.monotonic()
        """Time at which the wait for the service, or for its answers, began."""
        self._asked = self._since

    def look(self, now: float) -> None:
        """Send the requests that are due."""
        there = self._client.service_is_ready()
        changed, self.there = there != self.there, there
        if changed:
            self._since = now
            self.told = self.told_of_silence = False
            self._give_up(future for awaited in self._futures.values() for future in awaited)
            self._futures = {}
            self._ask(names_to_ask(self.controller.joints) if there else (), now)
        elif there and now >= self._asked + (PATIENCE_S if self.told_of_silence else AGAIN_S):
            self._ask([name for name in self._futures if self._answer(name) is None], now)

    def _ask(self, names: Sequence[str], now: float) -> None:
        for name in names:
            awaited = self._futures.setdefault(name, [])
            awaited.append(self._client.call_async(GetParameters.Request(names=[name])))
            self._give_up(awaited[:-AWAITED])
            del awaited[:-AWAITED]
        self._asked = now

    def _give_up(self, futures: Iterable[Any]) -> None:
        for future in futures:
            self._client.remove_pending_request(future)

    def _answer(self, name: str) -> Any:
        """A request for this parameter that has been answered, or None."""
        return next((future for future in self._futures[name] if future.done()), None)

    @property
    def answered(self) -> bool:
        """Whether every answer has come."""
        return bool(self._futures) and all(self._answer(name) is not None for name in self._futures)

    def overdue(self, now: float) -> bool:
        """Whether the service or an answer is so late that it should be reported."""
        return now > self._since + PATIENCE_S

    def values(self) -> dict[str, Any]:
        """Return name -> value of the parameters that the controller knows and has answered."""
        found = {}
        for name in self._futures:
            future = self._answer(name)
            answer = None if future is None else future.result()
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
