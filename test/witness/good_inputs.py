"""Which messages of the sensors are good, by the witness's own reading of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from test.witness.motion import seconds
from test.witness.recording import INPUT, Contract, Event, Recording

FUTURE_S = 0.05
BYTES = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1}
"""Encoding -> bytes of a pixel."""


@dataclass(frozen=True)
class Looked:
    """What is kept of a message that was looked at when it came: header, whether it was good, measured positions."""

    header: Any
    good: bool
    positions: Mapping[str, float] = field(default_factory=dict)


def good_ones(recording: Recording, contract: Contract, name: str) -> list[tuple[float, float]]:
    """Of each good message of an input when it was seen or measured what it tells, and when it was published, s.

    The first is its stamp, or that it came then.
    """
    found = []
    for event in recording.of(INPUT, name):
        taken = taken_at(event)
        if taken is not None and taken <= event.time + FUTURE_S and is_good(event.message, contract.inputs[name]):
            found.append((taken, event.time))
    return found


def taken_at(event: Event) -> float | None:
    """The stamp; of a message that has none when it was published; None for a stamp of zero."""
    if getattr(event.message, "header", None) is None:
        return event.time
    return seconds(event.message.header.stamp) or None


def is_good(message: Any, wanted: Sequence[str] | tuple[int, int] | int) -> bool:
    """Whether a message holds what the policy reads."""
    if isinstance(message, Looked):
        return message.good
    if hasattr(message, "position"):
        places = {name: place for place, name in enumerate(message.name)}
        if len(message.name) != len(message.position):
            return False
        return all(joint in places and math.isfinite(message.position[places[joint]]) for joint in wanted)  # type: ignore[union-attr]
    if hasattr(message, "encoding"):
        expected = message.width * BYTES.get(message.encoding, 0)
        fits = message.step >= expected > 0 and len(message.data) == message.step * message.height
        return (message.height, message.width) == tuple(wanted) and fits  # type: ignore[arg-type]
    if hasattr(message, "format"):
        data = np.frombuffer(bytes(message.data), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
        return image is not None and image.shape[:2] == tuple(wanted)  # type: ignore[arg-type]
    return len(message.data) == wanted and bool(np.isfinite(message.data).all())
