"""Backend: the interface of everything that computes chunks, so that client and fallback treat all backends alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

import numpy.typing as npt

from act_inference_ros.spec import PolicySpec

ENGINE, PRECISION, DEVICE, PROVIDERS = "engine", "precision", "device", "providers"
PRECISION_ERROR, ISOLATION, RESTARTS = "precision error", "isolation", "inference process restarts"
FALLBACK_BECAUSE = "fallback because"
"""Names of a backend's facts."""

Progress: TypeAlias = Callable[[str], None]
"""Called with the current step or wait while a policy is opened; an exception that it raises ends the opening."""


def silently(_: str) -> None:
    """Ignore the progress; this is a `Progress`."""


class Backend(Protocol):
    """The interface of a mode's backend. `infer` and `close` may be called from any thread, also at the same time."""

    @property
    def spec(self) -> PolicySpec:
        """What the policy reads and writes."""

    @property
    def source(self) -> str:
        """Where the policy runs, for messages."""

    @property
    def model_version(self) -> str:
        """The version of the server's model that computed the newest chunk; empty without a server."""

    @property
    def takes_jpeg(self) -> bool:
        """Whether the backend prefers images as JPEG bytes; otherwise the caller decodes them."""

    @property
    def facts(self) -> Mapping[str, str]:
        """What computes now, for diagnostics and reports: name (see above) -> text; empty if unknown."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes that a person should read once after the backend has been opened; a sentence each."""

    @property
    def reconnects(self) -> int:
        """How often a server answered again after a failure."""

    @property
    def warm_up_s(self) -> float:
        """Time of the slowest trial inference before the first use, s."""

    def infer(self, inputs: Mapping[str, npt.NDArray[Any] | bytes], request_id: str = "") -> Any:
        """Checked inputs in the order of `spec.keys` -> a chunk that is not checked yet.

        `request_id` names the request in a server's traces and logs.
        """

    def accept_policy(self, policy_id: str) -> None:
        """Continue with the policy that AnotherPolicyError named; `spec` has its policy_id afterwards."""

    def close(self) -> None:
        """Release everything; a second call does nothing."""
