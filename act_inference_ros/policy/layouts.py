"""Finds the checkpoint in a directory, and the files of its weights, for every layout that training writes.

Source: LeRobot's common/train_utils.py (checkpoints/<step>/pretrained_model, with `last` pointing to the newest step)
and scripts/lerobot_convert_dcp.py; Hugging Face's index of weights that are split over several files.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from act_inference_ros.errors import CheckpointError
from act_inference_ros.policy import bounds
from act_inference_ros.policy.checkpoint_files import CONFIG_FILE, WEIGHTS_FILE, sibling
from act_inference_ros.policy.json_files import read_json
from act_inference_ros.policy.refusals import refusal

PRETRAINED = "pretrained_model"
STEPS = "checkpoints"
LAST = "last"
INDEX_FILE = f"{WEIGHTS_FILE}.index.json"
_AVERAGED = "pretrained_model_ema"
_ADAPTERS = ("adapter_config.json", "adapter_model.safetensors")
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")

_logger = logging.getLogger(__name__)


def checkpoint_directory(directory: Path) -> Path:
    """The directory with config.json: `directory` itself, its `pretrained_model/`, or that of a training step.

    Of several steps `checkpoints/last` is used, otherwise the highest; the choice is logged. `directory` itself is
    returned if it contains none of these.
    """
    found = directory
    if not (directory / CONFIG_FILE).exists():
        nested = directory / PRETRAINED
        found = nested if nested.is_dir() else _of_training(directory) or directory
    averaged = found.parent / _AVERAGED
    if found.name == PRETRAINED and averaged.is_dir():
        _logger.warning("%s: %s beside it has averaged weights; give that directory to use them", found, _AVERAGED)
    return found


def highest_step(names: list[str]) -> str | None:
    """The directory of the training step to use: `last`, or the highest number; None if there is none."""
    numbers = [name for name in names if name.isascii() and name.isdigit() and len(name) < 20]
    return LAST if LAST in names else max(numbers, key=int, default=None)


def _of_training(directory: Path) -> Path | None:
    steps = directory / STEPS if (directory / STEPS).is_dir() else directory
    with_policy = [step.name for step in steps.iterdir() if (step / PRETRAINED).is_dir()]
    step = highest_step(with_policy)
    if step is None:
        return None
    found = steps / step / PRETRAINED
    _logger.warning("%s is a training's output; taken is %s, of the steps %s", directory, found, sorted(with_policy))
    return found


def weight_files(directory: Path) -> tuple[Path, ...]:
    """The safetensors files with the weights: model.safetensors, or the files in its index.

    Raises CheckpointError, with what to do, for weights in another format.
    """
    adapters = [name for name in _ADAPTERS if (directory / name).exists()]
    if adapters:
        found = (
            f"{adapters[0]}, a PEFT adapter. Merge it into the policy it was trained from first (peft's "
            "merge_and_unload(), then save_pretrained()) and give the directory that this writes"
        )
        raise refusal(directory, "a whole policy", found)
    if (directory / WEIGHTS_FILE).exists():
        return (directory / WEIGHTS_FILE,)
    if (directory / INDEX_FILE).exists():
        return _shards(directory / INDEX_FILE)
    raise _missing(directory)


def _missing(directory: Path) -> CheckpointError:
    expected, found = "a file of a LeRobot checkpoint (the directory pretrained_model/)", "none"
    pickle = next((name for name in _PICKLES if (directory / name).exists()), None)
    if any(_distributed(directory)):
        found = (
            "a distributed checkpoint (checkpoint_format=dcp). Make the file with LeRobot's "
            f"`lerobot-convert-dcp --checkpoint_dir={directory.parent}`"
        )
    elif pickle is not None:
        found = (
            f"{pickle}, which is not opened, for a pickle runs code. Convert it to {WEIGHTS_FILE} where you trust it"
        )
    elif (directory / CONFIG_FILE).exists():
        found = "none. Copy it from where config.json came from"
    return refusal(directory / WEIGHTS_FILE, expected, found)


def _distributed(directory: Path) -> Iterator[Path]:
    """Files of a distributed checkpoint, in the directory or in one of its subdirectories."""
    for pattern in ("*.distcp", "*/*.distcp"):
        yield from directory.glob(pattern)


def _shards(index: Path) -> tuple[Path, ...]:
    placed = read_json(index).get("weight_map")
    if not isinstance(placed, dict):
        raise refusal(index, "weight_map to be an object", placed)
    files = set()
    for name in placed.values():
        file = sibling(index, name)
        if file is None:
            raise refusal(index, "weight_map to name files in this directory", name)
        files.add(file)
    if not 0 < len(files) <= bounds.SHARDS:
        raise refusal(index, f"weight_map to name 1 to {bounds.SHARDS} files", len(files))
    return tuple(sorted(files))
