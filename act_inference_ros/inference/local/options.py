"""LocalOptions: which checkpoint to run on this machine, and how. Imports nothing of torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from os import PathLike

from act_inference_ros.inference.option_values import check_flag, check_text, check_whole_number, text_of

CHECKPOINT_VARIABLE = "CHECKPOINT_DIR"
"""Environment variable that stands in for a checkpoint that is not given."""
MAX_THREADS = 1024


@dataclass(frozen=True)
class LocalOptions:
    """How to run a policy here: what each field may be is said at `InferenceClient.create`."""

    checkpoint: str = ""
    device: str = "auto"
    precision: str = "float32"
    compile: bool = False
    threads: int | None = None

    def check(self) -> None:
        """Raise ConfigurationError for what cannot be right on any machine."""
        for name in ("checkpoint", "device", "precision"):
            check_text(name, getattr(self, name))
        check_flag("compile", self.compile)
        if self.threads is not None:
            check_whole_number("threads", self.threads, 1, MAX_THREADS)


def chosen_checkpoint(given: str | PathLike[str] | None) -> str:
    """Return the checkpoint as text: the given one, else the environment's, else an empty text."""
    return text_of("checkpoint", given) or os.environ.get(CHECKPOINT_VARIABLE, "")
