"""How long a message has waited for its callback: what has no stamp of its own is as old as its arrival."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from rclpy.node import Node
from rclpy.subscription import Subscription

Callback: TypeAlias = Callable[[Any, float], None]
"""Is called with a message, and with how long it has waited, s."""

_IS_TOLD = hasattr(Subscription, "CallbackType")
"""Whether this rclpy tells callbacks when a message was received; Humble's does not."""


def with_waiting_time(node: Node, callback: Callback) -> Callable[..., None]:
    """Return a callback for `create_subscription` that calls `callback` with a message and its waiting time, s.

    The time is 0.0 where it is not known: on Humble, with a middleware that does not note when a message was received,
    and on simulated time, in which the middleware's time means nothing.
    """
    if not _IS_TOLD:
        return lambda message: callback(message, 0.0)
    clock: Any = node.get_clock()

    def told(message: Any, info: Mapping[str, Any]) -> None:
        callback(message, 0.0 if clock.ros_time_is_active else _waited_s(info["received_timestamp"]))

    return told


def _waited_s(received_ns: int) -> float:
    """Return how long ago a message was received, s; the middleware writes 0 if it does not know."""
    return max(0.0, (time.time_ns() - received_ns) * 1e-9) if received_ns else 0.0
