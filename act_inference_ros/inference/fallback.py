"""FallbackBackend: a second backend computes while the first cannot."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from act_inference_ros.errors import (
    BadOutputError,
    ConfigurationError,
    InferenceError,
    InferenceTimeoutError,
    NotReadyError,
)
from act_inference_ros.inference.backend import Backend
from act_inference_ros.spec import PolicySpec

RETRY_S = 0.5
"""Between two looks whether the first backend works again."""

_log = logging.getLogger(__name__)


class FallbackBackend:
    """Infers with `primary`; from its first failure on with `secondary`, until an inference works there again.

    Whether it does is tried by a thread, with the newest inputs: no request waits for a server that may not answer.
    Only what is not the input's fault makes it change over: NotReadyError and InferenceTimeoutError.
    """

    def __init__(self, primary: Backend, secondary: Backend) -> None:
        """Raises ConfigurationError, showing both sides, if the two do not have the same policy."""
        ours, theirs = primary.spec, secondary.spec
        differing = [f for f in PolicySpec.__dataclass_fields__ if getattr(ours, f) != getattr(theirs, f)]
        if differing:
            sides = "; ".join(f"{name}: {getattr(ours, name)} and {getattr(theirs, name)}" for name in differing)
            raise ConfigurationError(
                f"fallback: {primary.source} and {secondary.source} are different policies: {sides}"
            )
        self._primary = primary
        self._secondary = secondary
        self._closed = threading.Event()
        self._lost = threading.Event()
        self._newest: Mapping[str, npt.NDArray[Any] | bytes] = {}
        threading.Thread(target=self._look_after_primary, name="fallback", daemon=True).start()

    @property
    def spec(self) -> PolicySpec:
        """What both read and write."""
        return self._primary.spec

    @property
    def source(self) -> str:
        """Where chunks come from now."""
        if self._lost.is_set():
            return f"{self._secondary.source} (fallback: no answer from {self._primary.source})"
        return self._primary.source

    @property
    def takes_jpeg(self) -> bool:
        """As the first one; the second decodes."""
        return self._primary.takes_jpeg

    @property
    def reconnects(self) -> int:
        """How often a server answered again after it had not."""
        return self._primary.reconnects

    @property
    def warm_up_s(self) -> float:
        """The slower of the two."""
        return max(self._primary.warm_up_s, self._secondary.warm_up_s)

    def infer(self, inputs: Mapping[str, npt.NDArray[Any] | bytes]) -> Any:
        """Checked inputs in the order of `spec.keys` -> a chunk that is not checked yet."""
        self._newest = inputs
        if not self._lost.is_set():
            try:
                return self._primary.infer(inputs)
            except (NotReadyError, InferenceTimeoutError) as error:
                if self._closed.is_set():
                    raise
                _log.warning("falling back to %s: %s", self._secondary.source, error)
                self._lost.set()
        return self._secondary.infer(inputs)

    def close(self) -> None:
        """Release both."""
        self._closed.set()
        self._lost.set()  # so that the thread sees it
        self._primary.close()
        self._secondary.close()

    def _look_after_primary(self) -> None:
        while not self._closed.is_set():
            self._lost.wait()
            if self._closed.wait(RETRY_S):
                return
            try:
                self.spec.check_chunk(self._primary.infer(self._newest), self._primary.source)
            except (InferenceError, BadOutputError) as error:
                _log.debug("still on the fallback: %s", error)
                continue
            _log.warning("back to %s", self._primary.source)
            self._lost.clear()
