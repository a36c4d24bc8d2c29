"""CommandGraph: who listens to the commands, and who else publishes on the command topics."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from rclpy.node import Node

from act_inference_ros.ros.policy.commands import Outlet

LOOK_AROUND_S = 0.2
"""Period of the search for other publishers; listeners are counted at every call of `look`."""


class Heard(NamedTuple):
    """How many nodes listen to a controller's commands, and the full names of other nodes that publish them."""

    controller: str
    listeners: int
    others: tuple[str, ...]


def publisher_name(endpoint: Any) -> str:
    """Return the full name of the node that an rclpy TopicEndpointInfo belongs to."""
    return f"{endpoint.node_namespace.rstrip('/')}/{endpoint.node_name}"


class CommandGraph:
    """Reads the ROS graph; `outlets` maps each controller to its outlet. For one thread."""

    def __init__(self, node: Node, outlets: Mapping[str, Outlet]) -> None:
        self._node = node
        self._outlets = dict(outlets)
        self._others: dict[str, tuple[str, ...]] = dict.fromkeys(outlets, ())
        self._looked = float("-inf")

    def look(self) -> Iterator[Heard]:
        """Yield what is known now for each controller."""
        if time.monotonic() >= self._looked + LOOK_AROUND_S:
            self._looked = time.monotonic()
            self._others = {name: self._others_on(outlet.topic_name) for name, outlet in self._outlets.items()}
        for name, outlet in self._outlets.items():
            yield Heard(name, outlet.listeners, self._others[name])

    def _others_on(self, topic: str | None) -> tuple[str, ...]:
        if topic is None:
            return ()
        found = self._node.get_publishers_info_by_topic(topic)
        names = [publisher_name(each) for each in found]
        ours = self._node.get_fully_qualified_name()
        twins = [f"another {ours}"] if names.count(ours) > 1 else []  # two nodes of one name
        return (*sorted(set(names) - {ours}), *twins)
