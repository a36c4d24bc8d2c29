"""Checkpoints for tests: the golden ones that LeRobot computed, and small ones of any configuration."""

import functools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file

from act_inference_ros.policy.config import read_config
from act_inference_ros.policy.network import ActNetwork
from test.golden_fill import build_checkpoint, fill

GOLDEN = Path(__file__).parent / "data" / "golden"
STATISTICS = ("mean", "std", "min", "max", "q01", "q10", "q90", "q99")
_built: list[tempfile.TemporaryDirectory[str]] = []  # removed when all tests are over

DEFAULTS = {
    "type": "act", "n_obs_steps": 1, "chunk_size": 8, "n_action_steps": 8, "vision_backbone": "resnet18",
    "replace_final_stride_with_dilation": False, "pre_norm": False, "dim_model": 32, "n_heads": 4,
    "dim_feedforward": 48, "feedforward_activation": "relu", "n_encoder_layers": 2, "n_decoder_layers": 1,
    "use_vae": False, "latent_dim": 8, "temporal_ensemble_coeff": None, "device": "cuda",
    "pretrained_backbone_weights": "ResNet18_Weights.IMAGENET1K_V1",
    "normalization_mapping": {"VISUAL": "MEAN_STD", "STATE": "MEAN_STD", "ACTION": "MEAN_STD"},
}  # fmt: skip
STATE = {"observation.state": {"type": "STATE", "shape": [5]}}
CAMERA = {"observation.images.top_cam": {"type": "VISUAL", "shape": [3, 64, 96]}}
ACTION = {"action": {"type": "ACTION", "shape": [4]}}


@functools.cache
def golden_checkpoint(case: str) -> Path:
    """The complete checkpoint directory of a golden case."""
    directory = tempfile.TemporaryDirectory()
    _built.append(directory)
    return Path(build_checkpoint(str(GOLDEN / case), directory.name))


def remove_golden_checkpoints() -> None:
    """Remove the checkpoints that golden_checkpoint has built."""
    golden_checkpoint.cache_clear()
    while _built:
        _built.pop().cleanup()


@functools.cache
def golden_arrays(case: str, name: str) -> dict[str, Any]:
    """observation.npz or expected.npz of a golden case."""
    with np.load(GOLDEN / case / f"{name}.npz", allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays}


def write_config(
    directory: Path, inputs: dict[str, Any] | None = None, outputs: dict[str, Any] | None = None, **fields: Any
) -> dict[str, Any]:
    config = {
        **DEFAULTS,
        "input_features": inputs or {**STATE, **CAMERA},
        "output_features": outputs or ACTION,
        **fields,
    }
    (directory / "config.json").write_text(json.dumps(config))
    return config


def network_weights(directory: Path) -> dict[str, Any]:
    """Deterministic weights for the network that config.json describes."""
    with torch.device("meta"):
        names = ActNetwork(read_config(directory)).state_dict()
    return {f"model.{name}": fill(f"model.{name}", tuple(meta.shape)) for name, meta in names.items()}


def statistics_of(features: dict[str, Any]) -> dict[str, Any]:
    """`<key>.<statistic>` -> array, as in a processor's state file, different for every key."""
    tensors = {}
    for number, (key, feature) in enumerate(features.items()):
        random = np.random.default_rng(number)
        dim = feature["shape"][0]
        # Increasing, so that lower bounds lie below upper ones in every mode.
        levels = np.sort(random.uniform(0.05, 0.95, (len(STATISTICS), dim)), axis=0).astype(np.float32)
        by_name = dict(zip(("min", "q01", "q10", "mean", "std", "q90", "q99", "max"), levels, strict=True))
        for name in STATISTICS:
            tensors[f"{key}.{name}"] = by_name[name].reshape((dim, 1, 1) if feature["type"] == "VISUAL" else (dim,))
    return tensors


def write_checkpoint(
    directory: Path, inputs: dict[str, Any] | None = None, rename: dict[str, Any] | None = None, **fields: Any
) -> dict[str, Any]:
    """A checkpoint with processor files, like LeRobot's since 0.4.0. Returns its config.json."""
    config = write_config(directory, inputs, **fields)
    save_file(network_weights(directory), directory / "model.safetensors")
    features = {**config["input_features"], **config["output_features"]}
    write_processors(directory, features, config["normalization_mapping"], rename or {})
    return config


def write_processors(directory: Path, features: dict[str, Any], modes: dict[str, Any], rename: dict[str, Any]) -> None:
    normalizer = {"eps": 1e-8, "features": features, "norm_map": modes}
    device = {"registry_name": "device_processor", "config": {"device": "cuda", "float_dtype": None}}
    pre = [
        {"registry_name": "rename_observations_processor", "config": {"rename_map": rename}},
        {"registry_name": "to_batch_processor", "config": {}},
        device,
        {"registry_name": "normalizer_processor", "config": normalizer, "state_file": "pre_step_3.safetensors"},
    ]
    post = [
        {"registry_name": "unnormalizer_processor", "config": normalizer, "state_file": "post_step_0.safetensors"},
        device,
    ]
    for name, steps, file in (("pre", pre, "pre_step_3"), ("post", post, "post_step_0")):
        pipeline = {"name": f"policy_{name}processor", "steps": steps}
        (directory / f"policy_{name}processor.json").write_text(json.dumps(pipeline))
        save_file(statistics_of(features), directory / f"{file}.safetensors")


def as_hydra(config: dict[str, Any]) -> None:
    """Turn today's config.json into the one before types existed."""
    mapping = config.pop("normalization_mapping")
    del config["type"]
    for side in ("input", "output"):
        features = config.pop(f"{side}_features")
        config[f"{side}_shapes"] = {key: feature["shape"] for key, feature in features.items()}
        config[f"{side}_normalization_modes"] = {
            key: mapping[feature["type"]].lower() for key, feature in features.items()
        }


def write_buffer_checkpoint(
    directory: Path, config: dict[str, Any], features: dict[str, Any], modes: dict[str, Any]
) -> None:
    """Weights with the statistics inside, like LeRobot's up to 0.3.3, for a config.json that is written already."""
    tensors = network_weights(directory)
    for key, array in statistics_of(features).items():
        feature, name = key.rsplit(".", 1)
        wanted: tuple[str, ...] = {"MEAN_STD": ("mean", "std"), "MIN_MAX": ("min", "max")}.get(modes.get(feature), ())
        module = "unnormalize_outputs" if feature == "action" else "normalize_inputs"
        if name in wanted:
            tensors[f"{module}.buffer_{feature.replace('.', '_')}.{name}"] = array
    save_file(tensors, directory / "model.safetensors")


def observation_of(features: dict[str, Any]) -> dict[str, Any]:
    """A random observation under these keys."""
    random = np.random.default_rng(7)
    return {
        key: random.integers(0, 256, (*feature["shape"][1:], 3), dtype=np.uint8)
        if feature["type"] == "VISUAL"
        else random.normal(size=feature["shape"]).astype(np.float32)
        for key, feature in features.items()
    }


def edit_json(path: Path, change: Callable[[Any], object]) -> None:
    """Apply `change` to the content of a JSON file."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
