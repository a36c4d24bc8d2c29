"""Relative topic names, resolved for a node as ROS does it."""

from __future__ import annotations

from collections.abc import Mapping

from act_inference_ros.robot.parameters import Value

NODE_NAME = "policy_node"
"""The node's name, unless it is started with another one."""
DEFAULT_NODE = f"/{NODE_NAME}"
"""The node's full name if no namespace is given."""


def full_name(topic: str, node: str = DEFAULT_NODE) -> str:
    """Return the full name of `topic` for the node whose full name is `node`; an empty name stays empty.

    `joint_states` belongs to the node's namespace, `~/joint_states` to the node itself; `/joint_states` is full
    already.
    """
    if not topic or topic.startswith("/"):
        return topic
    if topic == "~" or topic.startswith("~/"):
        return node + topic[1:]
    return f"{node.rpartition('/')[0]}/{topic}"


def node_in(namespace: str) -> str:
    """Return the full name of policy_node in a namespace; slashes around the namespace are optional."""
    return "/".join(("", *filter(None, namespace.split("/")), NODE_NAME))


def with_full_names(values: Mapping[str, Value], node: str) -> dict[str, Value]:
    """Return the parameters' values with every topic's full name for `node`."""
    resolved = dict(values)
    for name, value in values.items():
        if isinstance(value, str) and (name.endswith(".topic") or name == "robot_description_topic"):
            resolved[name] = full_name(value, node)
        elif isinstance(value, list) and name.endswith(".topics"):
            resolved[name] = [full_name(str(each), node) for each in value]
    return resolved
