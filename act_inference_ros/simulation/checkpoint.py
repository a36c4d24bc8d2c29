"""Writes a trained policy as a LeRobot checkpoint directory, which LeRobot itself can load as well.

Source: LeRobot 0.4.4, policies/act/configuration_act.py, policies/act/processor_act.py, processor/pipeline.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file as save_tensors

from act_inference_ros.policy.checkpoint_files import CONFIG_FILE, WEIGHTS_FILE
from act_inference_ros.policy.config import ACTION_KEY, ActConfig
from act_inference_ros.simulation.learner import LEARNING_RATE, WEIGHT_DECAY, NormalizationStatistics, TrainedPolicy

PREPROCESSOR, POSTPROCESSOR = "policy_preprocessor", "policy_postprocessor"
_NORMALISE_EPS = 1e-8
_MODES = {"VISUAL": "MEAN_STD", "STATE": "MEAN_STD", "ACTION": "MEAN_STD"}
_Json = dict[str, Any]


def write_checkpoint(policy: TrainedPolicy, directory: Path) -> None:
    """Write the policy's configuration, weights, processing steps and statistics into an existing, empty directory."""
    config, arrays = policy.config, _state_arrays(policy.statistics)
    inputs, outputs = _input_features(config), _output_features(config)
    _write_json(directory / CONFIG_FILE, _config(config, inputs, outputs))
    tensors = {f"model.{name}": tensor.contiguous() for name, tensor in policy.network.state_dict().items()}
    save_tensors(tensors, directory / WEIGHTS_FILE, metadata={"format": "pt"})

    device = {"registry_name": "device_processor", "config": {"device": "cpu", "float_dtype": None}}
    pre_state = f"{PREPROCESSOR}_step_3_normalizer_processor.safetensors"
    post_state = f"{POSTPROCESSOR}_step_0_unnormalizer_processor.safetensors"
    preprocess: list[_Json] = [
        {"registry_name": "rename_observations_processor", "config": {"rename_map": {}}},
        {"registry_name": "to_batch_processor", "config": {}},
        device,
        _normaliser("normalizer_processor", {**inputs, **outputs}, pre_state),
    ]
    postprocess = [_normaliser("unnormalizer_processor", outputs, post_state), device]
    _write_json(directory / f"{PREPROCESSOR}.json", {"name": PREPROCESSOR, "steps": preprocess})
    _write_json(directory / f"{POSTPROCESSOR}.json", {"name": POSTPROCESSOR, "steps": postprocess})
    for file in (pre_state, post_state):
        save_arrays(arrays, directory / file)
    for path in directory.iterdir():
        path.chmod(0o644)  # safetensors writes files that only their owner may read; a server is often another user


def _config(config: ActConfig, inputs: _Json, outputs: _Json) -> _Json:
    # Exactly LeRobot 0.4.4's keys, `type` first: it rejects a file with any other.
    return {
        "type": "act",
        "n_obs_steps": 1,
        "input_features": inputs,
        "output_features": outputs,
        "device": "cpu",
        "use_amp": False,
        "use_peft": False,
        "push_to_hub": False,
        "repo_id": None,
        "private": None,
        "tags": None,
        "license": None,
        "pretrained_path": None,
        "chunk_size": config.chunk_size,
        "n_action_steps": config.n_action_steps,
        "normalization_mapping": _MODES,
        "vision_backbone": config.vision_backbone,
        "pretrained_backbone_weights": None,  # anything else makes LeRobot download weights only to overwrite them
        "replace_final_stride_with_dilation": config.replace_final_stride_with_dilation,
        "pre_norm": config.pre_norm,
        "dim_model": config.dim_model,
        "n_heads": config.n_heads,
        "dim_feedforward": config.dim_feedforward,
        "feedforward_activation": config.feedforward_activation,
        "n_encoder_layers": config.n_encoder_layers,
        "n_decoder_layers": config.n_decoder_layers,
        "use_vae": False,
        "latent_dim": config.latent_dim,
        "n_vae_encoder_layers": 4,
        "temporal_ensemble_coeff": config.temporal_ensemble_coeff,
        "dropout": 0.0,
        "kl_weight": 10.0,
        "optimizer_lr": LEARNING_RATE,
        "optimizer_weight_decay": WEIGHT_DECAY,
        "optimizer_lr_backbone": 0.0,
    }


def _input_features(config: ActConfig) -> _Json:
    return {feature.key: {"type": feature.kind, "shape": list(feature.shape)} for feature in config.inputs}


def _output_features(config: ActConfig) -> _Json:
    return {ACTION_KEY: {"type": "ACTION", "shape": [config.action_dim]}}


def _normaliser(name: str, features: _Json, state_file: str) -> _Json:
    settings = {"eps": _NORMALISE_EPS, "features": features, "norm_map": _MODES}
    return {"registry_name": name, "config": settings, "state_file": state_file}


def _state_arrays(statistics: Mapping[str, NormalizationStatistics]) -> dict[str, npt.NDArray[np.float32]]:
    """`<feature key>.<statistic>` -> float32 array, as LeRobot's normaliser keeps them."""
    arrays: dict[str, npt.NDArray[np.float32]] = {}
    for key, of_feature in statistics.items():
        for name in ("mean", "std", "min", "max"):
            arrays[f"{key}.{name}"] = np.ascontiguousarray(getattr(of_feature, name), dtype=np.float32)
    return arrays


def _write_json(path: Path, value: _Json) -> None:
    path.write_text(json.dumps(value, indent=4) + "\n", encoding="utf-8")
