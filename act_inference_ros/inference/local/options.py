"""LocalOptions: which checkpoint to run on this machine, and how. Imports nothing of torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from os import PathLike, fspath

CHECKPOINT_VARIABLE = "CHECKPOINT_DIR"
"""Environment variable that stands in for a checkpoint that is not given."""


@dataclass(frozen=True)
class LocalOptions:
    """How to run a policy here: what each field may be is said at `InferenceClient.create`."""

    checkpoint: str = ""
    device: str = "auto"
    precision: str = "float32"
    compile: bool = False
    threads: int | None = None


def chosen_checkpoint(given: str | PathLike[str] | None) -> str:
    """Return the checkpoint as text: the given one, else the environment's, else an empty text."""
    return fspath(given) if given else os.environ.get(CHECKPOINT_VARIABLE, "")
