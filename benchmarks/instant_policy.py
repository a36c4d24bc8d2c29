"""A backend of InferenceClient that computes nothing, so that a run shows the cost of everything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy.typing as npt

from act_inference_ros.spec import PolicySpec


class InstantPolicy:
    """Answers with what `answer` makes of the checked inputs: an array (chunk_size, action_dim)."""

    source = "the benchmark"
    takes_jpeg = False
    reconnects = 0
    facts: Mapping[str, str] = MappingProxyType({})
    notes: tuple[str, ...] = ()
    model_version = ""
    warm_up_s = 0.0

    def __init__(self, spec: PolicySpec, answer: Callable[[Mapping[str, Any]], npt.NDArray[Any]]) -> None:
        self.spec = spec
        self._answer = answer

    def infer(self, inputs: Mapping[str, Any], request_id: str = "") -> npt.NDArray[Any]:
        return self._answer(inputs)

    def accept_policy(self, policy_id: str) -> None:
        pass

    def close(self) -> None:
        pass
