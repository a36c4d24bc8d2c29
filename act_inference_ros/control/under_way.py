"""UnderWay: the newest commands of a controller, which may not have been published yet."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from act_inference_ros.interfaces import Command

MOST_UNDER_WAY = 64
"""At most this many commands wait to be published: far more than two threads can make before one publishes."""

Before = TypeVar("Before")


class UnderWay(Generic[Before]):
    """Stores with each command the state before it, which is restored if the command is not published."""

    def __init__(self) -> None:
        self._commands: deque[tuple[Command, Before]] = deque(maxlen=MOST_UNDER_WAY)

    def add(self, command: Command, before: Before) -> None:
        """Note a command that is sent, and the state before it."""
        self._commands.append((command, before))

    def take_back(self, command: Command, now: Before) -> Before:
        """Forget `command` and all that were added after it; return the state before it.

        If `command` is no longer known, that is the state before the oldest known command, or `now` if none is known.
        """
        before = now
        while self._commands:
            sent, before = self._commands.pop()
            if sent is command:
                break
        return before

    def clear(self) -> None:
        """Forget all commands."""
        self._commands.clear()
