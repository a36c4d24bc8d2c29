"""The measured policy: ACT of LeRobot's standard size with random weights, and the same network written plainly.

ResNet-18, 512 numbers per token, chunks of 100 actions of 14 joints, images of 640x480 pixels.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:  # how long it takes to import torch is measured
    import torch

ACTION_DIM = 14
HEIGHT, WIDTH = 480, 640


def write_checkpoint(directory: Path, n_cameras: int) -> None:
    """Write a checkpoint with random weights and statistics."""
    import torch
    from safetensors.torch import save_file

    from act_inference_ros.policy.config import read_config
    from act_inference_ros.policy.network import ActNetwork

    image = {"type": "VISUAL", "shape": [3, HEIGHT, WIDTH]}
    vector = {"type": "STATE", "shape": [ACTION_DIM]}
    inputs = {"observation.state": vector, **{f"observation.images.cam{i}": image for i in range(n_cameras)}}
    outputs = {"action": {"type": "ACTION", "shape": [ACTION_DIM]}}
    config = {"type": "act", "input_features": inputs, "output_features": outputs}
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    tensors = {f"model.{name}": tensor for name, tensor in ActNetwork(read_config(directory)).state_dict().items()}
    for key, feature in {**inputs, **outputs}.items():
        side = "unnormalize_outputs" if key == "action" else "normalize_inputs"
        shape = (3, 1, 1) if feature["type"] == "VISUAL" else (ACTION_DIM,)
        for statistic, value in (("mean", 0.45), ("std", 0.25)):
            tensors[f"{side}.buffer_{key.replace('.', '_')}.{statistic}"] = torch.full(shape, value)
    save_file(tensors, directory / "model.safetensors")


def observation_of(n_cameras: int) -> dict[str, npt.NDArray[Any]]:
    random = np.random.default_rng(0)
    images = {
        f"observation.images.cam{i}": random.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        for i in range(n_cameras)
    }
    return {"observation.state": random.normal(size=ACTION_DIM).astype(np.float32), **images}


def plain_policy(
    checkpoint: Path, device: str = "cpu", threads: int | None = None
) -> Callable[[Mapping[str, npt.NDArray[Any]]], npt.NDArray[Any]]:
    """The baseline from raw observation to un-normalised chunk in float32, as LeRobot's eager pipeline does it."""
    import torch
    from safetensors.torch import load_file

    from test.plain_act import PlainAct

    if threads is not None:
        torch.set_num_threads(threads)
    weights = load_file(checkpoint / "model.safetensors", device=device)
    config = {
        "vision_backbone": "resnet18", "replace_final_stride_with_dilation": False, "pre_norm": False, "latent_dim": 32,
        "dim_model": 512, "n_heads": 8, "feedforward_activation": "relu", "n_encoder_layers": 4, "n_decoder_layers": 1,
    }  # fmt: skip
    with torch.device(device):
        network = PlainAct(config, weights)

    def statistics_of(side: str, key: str) -> tuple[torch.Tensor, torch.Tensor]:
        prefix = f"{side}.buffer_{key.replace('.', '_')}"
        return weights[f"{prefix}.mean"], weights[f"{prefix}.std"]

    def predict(observation: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        with torch.inference_mode(), torch.device(device):
            inputs = {}
            for key, array in observation.items():
                x = torch.from_numpy(array).to(device)
                x = (x.float() / 255).permute(2, 0, 1).contiguous() if array.ndim == 3 else x
                mean, std = statistics_of("normalize_inputs", key)
                inputs[key] = (x.unsqueeze(0) - mean) / (std + 1e-8)
            state = inputs.pop("observation.state")
            mean, std = statistics_of("unnormalize_outputs", "action")
            chunk: npt.NDArray[Any] = (network(list(inputs.values()), state) * std + mean)[0].cpu().numpy()
            return chunk

    return predict
