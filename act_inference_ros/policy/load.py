"""A LeRobot checkpoint directory of any generation -> PolicySpec and PolicyGraph, strictly.

Generations (see LeRobot's history): since 0.4.0 with processor files; up to 0.3.3 with statistics inside
model.safetensors; before February 2025 also with a config.json that has no `type`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import numpy as np
import torch

from act_inference_ros.errors import CheckpointError
from act_inference_ros.policy.checkpoint_files import WEIGHTS_FILE
from act_inference_ros.policy.config import ACTION_KEY, IDENTITY, ActConfig, read_config
from act_inference_ros.policy.graph import PolicyGraph
from act_inference_ros.policy.hub import resolve_checkpoint
from act_inference_ros.policy.identity import Normalization, policy_id
from act_inference_ros.policy.network import ActNetwork
from act_inference_ros.policy.normalization import (
    DEFAULT_EPS,
    STATISTICS,
    Affine,
    Vector,
    normalizer,
    unnormalizer,
)
from act_inference_ros.policy.processors import (
    POSTPROCESSOR_FILE,
    PREPROCESSOR_FILE,
    NormalizerStep,
    has_processors,
    read_pipelines,
)
from act_inference_ros.policy.tensor_names import LEGACY_STATISTICS, NETWORK, UNUSED_AT_INFERENCE
from act_inference_ros.policy.tensors import TensorFile
from act_inference_ros.spec import ENVIRONMENT_STATE_KEY, STATE_KEY, ImageSpec, PolicySpec


@dataclass(frozen=True)
class LoadedPolicy:
    """A policy ready to run: what it reads and writes, and the function itself (on the CPU, float32)."""

    spec: PolicySpec
    graph: PolicyGraph


def load_policy(checkpoint: str | PathLike[str]) -> LoadedPolicy:
    """Load a checkpoint: a directory (or one that holds `pretrained_model/`), or a hub id `owner/name[@revision]`.

    Raises CheckpointError naming the file, the thing in it, what was expected and what was found.
    """
    directory = resolve_checkpoint(checkpoint)
    config = read_config(directory)
    rename: Mapping[str, str] = {}
    with TensorFile(directory / WEIGHTS_FILE) as weights:
        if has_processors(directory):
            pipelines = read_pipelines(directory)
            rename = pipelines.rename
            inputs, action = _normalizations(config, pipelines.normalizer, pipelines.unnormalizer, directory)
        else:
            inputs, action = _legacy_normalizations(config, weights)
        spec = _spec(config, rename, directory)
        network = load_network(config, weights)
    spec = replace(spec, policy_id=policy_id(config, inputs, action, [weights.path]))
    dims = _dims(config)
    normalizers = {key: _normalizer(each, dims[key]) for key, each in inputs.items()}
    return LoadedPolicy(spec, PolicyGraph(network, config, normalizers, _unnormalizer(action, config.action_dim)))


def load_network(config: ActConfig, weights: TensorFile) -> ActNetwork:
    """The network with every parameter from the file; the VAE's are left there. Raises CheckpointError."""
    with torch.device("meta"):  # no memory and no random numbers for what is replaced at once
        network = ActNetwork(config)
    wanted = {NETWORK + name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    harmless = UNUSED_AT_INFERENCE + LEGACY_STATISTICS
    unknown = [name for name in weights.names if name not in wanted and not name.startswith(harmless)]
    missing = [name for name in wanted if name not in weights.names]
    if unknown or missing:
        raise CheckpointError(
            f"{weights.path}: expected the {len(wanted)} tensors of the network in config.json; "
            f"missing: {_shortened(missing)}; unknown: {_shortened(unknown)}"
        )
    tensors = {name.removeprefix(NETWORK): weights.read(name, shape) for name, shape in wanted.items()}
    network.load_state_dict(tensors, strict=True, assign=True)
    return network


def _shortened(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else "none"


def _spec(config: ActConfig, rename: Mapping[str, str], directory: Path) -> PolicySpec:
    """The spec in the robot's names, which the rename step turns into the policy's."""

    def robot_name(key: str) -> str:
        names = [name for name, renamed in rename.items() if renamed == key]
        names += [key] if key not in rename and not names else []
        if len(names) != 1:
            raise CheckpointError(
                f"{directory / PREPROCESSOR_FILE}: rename_map: expected one name that becomes {key}, found {names}"
            )
        return names[0]

    unread = [feature.key for feature in config.inputs if feature.key not in config.read_keys]
    if config.state_dim is None and STATE_KEY not in unread:
        unread.append(STATE_KEY)  # LeRobot itself wants it in the observation, without reading it
    return PolicySpec(
        chunk_size=config.chunk_size,
        action_dim=config.action_dim,
        images=tuple(ImageSpec(robot_name(image.key), image.shape[1], image.shape[2]) for image in config.images),
        state_dim=config.state_dim,
        environment_state_dim=config.environment_state_dim,
        n_action_steps=config.n_action_steps,
        temporal_ensemble_coeff=config.temporal_ensemble_coeff,
        ignored_keys=tuple(robot_name(key) for key in unread),
        state_key=robot_name(STATE_KEY),
        environment_state_key=robot_name(ENVIRONMENT_STATE_KEY),
    )


def _dims(config: ActConfig) -> dict[str, int]:
    """Length of what each read input is normalised by: a vector's, or 3 for an image's channels."""
    shapes = {feature.key: feature.shape for feature in config.inputs}
    return {key: shapes[key][0] for key in config.read_keys}


def _normalizer(how: Normalization, dim: int) -> Affine:
    return normalizer(how.mode, dim, how.statistics, how.eps, legacy=how.adds_eps)


def _unnormalizer(how: Normalization, dim: int) -> Affine:
    return unnormalizer(how.mode, dim, how.statistics, how.eps, legacy=how.adds_eps)


def _normalizations(
    config: ActConfig, pre: NormalizerStep, post: NormalizerStep, directory: Path
) -> tuple[dict[str, Normalization], Normalization]:
    """How the inputs are normalised and the action is un-normalised, as the processor files say."""
    dims = _dims(config)
    modes = {key: pre.modes.get(key, IDENTITY) for key in dims}
    read = _read_processor_statistics(pre, modes, dims, directory / PREPROCESSOR_FILE)
    inputs = {key: Normalization(modes[key], pre.eps, read[key]) for key in dims}
    mode, dim = post.modes[ACTION_KEY], config.action_dim
    action = _read_processor_statistics(post, {ACTION_KEY: mode}, {ACTION_KEY: dim}, directory / POSTPROCESSOR_FILE)
    return inputs, Normalization(mode, post.eps, action[ACTION_KEY])


def _read_processor_statistics(
    step: NormalizerStep, modes: Mapping[str, str], dims: Mapping[str, int], path: Path
) -> dict[str, dict[str, Vector]]:
    if all(mode == IDENTITY for mode in modes.values()):
        return {key: {} for key in modes}
    if step.state_file is None:
        raise CheckpointError(f"{path}: expected the normaliser to name a state_file with statistics, found none")
    with TensorFile(step.state_file) as file:
        return {key: _statistics(file, f"{key}.", mode, dims[key]) for key, mode in modes.items()}


def _legacy_normalizations(config: ActConfig, weights: TensorFile) -> tuple[dict[str, Normalization], Normalization]:
    """The same from the buffers inside model.safetensors, with the formulas of that time."""

    def read(module: str, key: str, dim: int) -> tuple[str, dict[str, Vector]]:
        mode = config.modes.get(key, IDENTITY)
        if mode not in ("MEAN_STD", "MIN_MAX", IDENTITY):
            raise CheckpointError(
                f"{weights.path.parent}: expected {PREPROCESSOR_FILE}, for {key} is normalised by {mode}; found none"
            )
        # The name of a buffer cannot be turned back into a key, for keys may have underscores themselves.
        return mode, _statistics(weights, f"{module}.buffer_{key.replace('.', '_')}.", mode, dim)

    inputs = {}
    for key, dim in _dims(config).items():
        mode, statistics = read("normalize_inputs", key, dim)
        inputs[key] = Normalization(mode, DEFAULT_EPS, statistics, adds_eps=True)
    mode, statistics = read("unnormalize_outputs", ACTION_KEY, config.action_dim)
    return inputs, Normalization(mode, DEFAULT_EPS, statistics, adds_eps=True)


def _statistics(file: TensorFile, prefix: str, mode: str, dim: int) -> dict[str, Vector]:
    """The statistics a mode needs, each (dim,); an image's may be stored as (3,) or (3, 1, 1)."""
    read: dict[str, Vector] = {}
    for name in STATISTICS[mode]:
        tensor = file.read(prefix + name, (dim,), (dim, 1, 1))
        read[name] = np.asarray(tensor.flatten().numpy(), np.float32)
    return read
