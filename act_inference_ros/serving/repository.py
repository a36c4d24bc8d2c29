"""A Triton model repository on disk: a new version of a model appears complete or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.program.regular_files import read_regular
from act_inference_ros.serving.model_config import (
    CONFIG_FILE,
    JPEG_HEADER_FILE,
    PYTHON_FILE,
    read_served_contract,
    read_versions,
    with_versions,
)

MOST_CONFIG_BYTES = 2**20
"""Largest config.pbtxt that is read; a version's provenance takes about 300 bytes of it."""


@dataclass(frozen=True)
class Published:
    """Where a version is; `config_kept` if the model's config.pbtxt was kept though it differs from the new one."""

    directory: Path
    version: int
    config_kept: bool


def check_model(model: Path, config: str) -> None:
    """Refuse, before any work is done, to put a version under a config.pbtxt that describes another policy.

    Raises ConfigurationError naming both policies. A model without any exported version may become any policy.
    """
    if model.exists() and not model.is_dir():
        raise ConfigurationError(f"{model}: expected a directory, found a file")
    path = model / CONFIG_FILE
    if not path.is_file():
        return
    there, wanted = read_served_contract(read_config(path)), read_served_contract(config)
    if there is None:
        raise ConfigurationError(f"{path} was not written by export_policy; export under another --name")
    if not exported_versions(model):
        return
    for what in ("backend", "image_encoding", "spec", "outputs"):
        old, new = getattr(there, what), getattr(wanted, what)
        if old != new:
            raise ConfigurationError(
                f"{path} serves another model ({what}: {old} there, {new} here), and its clients rely on that; "
                "export under another --name, or delete the old model"
            )


def read_config(path: Path, errors: str = "strict") -> str:
    """Return a config.pbtxt's text. Raises ConfigurationError if it cannot be read, or is too large to be one.

    `errors` says what becomes of bytes that are no text, as in `bytes.decode`.
    """
    try:
        return read_regular(path, MOST_CONFIG_BYTES).decode("utf-8", errors)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "expected a text, got bytes that are none"
        raise ConfigurationError(f"{path}: {reason}; correct it, or export under another --name") from error


def publish(
    staged: Path, model: Path, config: str, provenance: Mapping[str, str], replace_config: bool = False
) -> Published:
    """Move the files in `staged` to a new version of `model`, which `check_model` must have accepted.

    The config.pbtxt of a model that has versions is kept (it may have been tuned by hand), unless `replace_config`.
    Only its notes about versions are updated, with `provenance` for this version. A server that watches the repository
    never sees an incomplete file or version: each is written beside its place under a name that Triton ignores, and
    then renamed. Raises ConfigurationError if the files cannot be written.
    """
    try:
        model.mkdir(parents=True, exist_ok=True)
        with _locked(model):
            return _publish(staged, model, config, provenance, replace_config)
    except OSError as error:
        raise ConfigurationError(f"cannot write {model}: {error}") from error


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Keep other exports out of a directory during the block."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _publish(staged: Path, model: Path, config: str, provenance: Mapping[str, str], replace_config: bool) -> Published:
    path = model / CONFIG_FILE
    there = read_config(path) if path.is_file() else None
    keep = there is not None and bool(exported_versions(model)) and not replace_config
    version = max(exported_versions(model), default=0) + 1
    known = {} if there is None or version == 1 else read_versions(there)
    config = with_versions(config, known)
    text = there if keep and there is not None else config
    text = with_versions(text, known | {str(version): dict(provenance)})
    if text != there:
        _write(path, text)
    _move_in(staged, model, version)
    return Published(model / str(version), version, config_kept=keep and there != config)


def exported_versions(model: Path) -> list[int]:
    """The versions that hold a policy; a version with only the Python backend's code does not count."""
    versions = sorted(int(path.name) for path in model.iterdir() if path.name.isdecimal() and path.is_dir())
    return [version for version in versions if not _is_free(model / str(version))]


def _is_free(version: Path) -> bool:
    return {path.name for path in version.iterdir()} <= {PYTHON_FILE, JPEG_HEADER_FILE, "__pycache__"}


def _move_in(staged: Path, model: Path, version: int) -> None:
    """Rename a copy of `staged` to a free version; a version without a policy counts as free."""
    scratch = Path(mkdtemp(prefix=".export-", dir=model))  # a rename must stay within one file system
    try:
        complete = scratch / "complete"
        shutil.copytree(staged, complete)
        for path in (complete, *complete.iterdir()):
            path.chmod(0o755 if path.is_dir() else 0o644)  # a server often runs as another user
        place = model / str(version)
        if place.exists():
            place.rename(scratch / "empty")
        complete.rename(place)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _write(path: Path, text: str) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)
