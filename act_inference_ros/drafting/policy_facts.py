"""Reads facts from a checkpoint: the policy's inputs and outputs, and the statistics of its data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from act_inference_ros.drafting.facts import PolicyFacts, Range, Vector
from act_inference_ros.errors import CheckpointError
from act_inference_ros.policy.config import ACTION_KEY
from act_inference_ros.policy.description import PolicyDescription, describe_policy
from act_inference_ros.policy.processors import has_processors, read_pipelines
from act_inference_ros.policy.raw_tensors import raw_tensors
from act_inference_ros.spec import STATE_KEY

DEVIATIONS = 3.0
"""Standard deviations on either side of the mean that replace a range, if a checkpoint has none."""
_PAIRS = (("min", "max"), ("q01", "q99"), ("mean", "std"))
"""Pairs of statistics that give a range, the best first."""


def read_policy_facts(checkpoint: str) -> tuple[PolicyFacts, Path]:
    """Return a checkpoint's facts, and its directory; needs no PyTorch.

    Raises CheckpointError if it is no ACT checkpoint.
    """
    description = describe_policy(checkpoint)
    spec = description.spec
    key_of_state = spec.state_key
    found: dict[str, Range] = {}
    stored = _statistics(description)
    for key, names, dim in (
        (key_of_state, (STATE_KEY, key_of_state), spec.state_dim),
        (ACTION_KEY, (ACTION_KEY,), spec.action_dim),
    ):
        for name in names:
            read = _range(stored, name, dim)
            if read is not None:
                found[key] = read
                break
    return PolicyFacts(str(checkpoint), spec, found), description.directory


def _statistics(description: PolicyDescription) -> dict[str, Vector]:
    """Return `<key>.<statistic>` -> numbers, for checkpoints of every generation."""
    read: dict[str, Vector] = {}
    if has_processors(description.directory):
        pipelines = read_pipelines(description.directory)
        for file in (pipelines.normalizer.state_file, pipelines.unnormalizer.state_file):
            read |= _vectors(file, "", "") if file is not None else {}
        return read
    for file in description.weights:
        read |= _vectors(file, "normalize_inputs.buffer_", "observation.state")
        read |= _vectors(file, "unnormalize_outputs.buffer_", ACTION_KEY)
    return read


def _vectors(path: Path, prefix: str, key: str) -> dict[str, Vector]:
    """The float32 vectors of a file whose names have this prefix; `key` is written with underscores behind it."""
    found: dict[str, Vector] = {}
    start = prefix + key.replace(".", "_")
    with raw_tensors(path) as tensors:
        for tensor in tensors:
            if tensor.dtype == "F32" and len(tensor.shape) == 1 and tensor.name.startswith(start):
                name = key + tensor.name.removeprefix(start)
                found[name] = np.frombuffer(bytes(tensor.content), "<f4").astype(np.float64)
    return found


def _range(stored: Mapping[str, Vector], key: str, dim: int | None) -> Range | None:
    for first, second in _PAIRS:
        lowest, highest = stored.get(f"{key}.{first}"), stored.get(f"{key}.{second}")
        if lowest is None or highest is None or not lowest.shape == highest.shape == (dim,):
            continue
        if first == "mean":
            lowest, highest = lowest - DEVIATIONS * highest, lowest + DEVIATIONS * highest
        if not np.isfinite([lowest, highest]).all() or (lowest > highest).any():
            raise CheckpointError(f"the statistics {key}.{first} and .{second}: expected a range of finite numbers")
        how = f"mean +- {DEVIATIONS:g} std" if first == "mean" else f"{first} and {second}"
        return Range(lowest, highest, f"the checkpoint's {key} ({how})")
    return None
