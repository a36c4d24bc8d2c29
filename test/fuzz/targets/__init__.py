"""The targets by name. Each module has the function that makes its targets, which imports what they need."""

from __future__ import annotations

import importlib
from pathlib import Path

from test.fuzz.target import Target

MODULES = {
    "config": "checkpoints",
    "processors": "checkpoints",
    "safetensors": "checkpoints",
    "parameter_file": "parameter_files",
    "robot_description": "robot_descriptions",
    "spec": "servers",
    "server": "servers",
    "raw_image": "images",
    "compressed_image": "images",
    "states": "messages",
    "bag_mcap": "bags",
    "bag_sqlite": "bags",
    "bag_metadata": "bags",
    "dump": "dumps",
    "dataset_info": "datasets",
    "dataset_table": "datasets",
    "dataset_video": "datasets",
    "draft": "drafts",
    "results": "written_files",
}
"""Target -> the module here that makes it."""


def make_target(name: str, directory: Path) -> Target:
    """Make a target; its files lie in `directory`, which is its own."""
    module = importlib.import_module(f"{__name__}.{MODULES[name]}")
    target: Target = getattr(module, name)(directory)
    return target
