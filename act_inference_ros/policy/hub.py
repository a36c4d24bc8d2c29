"""Finds a checkpoint: in a local directory, or by a Hugging Face hub id, which is downloaded once."""

from __future__ import annotations

import logging
import re
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from act_inference_ros.errors import CheckpointError, MissingDependencyError
from act_inference_ros.policy.checkpoint_files import CONFIG_FILE, HUB_PREFIX
from act_inference_ros.policy.layouts import PRETRAINED, STEPS, checkpoint_directory, highest_step
from act_inference_ros.policy.refusals import shown

_HUB_ID = re.compile(r"(?P<id>[\w-][\w.-]*/[\w-][\w.-]*)(@(?P<revision>[\w./-]+))?", re.ASCII)
_STEP_CONFIG = re.compile(rf"{STEPS}/(?P<step>\w+)/{PRETRAINED}/{CONFIG_FILE}", re.ASCII)

_logger = logging.getLogger(__name__)


def resolve_checkpoint(checkpoint: str | PathLike[str]) -> Path:
    """The directory with config.json: in the directory `checkpoint` (see `checkpoint_directory`), or downloaded.

    `hf:owner/name`, optionally `hf:owner/name@revision`, is always downloaded. A name without `hf:` is used as a hub id
    only if there is neither a directory of this name nor one called `owner`, because then a mistyped path is more
    likely. Raises CheckpointError if there is no checkpoint, MissingDependencyError if a download needs
    huggingface_hub.
    """
    name = fspath(checkpoint)
    if name.startswith(HUB_PREFIX):
        match = _HUB_ID.fullmatch(name.removeprefix(HUB_PREFIX))
        if match is None:
            raise CheckpointError(f"{shown(name)}: expected hf:owner/name or hf:owner/name@revision")
        return _download(match["id"], match["revision"])
    try:
        path = Path(name).expanduser()
        if path.is_dir():
            return checkpoint_directory(path)
        exists, has_parent = path.exists(), path.parent.is_dir()
    except (OSError, RuntimeError, ValueError) as error:  # too long, not accessible, no such user, a null character
        raise CheckpointError(f"{shown(repr(name))}: expected a checkpoint directory; found {shown(error)}") from error
    if exists:
        raise CheckpointError(f"{path}: expected a checkpoint directory, found a file; give the directory it is in")
    match = _HUB_ID.fullmatch(name)
    if match is None:
        raise CheckpointError(
            f"{shown(name) or '(empty)'}: expected a checkpoint directory or a hub id hf:owner/name, found neither"
        )
    if has_parent:
        raise CheckpointError(
            f"{name}: expected a checkpoint directory, found none, though {path.parent}/ is here. If you mean the "
            f"Hugging Face hub, write {HUB_PREFIX}{name}"
        )
    _logger.warning("%s: no such directory, so it is taken from the Hugging Face hub: %s%s", name, HUB_PREFIX, name)
    return _download(match["id"], match["revision"])


def _download(repository: str, revision: str | None) -> Path:
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingDependencyError(
            f"{repository}: a download from the Hugging Face hub needs huggingface_hub: pip install huggingface_hub. "
            "If you mean a directory, there is none of that name"
        ) from error
    try:
        # Only data files of the top folder, because there may be training states and videos beside them.
        directory = _snapshot(huggingface_hub, repository, revision, "")
        if not (directory / CONFIG_FILE).exists():
            subfolder = _step_folder(huggingface_hub.list_repo_files(repository, revision=revision))
            if subfolder is not None:
                _logger.warning("%s%s has training's steps; taken is %s", HUB_PREFIX, repository, subfolder)
                directory = _snapshot(huggingface_hub, repository, revision, f"{subfolder}/") / subfolder
    except Exception as error:  # the hub library raises errors of several HTTP libraries
        raise CheckpointError(
            f"{repository}: it could not be downloaded from the Hugging Face hub: {shown(error)}. "
            "If you mean a directory, there is none of that name"
        ) from error
    if not (directory / CONFIG_FILE).exists():
        raise CheckpointError(
            f"{HUB_PREFIX}{repository}: expected {CONFIG_FILE} at its top, in {PRETRAINED}/ or in "
            f"{STEPS}/STEP/{PRETRAINED}/, found none; give a revision that has it ({HUB_PREFIX}{repository}@REVISION), "
            "or download it and give the directory"
        )
    return directory


def _snapshot(hub: Any, repository: str, revision: str | None, folder: str) -> Path:
    """Download the data files of one folder; return the top folder."""
    patterns = [f"{folder}*.json", f"{folder}*.safetensors"]
    return Path(
        hub.snapshot_download(repository, revision=revision, allow_patterns=patterns, ignore_patterns=[f"{folder}*/*"])
    )


def _step_folder(files: list[str]) -> str | None:
    """The folder with the policy in a repository that contains the whole output of a training."""
    if f"{PRETRAINED}/{CONFIG_FILE}" in files:
        return PRETRAINED
    step = highest_step([match["step"] for match in map(_STEP_CONFIG.fullmatch, files) if match])
    return None if step is None else f"{STEPS}/{step}/{PRETRAINED}"
