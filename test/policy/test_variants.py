"""Every architecture and normalisation that ACT can have, compared with the plain second implementation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file, save_file

from act_inference_ros.policy.backbone import ResNet
from act_inference_ros.policy.kernels import POINTWISE
from act_inference_ros.policy.load import load_policy
from act_inference_ros.policy.resnets import RESNETS
from act_inference_ros.spec import ENVIRONMENT_STATE_KEY
from test.checkpoints import (
    CAMERA,
    STATE,
    as_hydra,
    edit_json,
    observation_of,
    write_buffer_checkpoint,
    write_checkpoint,
    write_config,
)
from test.plain_act import PlainAct

ENVIRONMENT = {ENVIRONMENT_STATE_KEY: {"type": "ENV", "shape": [7]}}
SMALL_CAMERA = {"observation.images.wrist": {"type": "VISUAL", "shape": [3, 45, 33]}}
BOUNDS = {"MIN_MAX": ("min", "max"), "QUANTILES": ("q01", "q99"), "QUANTILE10": ("q10", "q90")}
MODES = ("MEAN_STD", "MIN_MAX", "QUANTILES", "QUANTILE10", "IDENTITY")


def modes_of(mode: str) -> dict[str, str]:
    return dict.fromkeys(("VISUAL", "STATE", "ENV", "ACTION"), mode)


def plain_chunk(
    config: dict[str, Any],
    weights: Mapping[str, torch.Tensor],
    statistics: Mapping[str, Any],
    observation: dict[str, Any],
    eps: float = 1e-8,
    legacy: bool = False,
) -> npt.NDArray[Any]:
    """The un-normalised chunk (chunk, action), by LeRobot's formulas, one by one."""
    modes = config["normalization_mapping"]
    features = {**config["input_features"], **config["output_features"]}

    def normalized(key: str, x: torch.Tensor, inverse: bool = False) -> torch.Tensor:
        mode = modes.get(features[key]["type"], "IDENTITY")
        if mode == "IDENTITY":
            return x
        if mode == "MEAN_STD":
            mean, std = statistics[f"{key}.mean"], statistics[f"{key}.std"]
            return x * std + mean if inverse else (x - mean) / (std + eps)
        low, high = (statistics[f"{key}.{name}"] for name in BOUNDS[mode])
        span = high - low
        if legacy:
            return (x + 1) / 2 * span + low if inverse else (x - low) / (span + eps) * 2 - 1
        span = torch.where(span == 0, torch.tensor(eps), span)
        return (x + 1) / 2 * span + low if inverse else 2 * (x - low) / span - 1

    tensors = {key: torch.from_numpy(observation[key]) for key in config["input_features"]}
    images, vectors = [], {}
    for key, x in tensors.items():
        if features[key]["type"] == "VISUAL":
            images.append(normalized(key, x.permute(2, 0, 1).contiguous().float() / 255).unsqueeze(0))
        else:
            vectors[key] = normalized(key, x).unsqueeze(0)
    with torch.inference_mode():
        network = PlainAct(config, weights)
        chunk = network(images, vectors.get("observation.state"), vectors.get(ENVIRONMENT_STATE_KEY))
    return normalized("action", chunk[0], inverse=True).numpy()


def predicted(directory: Path, observation: dict[str, Any]) -> npt.NDArray[Any]:
    policy = load_policy(directory)
    checked = policy.spec.check_observation(observation)
    with torch.inference_mode():
        return policy.graph(*(torch.from_numpy(x).unsqueeze(0) for x in checked.values()))[0].numpy()


VARIANTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "pre_norm": {"pre_norm": True},
    "pre_norm_three_decoder_layers": {"pre_norm": True, "n_decoder_layers": 3},
    "three_decoder_layers": {"n_decoder_layers": 3},
    "gelu": {"feedforward_activation": "gelu"},
    "one_head_no_encoder_depth": {"n_heads": 1, "n_encoder_layers": 1},
    "resnet34": {"vision_backbone": "resnet34"},
    "resnet50": {"vision_backbone": "resnet50"},
    "resnet50_dilated": {"vision_backbone": "resnet50", "replace_final_stride_with_dilation": 1},
    "no_state": {"inputs": CAMERA},
    "environment_state_only": {"inputs": ENVIRONMENT},
    "environment_state_and_all": {"inputs": {**CAMERA, **ENVIRONMENT, **STATE}},
    "cameras_of_two_sizes": {"inputs": {**STATE, **SMALL_CAMERA, **CAMERA}},
    "single_image_key": {"inputs": {"observation.image": {"type": "VISUAL", "shape": [3, 32, 32]}}},
    **{mode: {"inputs": {**CAMERA, **ENVIRONMENT, **STATE}, "normalization_mapping": modes_of(mode)} for mode in MODES},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variant_equals_plain_act(tmp_path: Path, variant: str) -> None:
    config = write_checkpoint(tmp_path, **VARIANTS[variant])
    observation = observation_of(config["input_features"])
    weights = load_file(tmp_path / "model.safetensors")
    expected = plain_chunk(config, weights, load_file(tmp_path / "pre_step_3.safetensors"), observation)
    np.testing.assert_allclose(predicted(tmp_path, observation), expected, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("mode", ["MEAN_STD", "MIN_MAX"])
@pytest.mark.parametrize("hydra", [False, True])
def test_statistics_inside_the_weights_equal_plain_act(tmp_path: Path, mode: str, hydra: bool) -> None:
    inputs = {**STATE, **CAMERA, **ENVIRONMENT}
    config = write_config(tmp_path, inputs, normalization_mapping=modes_of(mode))
    features = {**inputs, **config["output_features"]}
    if hydra:
        edit_json(tmp_path / "config.json", as_hydra)
    write_buffer_checkpoint(tmp_path, config, features, dict.fromkeys(features, mode))
    statistics = {
        f"{key}.{name}": load_file(tmp_path / "model.safetensors").get(f"{side}.buffer_{key.replace('.', '_')}.{name}")
        for key in features
        for name in ("mean", "std", "min", "max")
        for side in (("unnormalize_outputs" if key == "action" else "normalize_inputs"),)
    }
    observation = observation_of(inputs)
    weights = load_file(tmp_path / "model.safetensors")
    expected = plain_chunk(config, weights, statistics, observation, legacy=True)
    np.testing.assert_allclose(predicted(tmp_path, observation), expected, rtol=1e-4, atol=2e-4)


def test_a_range_of_zero_counts_as_eps(tmp_path: Path) -> None:
    config = write_checkpoint(tmp_path, inputs={**STATE, **CAMERA}, normalization_mapping=modes_of("MIN_MAX"))
    statistics = load_file(tmp_path / "pre_step_3.safetensors")
    for name in ("min", "max"):
        statistics[f"observation.state.{name}"] = torch.full((5,), 0.25)
        statistics[f"action.{name}"] = torch.full((4,), 0.5)
    for file in ("pre_step_3", "post_step_0"):
        save_file(statistics, tmp_path / f"{file}.safetensors")
    observation = {**observation_of(config["input_features"]), "observation.state": np.full(5, 0.25, np.float32)}
    weights = load_file(tmp_path / "model.safetensors")
    expected = plain_chunk(config, weights, statistics, observation)
    np.testing.assert_allclose(predicted(tmp_path, observation), expected, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("variant", [{}, {"pre_norm": True, "feedforward_activation": "gelu", "n_decoder_layers": 3}])
def test_pointwise_kernels_give_the_same_numbers(tmp_path: Path, variant: dict[str, Any]) -> None:
    config = write_checkpoint(tmp_path, **variant)
    policy = load_policy(tmp_path)
    observation = observation_of(config["input_features"])
    inputs = [torch.from_numpy(observation[key]).unsqueeze(0) for key in policy.spec.keys]
    with torch.inference_mode():
        plain = policy.graph(*inputs)
        policy.graph.network.use_kernels(POINTWISE)
        pointwise = policy.graph(*inputs)
    assert policy.graph.network.encoder.layers[0].self_attn.kernels is POINTWISE  # type: ignore[union-attr]  # of our own class
    torch.testing.assert_close(pointwise, plain, rtol=1e-4, atol=1e-4)


def test_the_graph_takes_batches(tmp_path: Path) -> None:
    config = write_checkpoint(tmp_path)
    policy = load_policy(tmp_path)
    observation = observation_of(config["input_features"])
    inputs = [torch.from_numpy(observation[key]).unsqueeze(0) for key in policy.spec.keys]
    others = [torch.ones_like(x) for x in inputs]
    with torch.inference_mode():
        both = policy.graph(*(torch.cat(pair) for pair in zip(inputs, others, strict=True)))
        torch.testing.assert_close(both[:1], policy.graph(*inputs), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(both[1:], policy.graph(*others), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "n_tensors", "channels"), [("resnet101", 520, 2048), ("resnet152", 775, 2048)])
def test_large_backbones_have_torchvisions_tensors(name: str, n_tensors: int, channels: int) -> None:
    # torchvision counts a num_batches_tracked per norm and the classifier's two tensors more.
    with torch.device("meta"):
        assert len(ResNet(name).state_dict()) == n_tensors
    assert RESNETS[name].channels == channels
