"""Puts trained ACT policies (LeRobot checkpoints) on ROS 2 robots."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from act_inference_ros.inference.client import InferenceClient
    from act_inference_ros.spec import PolicySpec

__all__ = ["InferenceClient", "PolicySpec"]

_FOUND_IN = {"InferenceClient": "act_inference_ros.inference.client", "PolicySpec": "act_inference_ros.spec"}


def __getattr__(name: str) -> Any:
    """Import a public name only when it is used: every executable imports this package before it handles signals."""
    if name not in _FOUND_IN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_FOUND_IN[name]), name)
