"""Describes a policy by the files of a LeRobot checkpoint of any generation, without its network. Needs no torch.

Generations (see LeRobot's history): since 0.4.0 with processor files; up to 0.3.3 with statistics inside
model.safetensors; before February 2025 also with a config.json that has no `type`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.policy import policy_warnings
from act_inference_ros.policy.checkpoint_files import CONFIG_FILE
from act_inference_ros.policy.config import ActConfig, read_config
from act_inference_ros.policy.dataset_statistics import (
    dims,
    left_as_they_are,
    legacy_normalizations,
    processor_normalizations,
)
from act_inference_ros.policy.hub import resolve_checkpoint
from act_inference_ros.policy.identity import Normalization, policy_id
from act_inference_ros.policy.layouts import weight_files
from act_inference_ros.policy.normalization import REALISTIC_ERROR, Affine, Vector, constant_entries
from act_inference_ros.policy.processors import PREPROCESSOR_FILE, has_processors, read_pipelines
from act_inference_ros.policy.refusals import refusal
from act_inference_ros.policy.tensors import TensorFiles
from act_inference_ros.spec import ENVIRONMENT_STATE_KEY, STATE_KEY, ImageSpec, PolicySpec


@dataclass(frozen=True)
class PolicyDescription:
    """What a policy reads and writes, how it normalises, and which files hold its network.

    `spec` has the robot's names, `config` and `inputs` have the policy's: `inputs` has the normalisation of each of
    `config.read_keys`, `action` the un-normalisation of the action. `weights`: the safetensors files of the network, in
    `directory`. `warnings`: a line for each unusual property of the policy that does not stop it from running.
    """

    directory: Path
    weights: tuple[Path, ...]
    spec: PolicySpec
    config: ActConfig
    inputs: Mapping[str, Normalization]
    action: Normalization
    warnings: tuple[str, ...] = ()

    def identified(self) -> PolicyDescription:
        """The same with its policy_id in `spec`; reads the weights. Raises CheckpointError for a damaged file."""
        identity = policy_id(self.config, self.inputs, self.action, self.weights)
        return replace(self, spec=replace(self.spec, policy_id=identity))

    def say_warnings(self) -> None:
        """Log the warnings, each once in this process."""
        policy_warnings.say(self.directory, self.warnings)

    def normalizers(self) -> dict[str, Affine]:
        """The map from the data set's units to the network's input, for each of `config.read_keys`."""
        return _normalizers(self.config, self.inputs)

    def unnormalizer(self) -> Affine:
        """The map from the network's output to the action in the data set's units."""
        return self.action.unnormalizer(self.config.action_dim)

    def vector_data(self) -> tuple[dict[str, npt.NDArray[np.float64]], dict[str, npt.NDArray[np.float64]]]:
        """Centre and spread of each vector's data, (dim,) each, by the robot's key, in the data set's units.

        The normaliser maps the centre to 0; the spread is the distance that it maps to 1.
        """
        centres, spreads = {}, {}
        normalizers = self.normalizers()
        for key, read_key in zip(self.spec.vectors, _vector_keys(self.config), strict=True):
            affine = normalizers[read_key]
            spread = 1.0 / affine.scale.astype(np.float64)
            centres[key] = affine.shift.astype(np.float64) - affine.offset.astype(np.float64) * spread
            # A value that did not move in the data may differ on the robot, and must give the same results there, too.
            still = constant_entries(affine.scale)
            spread[still] = np.maximum(spread[still], REALISTIC_ERROR)
            spreads[key] = spread
        return centres, spreads

    def action_spread(self) -> Vector:
        """The spread of each action in the data set, (action_dim,): its standard deviation, or half its range."""
        return self.unnormalizer().scale


def describe_policy(checkpoint: str | PathLike[str]) -> PolicyDescription:
    """Describe a checkpoint: a directory, a training's output directory, or a hub id `hf:owner/name[@revision]`.

    Whether the weights fit the network in config.json is not checked, because that needs the network; see
    `load_policy`. Raises CheckpointError naming the file, the part of it, what was expected and what was found.
    """
    description = description_without_id(checkpoint).identified()
    description.say_warnings()
    return description


def description_without_id(checkpoint: str | PathLike[str]) -> PolicyDescription:
    """Describe a checkpoint, but leave `spec.policy_id` empty and log nothing.

    Of the weights it reads only the headers, and the statistics that old checkpoints have among them. So a caller can
    check the network's size before every byte of it is read for the policy_id. Raises CheckpointError.
    """
    directory = resolve_checkpoint(checkpoint)
    files = tuple(weight_files(directory))
    config = read_config(directory)
    rename: Mapping[str, str] = {}
    warnings: list[str] = []
    with TensorFiles(*files) as weights:
        if has_processors(directory):
            pipelines = read_pipelines(directory)
            rename = pipelines.rename
            unchanged = left_as_they_are(config, pipelines)
            inputs, action = processor_normalizations(config, pipelines, unchanged, directory)
            warnings += [policy_warnings.left_as_it_is(key, old) for key, old in unchanged.items()]
        else:
            inputs, action = legacy_normalizations(config, weights)
    spec = _spec(config, rename, directory)
    normalizers = _normalizers(config, inputs)
    warnings += policy_warnings.of_constant_entries({key: normalizers[key] for key in _vector_keys(config)})
    return PolicyDescription(directory, files, spec, config, inputs, action, tuple(warnings))


def _spec(config: ActConfig, rename: Mapping[str, str], directory: Path) -> PolicySpec:
    """The spec in the robot's names, which the rename step changes into the policy's."""

    def robot_name(key: str) -> str:
        names = [name for name, renamed in rename.items() if renamed == key]
        names += [key] if key not in rename and not names else []
        if len(names) != 1:
            expected = f"one name that becomes {key}"
            raise refusal(directory / PREPROCESSOR_FILE, expected, names, "rename_map")
        return names[0]

    unread = [feature.key for feature in config.inputs if feature.key not in config.read_keys]
    if config.state_dim is None and STATE_KEY not in unread:
        unread.append(STATE_KEY)  # LeRobot itself requires it in the observation, without reading it
    try:
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
    except ConfigurationError as error:  # the bounds of a spec are others than those of config.json
        raise refusal(directory / CONFIG_FILE, "what a policy's specification can have", error) from error


def _normalizers(config: ActConfig, inputs: Mapping[str, Normalization]) -> dict[str, Affine]:
    lengths = dims(config)
    return {key: each.normalizer(lengths[key]) for key, each in inputs.items()}


def _vector_keys(config: ActConfig) -> list[str]:
    """The policy's names of its vectors, in the order of `PolicySpec.vectors`."""
    return [key for key in config.read_keys if key in (STATE_KEY, ENVIRONMENT_STATE_KEY)]
