"""The robot description as it is published in ROS: a latched std_msgs/String."""

from __future__ import annotations

import time

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String

WAIT_S = 5.0
"""Longest wait for a description."""
GRAPH_S = 0.5
"""Longest wait to discover a publisher of a description."""


def published_description(node: Node, topic: str, needed: bool) -> str:
    """Return the URDF text on `topic`; empty if there is none.

    Waits at most WAIT_S, or GRAPH_S if no node publishes it and it is not `needed`. A callback of `node` may call this:
    it listens with a node of its own.
    """
    if not topic or not (needed or _is_published(node, node.resolve_topic_name(topic))):
        return ""
    texts: list[str] = []
    listener = Node(
        f"{node.get_name()}_description",
        namespace=node.get_namespace(),
        context=node.context,
        use_global_arguments=False,
        start_parameter_services=False,
    )
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(listener)
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    listener.create_subscription(String, node.resolve_topic_name(topic), lambda m: texts.append(m.data), latched)
    end = time.monotonic() + WAIT_S
    try:
        while not texts and time.monotonic() < end:
            executor.spin_once(timeout_sec=0.05)
    finally:
        executor.shutdown()
        listener.destroy_node()
    return texts[-1] if texts else ""


def _is_published(node: Node, topic: str) -> bool:
    end = time.monotonic() + GRAPH_S
    while not node.count_publishers(topic):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
