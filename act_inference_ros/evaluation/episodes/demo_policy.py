"""The defaults of eval_policy: the demo robot's parameter file and its trained policy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from act_inference_ros.policy import checkpoint_files
from act_inference_ros.program.installed_files import share_directory
from act_inference_ros.simulation.trainer import make_checkpoint

PARAMETER_FILE = Path("config", "sim_arm.yaml")
CHECKPOINT = Path(".demo", "checkpoint")
"""The path at which `make demo` writes it, relative to the working directory."""


def parameter_file() -> Path:
    """The demo robot's parameter file. Raises ConfigurationError where the package's files are not installed."""
    return share_directory() / PARAMETER_FILE


def is_trained() -> bool:
    """Whether the demo's policy is there."""
    return checkpoint_files.is_complete(CHECKPOINT)


def checkpoint(say: Callable[[str], None]) -> Path:
    """Return the demo's policy; if it does not exist, train it first and report the progress."""
    if not is_trained():
        say(f"no policy named (--checkpoint, CHECKPOINT_DIR): training the demo's into {CHECKPOINT}, some minutes")
        make_checkpoint(CHECKPOINT, log=say)
    return CHECKPOINT
