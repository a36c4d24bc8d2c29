"""Finds an exported graph in a model repository that export_policy wrote, or in a part of one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.policy.checkpoint_files import HUB_PREFIX, is_complete
from act_inference_ros.policy.reference import PARITY_FILE, Reference, read_reference

GRAPH_FILE = "model.onnx"
_VERSION = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)


@dataclass(frozen=True)
class ExportedPolicy:
    """An exported graph, and its expected chunks for a few observations.

    `graph` is the ONNX file; `reference.spec` says what the policy reads and writes, with its policy_id.
    """

    graph: Path
    reference: Reference


def is_exported_repository(checkpoint: str) -> bool:
    """Return whether the path holds exported models rather than a checkpoint. Checks names only, reads no file."""
    if checkpoint.startswith(HUB_PREFIX):
        return False
    directory = Path(checkpoint).expanduser()
    try:
        return not is_complete(directory) and bool(_candidates(directory))
    except (OSError, ValueError):  # a directory that must not be listed; a null character in the name
        return False


def exported_policy(checkpoint: str, precision: str) -> ExportedPolicy:
    """Find the exported graph of `checkpoint`: a model repository, a model's directory, or one version's.

    Of a model with several versions the highest exported version is used. Raises ConfigurationError if there is no
    graph, if there are several models, if the graph has another precision, or if its parity.json cannot be used to
    check it.
    """
    if not is_exported_repository(checkpoint):
        raise ConfigurationError(
            f"{checkpoint}: expected an exported repository ({GRAPH_FILE} and {PARITY_FILE} in a version's directory), "
            "found none; write one with export_policy --checkpoint DIR --repository DIR"
        )
    directory = Path(checkpoint).expanduser()
    versions = _candidates(directory)
    if len(versions) > 1:
        names = ", ".join(version.parent.name for version in versions)
        raise ConfigurationError(f"{directory}: expected one exported model, found {names}; give one model's directory")
    version = versions[0]
    parity = version / PARITY_FILE
    if not parity.is_file():
        raise ConfigurationError(
            f"{version}: expected {PARITY_FILE} beside {GRAPH_FILE}, found none; export the policy again"
        )
    reference = read_reference(parity)
    if reference.precision != precision:
        raise ConfigurationError(
            f"{version}: expected precision {precision}, it was exported in {reference.precision}; set precision to "
            f"that, or export again with --precision {precision}"
        )
    return ExportedPolicy(version / GRAPH_FILE, reference)


def _candidates(directory: Path) -> list[Path]:
    """One version's directory for each exported model in `directory`, or for the model that `directory` is."""
    if (directory / GRAPH_FILE).is_file():
        return [directory]
    if not directory.is_dir():
        return []
    newest = list(_newest_version(directory))
    if newest:
        return newest
    models = sorted(model for model in directory.iterdir() if model.is_dir())
    return [version for model in models for version in _newest_version(model)]


def _newest_version(model: Path) -> Iterator[Path]:
    """The highest version of a model with a graph, if there is one."""
    versions = [each for each in model.iterdir() if _VERSION.fullmatch(each.name) and (each / GRAPH_FILE).is_file()]
    if versions:
        yield max(versions, key=lambda version: int(version.name))
