"""Which files make a checkpoint directory complete. Imports neither torch nor safetensors."""

from __future__ import annotations

from pathlib import Path

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
FILES = (CONFIG_FILE, WEIGHTS_FILE)
"""What every LeRobot checkpoint has, whatever its age; newer ones have processor files beside them."""


def is_complete(directory: Path) -> bool:
    """Return whether every file of a checkpoint is in `directory`; what the files hold is judged when they are read."""
    return all((directory / name).is_file() for name in FILES)
