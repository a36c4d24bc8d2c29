"""Where a checkpoint is: a local directory, or a Hugging Face hub id that is downloaded once."""

from __future__ import annotations

import re
from os import PathLike, fspath
from pathlib import Path

from act_inference_ros.errors import CheckpointError, MissingDependencyError
from act_inference_ros.policy.checkpoint_files import CONFIG_FILE
from act_inference_ros.policy.refusals import shown

_HUB_ID = re.compile(r"(?P<id>[\w-][\w.-]*/[\w-][\w.-]*)(@(?P<revision>[\w./-]+))?", re.ASCII)
_TRAINING_SUBDIRECTORY = "pretrained_model"


def resolve_checkpoint(checkpoint: str | PathLike[str]) -> Path:
    """The directory with config.json: `checkpoint` itself, its `pretrained_model/`, or the download of a hub id.

    A hub id is `owner/name`, optionally `owner/name@revision`; an existing directory of that name wins. Raises
    CheckpointError if there is neither, MissingDependencyError if a download needs huggingface_hub.
    """
    name = fspath(checkpoint)
    try:
        path = Path(name).expanduser()
        is_directory, exists = path.is_dir(), path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # too long, not to be looked at, no such user, a null
        raise CheckpointError(f"{shown(repr(name))}: expected a checkpoint directory; found {shown(error)}") from error
    if is_directory:
        nested = path / _TRAINING_SUBDIRECTORY
        return nested if nested.is_dir() and not (path / CONFIG_FILE).exists() else path
    if exists:
        raise CheckpointError(f"{path}: expected a checkpoint directory, found a file; give the directory it is in")
    match = _HUB_ID.fullmatch(name)
    if match is None:
        raise CheckpointError(
            f"{shown(name) or '(empty)'}: expected a checkpoint directory or a hub id owner/name, found neither"
        )
    return _download(match["id"], match["revision"])


def _download(repository: str, revision: str | None) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingDependencyError(
            f"{repository}: no such directory, and a download from the Hugging Face hub needs huggingface_hub: "
            "pip install huggingface_hub"
        ) from error
    try:
        # Only data files of the top folder: checkpoints may have training states and videos beside them.
        directory = snapshot_download(
            repository, revision=revision, allow_patterns=["*.json", "*.safetensors"], ignore_patterns=["*/*"]
        )
    except Exception as error:  # the hub library raises errors of several HTTP libraries
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(
            f"{repository}: no such directory, and it could not be downloaded from the Hugging Face hub: {reason}"
        ) from error
    return Path(directory)
