"""FallbackBackend: a second backend computes while the first one fails."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt

from act_inference_ros.errors import (
    ActInferenceError,
    AnotherPolicyError,
    ConfigurationError,
    InferenceError,
    RejectedInputError,
)
from act_inference_ros.inference.backend import FALLBACK_BECAUSE, Backend
from act_inference_ros.spec import PolicySpec, shown_id

RETRY_S = 0.5
"""Time between two checks whether the first backend works again."""

_log = logging.getLogger(__name__)

Inputs = Mapping[str, "npt.NDArray[Any] | bytes"]


class FallbackBackend:
    """Infers with the first backend; after a failure with the second, until an inference works on the first again.

    A thread tries the first backend with the newest inputs, so no request waits for a server that may not answer. All
    failures count, except that of a request which any other server would refuse, too. Both backends must have the same
    policy, by policy_id.
    """

    def __init__(self, open_primary: Callable[[], Backend], secondary: Backend) -> None:
        """Open the first backend; if it is not available (an InferenceError), begin with the second.

        Raises ConfigurationError, showing both sides, if the two do not have the same policy, and what `open_primary`
        raises for a user's mistake.
        """
        self._open_primary = open_primary
        self._secondary = secondary
        self._primary: Backend | None = None
        self._closed = threading.Event()
        self._lost = threading.Event()
        self._why = ""
        self._newest: Inputs = {}
        try:
            self._primary = self._opened()
        except InferenceError as error:
            self._lose(error)
        arguments = weakref.ref(self), self._lost, self._closed
        threading.Thread(target=_look_after, args=arguments, name="fallback", daemon=True).start()

    @property
    def spec(self) -> PolicySpec:
        """What both backends read and write."""
        return self._secondary.spec

    @property
    def source(self) -> str:
        """Where chunks come from now; `facts` say why it is not the first backend."""
        primary = self._primary
        return f"{self._secondary.source} (fallback)" if primary is None or self._lost.is_set() else primary.source

    @property
    def model_version(self) -> str:
        """The version of the model that computed the newest chunk; empty while the second backend computes."""
        primary = self._primary
        return "" if primary is None or self._lost.is_set() else primary.model_version

    @property
    def facts(self) -> Mapping[str, str]:
        """The facts of the backend that computes now; of the second also why it does."""
        primary = self._primary
        if primary is None or self._lost.is_set():
            return {**self._secondary.facts, FALLBACK_BECAUSE: self._why}
        return primary.facts

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes of both backends."""
        return (*(() if self._primary is None else self._primary.notes), *self._secondary.notes)

    @property
    def takes_jpeg(self) -> bool:
        """The preference of the first backend, once it is open; the second decodes JPEGs itself."""
        return self._primary is not None and self._primary.takes_jpeg

    @property
    def reconnects(self) -> int:
        """How often a server answered again after a failure."""
        return 0 if self._primary is None else self._primary.reconnects

    @property
    def warm_up_s(self) -> float:
        """The slower of the two warm-up times, s."""
        return max(0.0 if self._primary is None else self._primary.warm_up_s, self._secondary.warm_up_s)

    def infer(self, inputs: Inputs, request_id: str = "") -> Any:
        """Checked inputs in the order of `spec.keys` -> a chunk."""
        self._newest = inputs
        primary = self._primary
        if primary is not None and not self._lost.is_set():
            try:
                return self.spec.check_chunk(primary.infer(inputs, request_id), primary.source)
            except RejectedInputError:
                raise
            except InferenceError as error:
                if self._closed.is_set():
                    raise
                self._lose(error)
        return self._secondary.infer(inputs, request_id)

    def accept_policy(self, policy_id: str) -> None:
        """Raise AnotherPolicyError, because the second backend's policy cannot be replaced."""
        raise AnotherPolicyError(
            f"the fallback has policy {shown_id(self.spec.policy_id)}: create another client to use another one"
        )

    def close(self) -> None:
        """Release both backends."""
        self._closed.set()
        self._lost.set()  # so that the thread notices it
        if self._primary is not None:
            self._primary.close()
        self._secondary.close()

    def _opened(self) -> Backend:
        """Open the first backend, which must have the policy of the second. Raises as `open_primary`."""
        primary = self._open_primary()
        try:
            _check_same_policy(primary, self._secondary)
        except ConfigurationError:
            primary.close()
            raise
        return primary

    def _lose(self, error: Exception) -> None:
        self._why = str(error)
        _log.warning("falling back to %s: %s", self._secondary.source, error)
        self._lost.set()

    def _try_primary(self) -> None:
        primary = self._primary
        if primary is None:
            primary = self._opened()
            self._primary = primary
            if self._closed.is_set():
                primary.close()
                return
        if self._newest:
            self.spec.check_chunk(primary.infer(self._newest, ""), primary.source)
        _log.warning("back to %s", primary.source)
        self._lost.clear()

    def _note(self, error: Exception) -> None:
        if isinstance(error, ActInferenceError):
            self._why = str(error)
            _log.debug("still on the fallback: %s", error)
        else:
            _log.exception("looking whether the server is back failed")


def _look_after(backend: weakref.ref[FallbackBackend], lost: threading.Event, closed: threading.Event) -> None:
    """Try the first backend repeatedly while it is lost, until all is closed or the fallback is no longer used."""
    while not closed.is_set():
        if not lost.wait(RETRY_S):
            if backend() is None:
                return
            continue
        if closed.wait(RETRY_S):
            return
        found = backend()
        if found is None:
            return
        try:
            found._try_primary()
        except Exception as error:  # any error is caught, because only this thread can bring the first backend back
            found._note(error)
        del found


def _check_same_policy(primary: Backend, secondary: Backend) -> None:
    """Raise ConfigurationError, showing both sides, unless the two are known to have the same policy."""
    differing = primary.spec.differences(secondary.spec)
    if differing:
        sides = "; ".join(f"{name}: {ours} and {theirs}" for name, (ours, theirs) in differing.items())
        raise ConfigurationError(
            f"fallback: {primary.source} and {secondary.source} are different policies: {sides}"
            + ("" if primary.spec.policy_id else "; the server does not say which one it has: export it again")
        )
