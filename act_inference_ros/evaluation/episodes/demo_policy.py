"""What eval_policy takes where nothing is named: the demo robot's parameter file and its trained policy."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.simulation.trainer import make_checkpoint

PACKAGE = "act_inference_ros"
PARAMETER_FILE = Path("config", "sim_arm.yaml")
CHECKPOINT = Path(".demo", "checkpoint")
"""Where `make demo` puts it, from the directory it is called in."""

_CHECKOUT = Path(__file__).resolve().parents[3]


def parameter_file() -> Path:
    """The demo robot's, of a colcon install, of a pip install, or of the source checkout."""
    prefixes = [Path(prefix) for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if prefix]
    shares = [prefix / "share" / PACKAGE for prefix in (*prefixes, Path(sys.prefix))]
    for share in (*shares, _CHECKOUT):
        if (share / PARAMETER_FILE).is_file():
            return share / PARAMETER_FILE
    raise ConfigurationError(f"{PARAMETER_FILE} of {PACKAGE} is not installed; name a parameter file with --params")


def is_trained() -> bool:
    """Whether the demo's policy is there."""
    return (CHECKPOINT / "config.json").is_file()


def checkpoint(say: Callable[[str], None]) -> Path:
    """The demo's policy; trained on the spot, with its progress told, if it is not there yet."""
    if not is_trained():
        say(f"no policy named (--checkpoint, CHECKPOINT_DIR): training the demo's into {CHECKPOINT}, some minutes")
        make_checkpoint(CHECKPOINT, log=say)
    return CHECKPOINT
