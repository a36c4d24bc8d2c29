"""ROS messages by the names of their types, so that the other rooms can ask for one without importing ROS."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from act_inference_ros.errors import MissingDependencyError


@cache
def message_class(message_type: str) -> Any:
    """Return the Python class of a type such as `sensor_msgs/msg/JointState` or `control_msgs/action/GripperCommand`.

    Raises MissingDependencyError, which names the package to install, if the type's package is missing.
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


_AS_IN_MSG = {"double": "float64", "float": "float32", "boolean": "bool", "octet": "byte"}
"""Name of a type in rosidl's Python code -> its name in a .msg file, where the two differ."""
_SEQUENCE = re.compile(r"sequence<(?P<of>.+?)(, (?P<most>\d+))?>")
_ARRAY = re.compile(r"(?P<of>.+)\[(?P<length>\d+)\]")
_BOUNDED = re.compile(r"(?P<kind>w?string)<(?P<most>\d+)>")


def definitions_of(message: Any) -> Mapping[str, str]:
    """Return type name -> definition, in the form of a .msg file, for a message's type and all types in it.

    The definitions come from the message's class, so they match the installed package.
    """
    found: dict[str, str] = {}
    _define(type(message), found)
    return found


def _define(kind: Any, found: dict[str, str]) -> None:
    package, *_ = kind.__module__.split(".")
    name = f"{package}/msg/{kind.__name__}"
    if name in found:
        return
    fields = {field: _in_msg(text) for field, text in kind.get_fields_and_field_types().items()}
    found[name] = "".join(f"{text} {field}\n" for field, text in fields.items())
    for text in fields.values():
        if "/" in text:
            package, _, inner = text.partition("[")[0].partition("/")
            _define(message_class(f"{package}/msg/{inner}"), found)


def _in_msg(text: str) -> str:
    """Return a field's type as a .msg file writes it: `sequence<double, 3>` is `float64[<=3]`."""
    if (found := _SEQUENCE.fullmatch(text)) is not None:
        most = f"<={found['most']}" if found["most"] else ""
        return f"{_in_msg(found['of'])}[{most}]"
    if (found := _ARRAY.fullmatch(text)) is not None:
        return f"{_in_msg(found['of'])}[{found['length']}]"
    if (found := _BOUNDED.fullmatch(text)) is not None:
        return f"{found['kind']}<={found['most']}"
    return _AS_IN_MSG.get(text, text)
