"""Applies or refuses a change of parameters, before the node is configured and while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.robot.given_parameters import check_change
from act_inference_ros.robot.parameter_file import parameter_file_text
from act_inference_ros.ros import declared_parameters as parameters
from act_inference_ros.ros.policy.session import PolicySession


def take_change(
    before: Mapping[str, Any], new: Mapping[str, Any], session: PolicySession | None, description: str, node: str
) -> None:
    """Apply the `new` values, on top of those `before`, to a session; without a session only check them.

    A value of None means that the parameter is deleted. `description` is the robot description that the session began
    with, `node` the node's full name. Raises ConfigurationError with the reason if the change is refused.
    """
    values = {**before, **new}
    if session is None:  # configure will check everything together
        check_change(values, [name for name, value in new.items() if value is not None])
        return
    fixed = {name for name in new if name in before} - parameters.live_names(values)
    if fixed:
        raise ConfigurationError(f"{', '.join(sorted(fixed))}: read at configure; deactivate and clean up first")
    configuration = RobotConfiguration.from_parameters(values, description, node)
    configuration.check_limits()
    session.apply(configuration)
    session.black_box.parameters = parameter_file_text(values)
