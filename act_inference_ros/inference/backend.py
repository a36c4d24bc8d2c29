"""Backend: what a way of computing chunks must offer, so that the client and the fallback need not know which it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy.typing as npt

from act_inference_ros.spec import PolicySpec


class Backend(Protocol):
    """What a mode implements. `infer` and `close` may be called from any thread, also at the same time."""

    @property
    def spec(self) -> PolicySpec:
        """What the policy reads and writes."""

    @property
    def source(self) -> str:
        """Where the policy runs, for messages."""

    @property
    def model_version(self) -> str:
        """The version of a server's model that computed the newest chunk; empty where there is none."""

    @property
    def takes_jpeg(self) -> bool:
        """Whether images had better come as JPEG bytes; otherwise these are decoded here."""

    @property
    def reconnects(self) -> int:
        """How often a server answered again after it had not."""

    @property
    def warm_up_s(self) -> float:
        """How long the slowest inference took by which the backend was tried before its first use, s."""

    def infer(self, inputs: Mapping[str, npt.NDArray[Any] | bytes], request_id: str = "") -> Any:
        """Checked inputs in the order of `spec.keys` -> a chunk that is not checked yet.

        `request_id` names the request in a server's traces and logs.
        """

    def accept_policy(self, policy_id: str) -> None:
        """Go on with the policy that AnotherPolicyError named; `spec` has its policy_id afterwards."""

    def close(self) -> None:
        """Release everything; a second call does nothing."""
