"""How a checkpoint normalises: the modes and the data set's statistics, from the files of each LeRobot generation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from act_inference_ros.policy import bounds
from act_inference_ros.policy.checkpoint_files import WEIGHTS_FILE
from act_inference_ros.policy.config import ACTION_KEY, IDENTITY, ActConfig
from act_inference_ros.policy.identity import Normalization
from act_inference_ros.policy.normalization import DEFAULT_EPS, STATISTICS, Vector
from act_inference_ros.policy.processors import (
    POSTPROCESSOR_FILE,
    PREPROCESSOR_FILE,
    NormalizerStep,
    Pipelines,
)
from act_inference_ros.policy.refusals import refusal
from act_inference_ros.policy.tensor_names import LEGACY_STATISTICS
from act_inference_ros.policy.tensors import TensorFiles


def dims(config: ActConfig) -> dict[str, int]:
    """The number of statistics of each read input: the length of a vector, or 3 for the channels of an image."""
    shapes = {feature.key: feature.shape for feature in config.inputs}
    return {key: shapes[key][0] for key in config.read_keys}


def processor_normalizations(
    config: ActConfig, pipelines: Pipelines, unchanged: Iterable[str], directory: Path
) -> tuple[dict[str, Normalization], Normalization]:
    """The normalisation of the inputs and the un-normalisation of the action, as the processor files describe them.

    `unchanged`: the inputs that are not normalised, whatever their mode (see `left_as_they_are`). Raises
    CheckpointError if statistics are missing or invalid.
    """
    pre, post = pipelines.normalizer, pipelines.unnormalizer
    lengths = dims(config)
    modes = {key: pre.modes.get(key, IDENTITY) for key in lengths}
    modes |= dict.fromkeys(unchanged, IDENTITY)
    read = _from_state_file(pre, modes, lengths, directory / PREPROCESSOR_FILE)
    inputs = {key: Normalization(modes[key], pre.eps, read[key]) for key in lengths}
    mode, length = post.modes[ACTION_KEY], config.action_dim
    action = _from_state_file(post, {ACTION_KEY: mode}, {ACTION_KEY: length}, directory / POSTPROCESSOR_FILE)
    return inputs, Normalization(mode, post.eps, action[ACTION_KEY])


def left_as_they_are(config: ActConfig, pipelines: Pipelines) -> dict[str, str]:
    """The inputs that LeRobot does not normalise although a mode is set: the policy's key -> the data set's key.

    When a policy is fine-tuned with --rename_map, LeRobot up to 0.6.1 stores the statistics under the data set's name.
    Its normaliser looks for the policy's name, and passes inputs without statistics on unchanged, also in training.
    Source: LeRobot's processor/normalize_processor.py and scripts/lerobot_train.py.
    """
    step = pipelines.normalizer
    old_names = {key: old for old, key in pipelines.rename.items() if old != key and key in config.read_keys}
    asked = {key: old for key, old in old_names.items() if step.modes.get(key, IDENTITY) != IDENTITY}
    if not asked or step.state_file is None:
        return {}
    with TensorFiles(step.state_file) as file:
        known = {name.rpartition(".")[0] for name in file.names}
    return {key: old for key, old in asked.items() if old in known and key not in known}


def _from_state_file(
    step: NormalizerStep, modes: Mapping[str, str], lengths: Mapping[str, int], path: Path
) -> dict[str, dict[str, Vector]]:
    if all(mode == IDENTITY for mode in modes.values()):
        return {key: {} for key in modes}
    if step.state_file is None:
        raise refusal(path, "the normaliser to name a state_file with statistics", "none")
    with TensorFiles(step.state_file) as file:
        return {key: _statistics(file, f"{key}.", mode, step.eps, lengths[key]) for key, mode in modes.items()}


def legacy_normalizations(config: ActConfig, weights: TensorFiles) -> tuple[dict[str, Normalization], Normalization]:
    """The same from the buffers inside the weights, with the formulas of that time (LeRobot up to 0.3.3)."""
    directory = weights.paths[0].parent
    lengths = {**dims(config), ACTION_KEY: config.action_dim}
    modes = {key: config.modes.get(key, IDENTITY) for key in lengths}
    if any(mode != IDENTITY for mode in modes.values()) and not any(
        n.startswith(LEGACY_STATISTICS) for n in weights.names
    ):
        found = (
            f"neither. Since LeRobot 0.4.0 they are in {PREPROCESSOR_FILE}, {POSTPROCESSOR_FILE} and the two "
            "policy_*processor_step_*.safetensors files that these name: copy all four beside config.json"
        )
        raise refusal(directory, f"the data set's statistics in processor files or in {WEIGHTS_FILE}", found)

    def read(module: str, key: str) -> Normalization:
        mode = modes[key]
        if mode not in ("MEAN_STD", "MIN_MAX", IDENTITY):
            raise refusal(directory, f"{PREPROCESSOR_FILE}, for {key} is normalised by {mode}", "none")
        # The name of a buffer cannot be converted back into a key, because keys may contain underscores themselves.
        prefix = f"{module}.buffer_{key.replace('.', '_')}."
        statistics = _statistics(weights, prefix, mode, DEFAULT_EPS, lengths[key])
        return Normalization(mode, DEFAULT_EPS, statistics, adds_eps=True)

    inputs = {key: read("normalize_inputs", key) for key in config.read_keys}
    return inputs, read("unnormalize_outputs", ACTION_KEY)


def _statistics(file: TensorFiles, prefix: str, mode: str, eps: float, length: int) -> dict[str, Vector]:
    """The statistics that a mode needs, each (length,); an image's statistics may be stored as (3,) or (3, 1, 1)."""
    read: dict[str, Vector] = {}
    for name in STATISTICS[mode]:
        read[name] = file.read(prefix + name, (length,), (length, 1, 1)).reshape(length)
        largest = np.abs(read[name]).max()
        if largest > bounds.STATISTIC:
            raise refusal(file.paths[0], f"numbers of at most {bounds.STATISTIC:g}", largest, prefix + name)
    _check_spread(file, prefix, mode, eps, read)
    return read


def _check_spread(file: TensorFiles, prefix: str, mode: str, eps: float, read: Mapping[str, Vector]) -> None:
    """Check that a spread is not negative, and not so small that a division by spread + eps is impossible."""
    if mode == IDENTITY:
        return
    first, second = STATISTICS[mode]
    spread = read[second] if mode == "MEAN_STD" else read[second] - read[first]
    index = int(spread.argmin())
    if spread[index] < 0:
        expected = "numbers of at least 0" if mode == "MEAN_STD" else f"at least {first}, {read[first][index]}"
        raise refusal(file.paths[0], f"{expected}, at index {index}", read[second][index], prefix + second)
    if spread[index] + np.float32(eps) < bounds.SMALLEST_SPREAD:
        expected = f"a spread, with eps = {eps:g}, of at least {bounds.SMALLEST_SPREAD:g}, at index {index}"
        raise refusal(file.paths[0], expected, spread[index], prefix + second)
