"""IsolatedBackend: the policy in a separate process, which may die or hang without harm to the calling process."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import AnotherPolicyError, ConfigurationError, InferenceTimeoutError, NotReadyError
from act_inference_ros.inference.backend import ISOLATION, RESTARTS
from act_inference_ros.inference.images import as_pixels
from act_inference_ros.inference.local.isolation.keeper import Keeper
from act_inference_ros.inference.local.isolation.running import Ready
from act_inference_ros.inference.local.options import LocalOptions
from act_inference_ros.spec import PolicySpec, shown_id

OPENER = "act_inference_ros.inference.local.engines:open_engine"
HANG_S = 5.0
HANG_WARM_UPS = 10.0
"""An inference that takes longer than both this many warm-ups and this many seconds hangs: the process is ended."""


class IsolatedBackend:
    """A Backend for the engine that `opener` (`module:function`) opens in another process.

    Only one request runs at a time; a second caller waits. While there is no process, `infer` raises at once.
    """

    takes_jpeg = False
    model_version = ""
    reconnects = 0

    def __init__(self, options: LocalOptions, opener: str = OPENER) -> None:
        """Start the process and open the engine. Raises the errors of the opening, with the same class."""
        options.check()
        if not hasattr(os, "memfd_create"):
            raise ConfigurationError("isolation process works on Linux only; set isolation: thread")
        self._niceness = options.niceness
        self._keeper = Keeper(options, opener)
        self._close = weakref.finalize(self, self._keeper.close)  # also when the interpreter ends
        self._requests = threading.Lock()  # only one request runs at a time
        _, ready = self._keeper.current()
        self._spec = ready.spec
        self._last = ready
        self._slowest_s = ready.warm_up_s

    @property
    def spec(self) -> PolicySpec:
        """What the policy reads and writes."""
        return self._spec

    @property
    def source(self) -> str:
        """The source of the engine."""
        return f"{self._last.source}, in a process of its own"

    @property
    def facts(self) -> Mapping[str, str]:
        """The facts of the engine and the process, and how often the process was restarted."""
        try:
            running, self._last = self._keeper.current()
            process = f"process {running.pid}, niceness {self._niceness}, started in {self._last.start_s:.1f} s"
        except NotReadyError:
            process = "process, being started again"
        return {**self._last.facts, ISOLATION: process, RESTARTS: str(self._keeper.restarts)}

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes of the engine."""
        return self._last.notes

    @property
    def warm_up_s(self) -> float:
        """The slowest warm-up so far, s."""
        return self._slowest_s

    def infer(self, inputs: Mapping[str, npt.NDArray[Any] | bytes], request_id: str = "") -> npt.NDArray[np.float32]:
        """Checked inputs -> float32 (chunk_size, action_dim).

        Raises EngineEndedError while there is no process, EngineHungError if it was ended because it hung,
        AnotherPolicyError if the checkpoint has been replaced, and the errors of the engine.
        """
        images = {image.key: image for image in self._spec.images}
        arrays = {key: as_pixels(images[key], x) if key in images else np.asarray(x) for key, x in inputs.items()}
        with self._requests:
            running, ready = self._keeper.current()
            self._look_at(ready)
            limit_s = max(HANG_S, HANG_WARM_UPS * self._slowest_s)
            try:
                return running.infer(arrays, request_id, limit_s)
            except EOFError:
                raise self._keeper.lost(running) from None
            except InferenceTimeoutError as error:
                running.kill(str(error), hung=True)
                raise self._keeper.lost(running) from None

    def accept_policy(self, policy_id: str) -> None:
        """Continue with the policy that the checkpoint holds now. Raises AnotherPolicyError if its id is another."""
        _, ready = self._keeper.current()
        if ready.spec.policy_id == self._spec.policy_id:
            return
        if ready.spec != replace(self._spec, policy_id=policy_id):
            raise AnotherPolicyError(
                f"{self.source}: not the accepted policy {shown_id(policy_id)}, but "
                f"{shown_id(ready.spec.policy_id)}; create another client"
            )
        self._spec = ready.spec

    def close(self) -> None:
        """End the process; a running request raises NotReadyError."""
        self._close()

    def _look_at(self, ready: Ready) -> None:
        """Raise AnotherPolicyError unless the process has the policy that this backend began with."""
        self._last = ready
        self._slowest_s = max(self._slowest_s, ready.warm_up_s)
        if ready.spec == self._spec:
            return
        same_kind = replace(ready.spec, policy_id=self._spec.policy_id) == self._spec
        raise AnotherPolicyError(
            f"{self.source}: the checkpoint holds policy {shown_id(ready.spec.policy_id)} now, it began with "
            f"{shown_id(self._spec.policy_id)}" + ("" if same_kind else ", which reads or writes something else"),
            ready.spec.policy_id if same_kind else "",
        )
