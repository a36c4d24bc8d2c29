"""ClientOptions: all options of an inference client, one part for each mode. Imports no mode's packages."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.inference.backend import Progress, silently
from act_inference_ros.inference.local.options import LocalOptions
from act_inference_ros.inference.triton.options import TritonOptions
from act_inference_ros.interfaces import DEFAULT_MODE, FALLBACKS, MODES

MODE_VARIABLE = "INFERENCE_MODE"
"""Environment variable that is used if no mode is given."""


@dataclass(frozen=True)
class ClientOptions:
    """The mode, its `fallback` (empty for none), and the options of each mode.

    `progress` is called with what opening the policy waits for.
    """

    mode: str = DEFAULT_MODE
    fallback: str = ""
    local: LocalOptions = field(default_factory=LocalOptions)
    triton: TritonOptions = field(default_factory=TritonOptions)
    progress: Progress = silently

    def __post_init__(self) -> None:
        """Raise ConfigurationError for an unknown mode or fallback; it lists the known ones."""
        if self.mode not in MODES:
            raise ConfigurationError(f"mode {self.mode!r}: expected one of {', '.join(MODES)}")
        if self.fallback not in FALLBACKS:
            raise ConfigurationError(f"fallback {self.fallback!r}: expected local or nothing")


def chosen_mode(given: str | None) -> str:
    """Return the given mode, otherwise the environment's, otherwise the default."""
    return given or os.environ.get(MODE_VARIABLE) or DEFAULT_MODE
