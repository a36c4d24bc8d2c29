"""Occasions: decides when the black box is written automatically. It has no clock; its caller reports the events."""

from __future__ import annotations

from act_inference_ros.errors import EngineEndedError, EngineHungError
from act_inference_ros.execution.states import Standing, State

HOLD_S = 1.0
"""A hold that lasts longer than this is an occasion."""
PROCESS_ENDED = "inference process ended"
PROCESS_HUNG = "inference process hung"
"""The process was stopped, or an inference took far too long and the process was ended for that."""


class Occasions:
    """Each method returns the reason to write now, or None; each stop, hold and end of a process is reported once.

    After the end of a process, further failures count as part of the same event until the next chunk arrives.
    """

    def __init__(self) -> None:
        self._state = State.INACTIVE
        self._held_since = 0.0
        self._told = False
        self._process_ended = False

    def stands(self, standing: Standing, now: float) -> str | None:
        """Take the supervisor's standing at `now`, s; a stop and a hold that has lasted HOLD_S are reasons."""
        if standing.state is not self._state:
            self._state, self._held_since, self._told = standing.state, now, False
        if self._told:
            return None
        stopped = standing.state is State.STOPPED
        held = standing.state is State.HOLDING and now - self._held_since > HOLD_S
        if not (stopped or held):
            return None
        self._told = True
        return f"{standing.state.value}: {standing.reason}"

    def failed(self, error: Exception) -> str | None:
        """Note a failed inference; it is a reason if the inference process has ended, or hung and was ended."""
        known, self._process_ended = self._process_ended, isinstance(error, EngineEndedError)
        if known or not self._process_ended:
            return None
        return PROCESS_HUNG if isinstance(error, EngineHungError) else PROCESS_ENDED

    def inferred(self) -> None:
        """Note that a chunk has come, so the process works."""
        self._process_ended = False
