"""A LeRobot checkpoint directory of any generation -> PolicySpec and PolicyGraph, strictly.

Generations (see LeRobot's history): since 0.4.0 with processor files; up to 0.3.3 with statistics inside
model.safetensors; before February 2025 also with a config.json that has no `type`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

from act_inference_ros.policy import policy_warnings
from act_inference_ros.policy.config import ActConfig, read_config
from act_inference_ros.policy.dataset_statistics import (
    dims,
    left_as_they_are,
    legacy_normalizations,
    processor_normalizations,
)
from act_inference_ros.policy.graph import PolicyGraph
from act_inference_ros.policy.hub import resolve_checkpoint
from act_inference_ros.policy.identity import Normalization, policy_id
from act_inference_ros.policy.layouts import weight_files
from act_inference_ros.policy.normalization import Affine, normalizer, unnormalizer
from act_inference_ros.policy.processors import PREPROCESSOR_FILE, has_processors, read_pipelines
from act_inference_ros.policy.refusals import refusal
from act_inference_ros.policy.tensors import TensorFiles
from act_inference_ros.policy.weights import load_network
from act_inference_ros.spec import ENVIRONMENT_STATE_KEY, STATE_KEY, ImageSpec, PolicySpec


@dataclass(frozen=True)
class LoadedPolicy:
    """A policy ready to run: what it reads and writes, and the function itself (on the CPU, float32).

    `warnings` has a line for each thing that is odd about it, though it runs; they were logged when it was loaded.
    """

    spec: PolicySpec
    graph: PolicyGraph
    warnings: tuple[str, ...] = ()


def load_policy(checkpoint: str | PathLike[str]) -> LoadedPolicy:
    """Load a checkpoint: a directory, a training's output directory, or a hub id `hf:owner/name[@revision]`.

    Raises CheckpointError naming the file, the thing in it, what was expected and what was found.
    """
    directory = resolve_checkpoint(checkpoint)
    files = weight_files(directory)
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
        network = load_network(config, weights)
    spec = replace(spec, policy_id=policy_id(config, inputs, action, weights.paths))
    lengths = dims(config)
    normalizers = {key: _normalizer(each, lengths[key]) for key, each in inputs.items()}
    graph = PolicyGraph(network, config, normalizers, _unnormalizer(action, config.action_dim))
    vectors = {key: normalizers[key] for key in config.read_keys if key in (STATE_KEY, ENVIRONMENT_STATE_KEY)}
    warnings += policy_warnings.of_constant_entries(vectors)
    policy_warnings.say(directory, warnings)
    return LoadedPolicy(spec, graph, tuple(warnings))


def _spec(config: ActConfig, rename: Mapping[str, str], directory: Path) -> PolicySpec:
    """The spec in the robot's names, which the rename step turns into the policy's."""

    def robot_name(key: str) -> str:
        names = [name for name, renamed in rename.items() if renamed == key]
        names += [key] if key not in rename and not names else []
        if len(names) != 1:
            expected = f"one name that becomes {key}"
            raise refusal(directory / PREPROCESSOR_FILE, expected, names, "rename_map")
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


def _normalizer(how: Normalization, dim: int) -> Affine:
    return normalizer(how.mode, dim, how.statistics, how.eps, legacy=how.adds_eps)


def _unnormalizer(how: Normalization, dim: int) -> Affine:
    return unnormalizer(how.mode, dim, how.statistics, how.eps, legacy=how.adds_eps)
