"""The network of a checkpoint: built as config.json describes, with every parameter from the files of the weights."""

from __future__ import annotations

import math

import torch

from act_inference_ros.policy import bounds
from act_inference_ros.policy.backbone import feature_map_size
from act_inference_ros.policy.config import ActConfig
from act_inference_ros.policy.network import ActNetwork
from act_inference_ros.policy.refusals import refusal, shown
from act_inference_ros.policy.tensor_names import LEGACY_STATISTICS, NETWORK, UNUSED_AT_INFERENCE
from act_inference_ros.policy.tensors import TensorFiles


def load_network(config: ActConfig, weights: TensorFiles) -> ActNetwork:
    """The network with every parameter from the files; the VAE's parameters are not read.

    Raises CheckpointError before any memory is used if the files hold other tensors than config.json describes, or if
    the network is too large.
    """
    with torch.device("meta"):  # no memory and no random numbers for parameters that are replaced at once
        network = ActNetwork(config)
    wanted = {NETWORK + name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    _check_names(wanted, weights)
    for name, shape in wanted.items():
        weights.check(name, shape)
    numbers = sum(math.prod(shape) for shape in wanted.values()) + _positions(config) * config.dim_model
    if numbers > bounds.NETWORK_NUMBERS:
        raise refusal(weights.paths[0], f"a network of at most {bounds.NETWORK_NUMBERS} numbers", numbers)
    tensors = {
        name.removeprefix(NETWORK): torch.from_numpy(weights.read(name, shape)) for name, shape in wanted.items()
    }
    network.load_state_dict(tensors, strict=True, assign=True)
    return network


def _check_names(wanted: dict[str, tuple[int, ...]], weights: TensorFiles) -> None:
    names = set(weights.names)
    harmless = UNUSED_AT_INFERENCE + LEGACY_STATISTICS
    unknown = [name for name in weights.names if name not in wanted and not name.startswith(harmless)]
    missing = [name for name in wanted if name not in names]
    if unknown or missing:
        found = f"missing: {_shortened(missing)}; unknown: {_shortened(unknown)}"
        raise refusal(weights.paths[0], f"the {len(wanted)} tensors of the network in config.json", found)


def _positions(config: ActConfig) -> int:
    """The number of observation tokens and chunk steps that have a position of `dim_model` numbers."""
    dilate = config.replace_final_stride_with_dilation
    maps = (feature_map_size(image.shape[1], image.shape[2], dilate) for image in config.images)
    return sum(height * width for height, width in maps) + config.chunk_size


def _shortened(names: list[str]) -> str:
    few = ", ".join(shown(name, 80) for name in names[:3])
    return few + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else "none"
