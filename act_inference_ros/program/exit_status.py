"""What the exit status of this package's programs means; every program returns one of these."""

from __future__ import annotations

from act_inference_ros.errors import (
    AnotherPolicyError,
    BadOutputError,
    CheckpointError,
    ConfigurationError,
    MissingDependencyError,
    ObservationError,
)

OK = 0
"""Done, or told to stop where that is the ordinary end (the nodes)."""
FAULT = 1
"""Something went wrong that is not the user's mistake; one line, or a traceback, says what."""
NOT_MET = 1
"""The program did its work, but the result is below what the user asked for (a threshold, a number of successes)."""
MISTAKE = 2
"""The user's mistake: an argument, a file or a parameter that cannot be used; one line says which."""
INTERRUPTED = 130
"""Interrupted before the work was done, as with Ctrl-C: 128 + SIGINT."""

_MISTAKES = (
    AnotherPolicyError,
    BadOutputError,
    CheckpointError,
    ConfigurationError,
    MissingDependencyError,
    ObservationError,
)


def of_error(error: Exception) -> int:
    """MISTAKE for an error that stays until the user corrects something, FAULT for one that may pass by itself.

    A server that cannot be reached yet, or an inference process that was killed, may be there at the next start.
    """
    return MISTAKE if isinstance(error, _MISTAKES) else FAULT


def of_signal(number: int) -> int:
    """The exit status of a program that signal `number` ended, as shells report it: 128 + number."""
    return 128 + number
