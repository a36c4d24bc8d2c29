"""The exported graph of a checkpoint, from the user's cache; it is exported at its first use."""

from __future__ import annotations

import logging
import subprocess

from act_inference_ros.errors import ConfigurationError, MissingDependencyError
from act_inference_ros.inference.local.export_cache import cached_export
from act_inference_ros.inference.local.exported_policy import ExportedPolicy
from act_inference_ros.program.child import child_command, child_environment

_EXPORTER = "act_inference_ros.serving.export"
"""A program, not an imported module: exporting needs torch and much memory, which are freed when the program ends."""
_ERROR = "error: "

_log = logging.getLogger(__name__)


def find_cached(checkpoint: str, precision: str) -> ExportedPolicy | None:
    """Return the cached graph of a checkpoint, or None. Raises CheckpointError, ConfigurationError."""
    return cached_export(_policy_id(checkpoint), precision)


def cached_or_exported(checkpoint: str, precision: str) -> ExportedPolicy:
    """Return the cached graph of a checkpoint; if there is none, export it first, which takes half a minute.

    Raises CheckpointError for an unusable checkpoint, ConfigurationError if the export or the cache fails.
    """
    policy_id = _policy_id(checkpoint)
    found = cached_export(policy_id, precision)
    if found is None:
        _log.warning("exporting %s for engine onnxruntime, once; this takes half a minute", checkpoint)
        _export(checkpoint, precision)
        found = cached_export(policy_id, precision)
    if found is None:
        raise ConfigurationError(f"{checkpoint}: it was exported, but the checkpoint has been replaced; try again")
    return found


def _policy_id(checkpoint: str) -> str:
    try:  # imported here, because an exported repository needs no safetensors
        from act_inference_ros.policy.description import describe_policy
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"{checkpoint} is a checkpoint, and reading one needs {error.name}: pip install torch safetensors, or give "
            "an exported repository"
        ) from error
    return describe_policy(checkpoint).spec.policy_id


def _export(checkpoint: str, precision: str) -> None:
    command = child_command(_EXPORTER, "--checkpoint", checkpoint, "--cache", "--precision", precision)
    done = subprocess.run(
        command, env=child_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"the exporter ended with status {done.returncode}"]
        said = [line.removeprefix(_ERROR) for line in lines if line.startswith(_ERROR)]
        raise ConfigurationError(f"engine onnxruntime needs an export of {checkpoint}: {(said or lines)[-1]}")
