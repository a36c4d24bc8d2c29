"""CommandGraph: who listens to the commands, and who else publishes on the command topics."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from rclpy.node import Node

from act_inference_ros.ros.policy.commands import Outlet

LOOK_AROUND_S = 0.2
"""How often other publishers are looked for; listeners are counted at every look."""


class Heard(NamedTuple):
    """How many listen to a controller's commands, and the full names of the other nodes that publish on its topic."""

    controller: str
    listeners: int
    others: tuple[str, ...]


class CommandGraph:
    """Reads the ROS graph; `outlets` maps each controller to its outlet. For one thread."""

    def __init__(self, node: Node, outlets: Mapping[str, Outlet]) -> None:
        self._node = node
        self._outlets = dict(outlets)
        self._others: dict[str, tuple[str, ...]] = dict.fromkeys(outlets, ())
        self._looked = float("-inf")

    def look(self) -> Iterator[Heard]:
        """Give what is known of each controller now."""
        if time.monotonic() >= self._looked + LOOK_AROUND_S:
            self._looked = time.monotonic()
            self._others = {name: self._others_on(outlet.topic_name) for name, outlet in self._outlets.items()}
        for name, outlet in self._outlets.items():
            yield Heard(name, outlet.listeners, self._others[name])

    def _others_on(self, topic: str | None) -> tuple[str, ...]:
        if topic is None:
            return ()
        found = self._node.get_publishers_info_by_topic(topic)
        names = [f"{each.node_namespace.rstrip('/')}/{each.node_name}" for each in found]
        ours = self._node.get_fully_qualified_name()
        twins = [f"another {ours}"] if names.count(ours) > 1 else []  # started twice: two of one name
        return (*sorted(set(names) - {ours}), *twins)
