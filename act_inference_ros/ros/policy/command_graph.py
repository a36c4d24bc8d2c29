"""CommandGraph: who listens on the command topics, and who else publishes on them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from rclpy.node import Node

LOOK_AROUND_S = 0.2
"""How often other publishers are looked for; listeners are counted at every look."""


class Heard(NamedTuple):
    """A controller's command topic: how many listen, and the full names of the other nodes that publish."""

    controller: str
    listeners: int
    others: tuple[str, ...]


class CommandGraph:
    """Reads the ROS graph; `publishers` maps each controller to its publisher. For one thread."""

    def __init__(self, node: Node, publishers: Mapping[str, Any]) -> None:
        self._node = node
        self._publishers = dict(publishers)
        self._others: dict[str, tuple[str, ...]] = dict.fromkeys(publishers, ())
        self._looked = float("-inf")

    def look(self) -> Iterator[Heard]:
        """Give what is known of each controller now."""
        if time.monotonic() >= self._looked + LOOK_AROUND_S:
            self._looked = time.monotonic()
            self._others = {name: self._others_on(publisher.topic_name) for name, publisher in self._publishers.items()}
        for name, publisher in self._publishers.items():
            yield Heard(name, publisher.get_subscription_count(), self._others[name])

    def _others_on(self, topic: str) -> tuple[str, ...]:
        found = self._node.get_publishers_info_by_topic(topic)
        names = [f"{each.node_namespace.rstrip('/')}/{each.node_name}" for each in found]
        ours = self._node.get_fully_qualified_name()
        twins = [f"another {ours}"] if names.count(ours) > 1 else []  # started twice: two of one name
        return (*sorted(set(names) - {ours}), *twins)
