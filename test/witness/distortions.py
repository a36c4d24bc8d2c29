"""What makes a fault of an input's messages: each function here makes a distortion, or is one.

A distortion takes a message and gives what is published instead, None for silence.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from std_msgs.msg import Float64MultiArray


def the_same_again() -> Callable[[Any], Any]:
    """A driver that repeats its last message, stamp and all."""
    kept: list[Any] = []

    def repeat(message: Any) -> Any:
        kept.append(message)
        return kept[0]

    return repeat


def the_same_pixels() -> Callable[[Any], Any]:
    """A camera whose picture is stuck while its stamps go on."""
    kept: list[Any] = []

    def repeat(message: Any) -> Any:
        kept.append(message.data)
        message.data = kept[0]
        return message

    return repeat


def every(count: int) -> Callable[[], Callable[[Any], Any]]:
    """Only each `count`-th message comes."""

    def make() -> Callable[[Any], Any]:
        numbers = iter(range(10**9))
        return lambda message: message if next(numbers) % count == count - 1 else None

    return make


def now_and_then() -> Callable[[Any], Any]:
    """Half a second of silence, a fifth of a second of messages."""
    begin = time.monotonic()
    return lambda message: message if (time.monotonic() - begin) % 0.9 > 0.7 else None


def scrambled(message: Any) -> Any:
    """Bytes that are no picture behind the header of one."""
    data = bytearray(message.data)
    data[60:] = random.Random(0).randbytes(len(data) - 60)
    message.data = bytes(data)
    return message


def numbers(*values: float) -> Callable[[Any], Any]:
    return lambda _: Float64MultiArray(data=list(values))


def small_picture(message: Any) -> Any:
    """A picture of another size than the policy's."""
    import cv2
    import numpy as np

    message.data = cv2.imencode(".png", np.zeros((48, 128, 3), np.uint8))[1].tobytes()
    return message


def always(distortion: Callable[[Any], Any]) -> Callable[[], Callable[[Any], Any]]:
    return lambda: distortion


def not_a_number_in(joint: str) -> Callable[[Any], Any]:
    def spoil(message: Any) -> Any:
        message.position[list(message.name).index(joint)] = float("nan")
        return message

    return spoil


def without_named(message: Any, joint: str) -> Any:
    message.name[list(message.name).index(joint)] = "somebody_elses"
    return message
