"""LocalOptions: which checkpoint to run on this machine, and how. Imports no engine's packages."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.inference.option_values import check_flag, check_text, check_whole_number, text_of
from act_inference_ros.interfaces import AUTO, ENGINES, ISOLATIONS, PRECISIONS, PROVIDERS, THREAD, TORCH

CHECKPOINT_VARIABLE = "CHECKPOINT_DIR"
"""Environment variable that is used if no checkpoint is given."""
MAX_THREADS = 1024
MAX_NICENESS = 19
DEFAULT_NICENESS = 5


@dataclass(frozen=True)
class LocalOptions:
    """How to run a policy here; the values of each field are described at `InferenceClient.create`."""

    checkpoint: str = ""
    device: str = AUTO
    precision: str = "float32"
    compile: bool = False
    threads: int | None = None
    engine: str = TORCH
    providers: tuple[str, ...] = (AUTO,)
    isolation: str = THREAD
    niceness: int = DEFAULT_NICENESS

    def check(self) -> None:
        """Raise ConfigurationError for values that are wrong on any machine."""
        for name in ("checkpoint", "device", "precision", "engine", "isolation"):
            check_text(name, getattr(self, name))
        for name, choices in (("engine", ENGINES), ("isolation", ISOLATIONS), ("precision", PRECISIONS)):
            if getattr(self, name) not in choices:
                raise ConfigurationError(f"{name} {getattr(self, name)!r}: expected one of {', '.join(choices)}")
        _check_providers(self.providers)
        check_flag("compile", self.compile)
        if self.threads is not None:
            check_whole_number("threads", self.threads, 1, MAX_THREADS)
        check_whole_number("niceness", self.niceness, 0, MAX_NICENESS)
        if not self.checkpoint:
            raise ConfigurationError("mode local needs a checkpoint: give checkpoint=DIR or set CHECKPOINT_DIR")


def chosen_checkpoint(given: str | PathLike[str] | None) -> str:
    """Return the checkpoint as text: the given one, otherwise the environment's, otherwise an empty text."""
    return text_of("checkpoint", given) or os.environ.get(CHECKPOINT_VARIABLE, "")


def chosen_providers(given: str | Sequence[str]) -> tuple[str, ...]:
    """Return the providers as a tuple, from one name, comma-separated names, or a list of names."""
    if isinstance(given, str):
        return tuple(part.strip() for part in given.split(","))
    return tuple(given)


def _check_providers(providers: Any) -> None:
    expected = f"{AUTO}, or a list of {', '.join(name for name in PROVIDERS if name != AUTO)}"
    if not isinstance(providers, tuple) or not providers or not all(each in PROVIDERS for each in providers):
        raise ConfigurationError(f"providers: expected {expected}, got {providers!r}")
    if len(set(providers)) != len(providers) or (AUTO in providers and len(providers) > 1):
        raise ConfigurationError(f"providers: expected {expected}, each once, got {', '.join(providers)}")
