"""The package's exceptions. Each message says what was expected, what came, and what to do.

Everything raised for a user's mistake or a fault outside this process derives from `ActInferenceError`;
command-line programs print its message as one line and exit with status 2. Imports nothing of the package.
"""

from collections.abc import Iterable


class ActInferenceError(Exception):
    """Base of every error this package raises on purpose."""


class MissingDependencyError(ActInferenceError):
    """An optional package is not installed; the message names it and how to install it."""


class ConfigurationError(ActInferenceError):
    """A parameter, argument or environment variable is wrong, or does not fit the policy."""


class CheckpointError(ActInferenceError):
    """A checkpoint directory cannot be used; the message names the file and the thing in it."""


class ObservationError(ActInferenceError, ValueError):
    """An observation (or a message it is made from) is not what the policy reads."""


class InferenceError(ActInferenceError):
    """A chunk could not be computed. The subclasses say what kind of reaction is needed."""


class NotReadyError(InferenceError):
    """The client is closed, or the server cannot be reached or does not have the model."""


class EngineEndedError(NotReadyError):
    """The process that computes the policy has ended; another one is being started."""


class InferenceTimeoutError(InferenceError, TimeoutError):
    """No answer within the deadline; the late answer will be dropped."""


class EngineHungError(EngineEndedError, InferenceTimeoutError):
    """The process that computes the policy hung or was stopped by a signal; it was ended, and another is started."""


class RejectedError(InferenceError):
    """The server refused the request."""


class RejectedInputError(RejectedError):
    """The server refused the request because of its observation; another server would do the same."""


class AnotherPolicyError(InferenceError):
    """The answers come from another policy than the one that this client began with.

    `policy_id` is the id of the other policy, for `accept_policy`; empty if the client cannot continue with it.
    """

    def __init__(self, message: str, policy_id: str = "") -> None:
        super().__init__(message)
        self.policy_id = policy_id


class BadOutputError(InferenceError):
    """The policy or server answered with a wrong name, dtype or shape, or a non-finite number."""


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, or the name of its class if there is no message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


NAMES_SHOWN, LONGEST_NAME_SHOWN = 50, 100


def shown_names(names: Iterable[str]) -> str:
    """Return a message's list of names for an error: not all of them, nor whole, for anybody may send any message."""
    told = [str(name) for name in names]
    shown = [name[:LONGEST_NAME_SHOWN] for name in told[:NAMES_SHOWN]]
    return f"{shown}{f' and {len(told) - NAMES_SHOWN} more' if len(told) > NAMES_SHOWN else ''}"
