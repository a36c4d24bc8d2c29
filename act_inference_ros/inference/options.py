"""ClientOptions: everything an inference client can be told, one part for each mode. Imports no mode's packages."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.inference.local.options import LocalOptions
from act_inference_ros.inference.triton.options import TritonOptions
from act_inference_ros.interfaces import DEFAULT_MODE, FALLBACKS, MODES

MODE_VARIABLE = "INFERENCE_MODE"
"""Environment variable that stands in for a mode that is not given."""


@dataclass(frozen=True)
class ClientOptions:
    """The mode, what computes while it cannot (`fallback`, empty for nothing), and what each mode is told."""

    mode: str = DEFAULT_MODE
    fallback: str = ""
    local: LocalOptions = field(default_factory=LocalOptions)
    triton: TritonOptions = field(default_factory=TritonOptions)

    def __post_init__(self) -> None:
        """Raise ConfigurationError for a word that is no mode; it lists those that are."""
        if self.mode not in MODES:
            raise ConfigurationError(f"mode {self.mode!r}: expected one of {', '.join(MODES)}")
        if self.fallback not in FALLBACKS:
            raise ConfigurationError(f"fallback {self.fallback!r}: expected local or nothing")


def chosen_mode(given: str | None) -> str:
    """Return the given mode, else the environment's, else the default."""
    return given or os.environ.get(MODE_VARIABLE) or DEFAULT_MODE
