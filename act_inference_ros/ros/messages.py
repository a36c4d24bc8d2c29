"""ROS messages by the names of their types, so that the other rooms can ask for one without importing ROS."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from act_inference_ros.errors import MissingDependencyError


@cache
def message_class(message_type: str) -> Any:
    """Return the Python class of a type such as `sensor_msgs/msg/JointState` or `control_msgs/action/GripperCommand`.

    Raises MissingDependencyError, naming the package to install, where its package is not there.
    """
    package, kind, name = message_type.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.{kind}"), name)
    except (ModuleNotFoundError, AttributeError) as error:
        there = isinstance(error, AttributeError)
        what = f"is not in the {package} that is installed; install a newer" if there else "is not installed; install"
        raise MissingDependencyError(f"{message_type} {what} ros-$ROS_DISTRO-{package.replace('_', '-')}") from error


def make_message(message_type: str, **fields: Any) -> Any:
    """Make a message of a type from its fields; an `interfaces.MessageMaker`."""
    return message_class(message_type)(**fields)
