"""Derives the QoS that a replay offers from the QoS recorded in the bag."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, HistoryPolicy, LivelinessPolicy, QoSProfile, ReliabilityPolicy

DEFAULT_DEPTH = 10
_LONGEST_S = 10_000_000
"""Longer spans mean "none": the middlewares write infinity in several ways."""


def offered_qos(recorded: Sequence[Any]) -> QoSProfile:
    """Return the profile for a topic from the recorded ones (rosbags' `Qos`), one for each publisher.

    If they differ, the result offers the weakest of them, so that it promises no more than every publisher did. Values
    that a recorder cannot know (history, depth) or that are not recorded get the defaults: keep last, 10, reliable.
    """
    if not recorded:
        return QoSProfile(depth=DEFAULT_DEPTH)
    first = recorded[0]
    profile = QoSProfile(depth=max((each.depth for each in recorded), default=0) or DEFAULT_DEPTH)
    if all(each.history.name == "KEEP_ALL" for each in recorded):
        profile.history = HistoryPolicy.KEEP_ALL
    if any(each.reliability.name == "BEST_EFFORT" for each in recorded):
        profile.reliability = ReliabilityPolicy.BEST_EFFORT
    if all(each.durability.name == "TRANSIENT_LOCAL" for each in recorded):
        profile.durability = DurabilityPolicy.TRANSIENT_LOCAL
    if len(set(recorded)) == 1:
        if first.liveliness.name == "MANUAL_BY_TOPIC":
            profile.liveliness = LivelinessPolicy.MANUAL_BY_TOPIC
        for name in ("deadline", "lifespan", "liveliness_lease_duration"):
            span = getattr(first, name)
            if (span.sec, span.nsec) != (0, 0) and span.sec < _LONGEST_S:
                setattr(profile, name, Duration(seconds=span.sec, nanoseconds=span.nsec))
    return profile
