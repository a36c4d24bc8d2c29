"""From demonstrations to a small ACT network: image features computed once, then the transformer trained on them.

The recipe trades generality for speed. The backbone is a ResNet18 at its random initialisation and stays frozen, so
its features are computed once per image; on one scene with one cube they tell the policy where the cube is.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from act_inference_ros.policy.backbone import fold_batch_norms
from act_inference_ros.policy.config import ACTION_KEY, ActConfig, Feature
from act_inference_ros.policy.network import ActNetwork
from act_inference_ros.program.progress import Progress
from act_inference_ros.simulation.demonstrations import Demonstration
from act_inference_ros.simulation.scene import DemoArm
from act_inference_ros.spec import IMAGE_PREFIX, STATE_KEY

IMAGE_KEY = f"{IMAGE_PREFIX}front"
CHUNK_SIZE = 20
BATCH_SIZE = 64
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-4
WARM_UP_STEPS = 50
GRADIENT_NORM = 1.0
MIN_STD = 1e-2
"""Floor of the standard deviations: joints that hardly move (roll, the gripper) would have their noise blown up."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""LeRobot normalises images so unless told otherwise; which numbers hardly matters to a random backbone."""

_FEATURE_BATCH = 32


@dataclass(frozen=True)
class NormalizationStatistics:
    """Of one feature, over the demonstrations; all float32 (D,), for images (3, 1, 1)."""

    mean: npt.NDArray[np.float32]
    std: npt.NDArray[np.float32]
    min: npt.NDArray[np.float32]
    max: npt.NDArray[np.float32]


@dataclass(frozen=True)
class TrainedPolicy:
    """A network, its configuration, and the statistics it expects its inputs and outputs normalised with, by key."""

    network: ActNetwork
    config: ActConfig
    statistics: dict[str, NormalizationStatistics]


def train(
    demonstrations: Sequence[Demonstration], steps: int, seed: int = 0, progress: Progress | None = None
) -> TrainedPolicy:
    """Train a small ACT policy; the same arguments give the same weights on the same machine.

    Args:
        demonstrations: at least one.
        steps: optimiser steps.
        seed: of the initial weights and the batches.
        progress: called with (done, total), where one image's features and one optimiser step count one each.
    """
    torch.manual_seed(seed)
    height, width = demonstrations[0].images.shape[1:3]
    config = small_act(height, width)
    network = ActNetwork(config)
    statistics = _statistics(demonstrations)
    images = torch.from_numpy(np.concatenate([d.images for d in demonstrations]))
    total = len(images) + steps
    notify: Progress = progress or (lambda done, total, note="": None)

    states, chunks = _samples(demonstrations, statistics)
    with _one_thread():
        features = _features(network, images, lambda done: notify(done, total))
        mean, std = _standardise_per_channel(features)
        _fit(network, features, states, chunks, steps, seed, lambda done: notify(len(images) + done, total))
    _fold_into_projection(network, mean, std)
    return TrainedPolicy(network.eval(), config, statistics)


def small_act(image_height: int, image_width: int) -> ActConfig:
    """The demo's ACT: LeRobot's architecture, small enough to be trained in seconds on a CPU."""
    inputs = (
        Feature(STATE_KEY, "STATE", (len(DemoArm.JOINTS),)),
        Feature(IMAGE_KEY, "VISUAL", (3, image_height, image_width)),
    )
    return ActConfig(
        inputs=inputs,
        action_dim=len(DemoArm.JOINTS),
        chunk_size=CHUNK_SIZE,
        n_action_steps=CHUNK_SIZE // 2,
        dim_model=64,
        n_heads=4,
        dim_feedforward=128,
        n_encoder_layers=1,
        n_decoder_layers=1,
        latent_dim=8,
        modes={STATE_KEY: "MEAN_STD", IMAGE_KEY: "MEAN_STD", ACTION_KEY: "MEAN_STD"},
    )


def _statistics(demonstrations: Sequence[Demonstration]) -> dict[str, NormalizationStatistics]:
    pixels = np.concatenate([d.images for d in demonstrations])
    zeros = np.zeros((3, 1, 1), np.float32)
    image = NormalizationStatistics(
        mean=zeros + np.array(IMAGENET_MEAN, np.float32)[:, None, None],
        std=zeros + np.array(IMAGENET_STD, np.float32)[:, None, None],
        min=zeros + pixels.min(axis=(0, 1, 2)).astype(np.float32)[:, None, None] / 255.0,
        max=zeros + pixels.max(axis=(0, 1, 2)).astype(np.float32)[:, None, None] / 255.0,
    )
    states = np.concatenate([d.states for d in demonstrations])
    actions = np.concatenate([d.actions for d in demonstrations])
    return {STATE_KEY: _vector_statistics(states), IMAGE_KEY: image, ACTION_KEY: _vector_statistics(actions)}


def _vector_statistics(values: npt.NDArray[np.float32]) -> NormalizationStatistics:
    return NormalizationStatistics(
        mean=values.mean(axis=0, dtype=np.float64).astype(np.float32),
        std=np.maximum(values.std(axis=0, dtype=np.float64), MIN_STD).astype(np.float32),
        min=values.min(axis=0),
        max=values.max(axis=0),
    )


def _features(network: ActNetwork, images: Tensor, notify: Callable[[int], None]) -> Tensor:
    """Backbone features (N, C, h, w) of uint8 images (N, H, W, 3)."""
    backbone = copy.deepcopy(network.backbone)
    fold_batch_norms(backbone)
    backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # exists; twice as fast on a CPU
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)

    @torch.no_grad()
    def of_batch(batch: Tensor) -> Tensor:
        normalised = (batch.float() / 255.0 - mean) / std
        return backbone(normalised.permute(0, 3, 1, 2)).contiguous()  # type: ignore[no-any-return]

    features: list[Tensor] = []
    # Whole batches in threads of their own, each on one core: sharing out every single layer is what is slow on a busy
    # machine.
    with ThreadPoolExecutor(os.cpu_count(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for feature in pool.map(of_batch, torch.split(images, _FEATURE_BATCH)):
            features.append(feature)
            notify(min(len(features) * _FEATURE_BATCH, len(images)))
    return torch.cat(features)


def _standardise_per_channel(features: Tensor) -> tuple[Tensor, Tensor]:
    """Standardise (N, C, h, w) in place; returns what was subtracted and divided by, each (C,)."""
    mean = features.mean(dim=(0, 2, 3))
    std = features.std(dim=(0, 2, 3)).clamp_min(1e-6)
    features.sub_(mean[:, None, None]).div_(std[:, None, None])
    return mean, std


@torch.no_grad()
def _fold_into_projection(network: ActNetwork, mean: Tensor, std: Tensor) -> None:
    """Make the projection, trained on standardised features, take them as the backbone yields them."""
    projection = network.encoder_img_feat_input_proj
    assert projection.bias is not None  # noqa: S101  # for the type checker
    projection.weight.div_(std[None, :, None, None])
    projection.bias.sub_((projection.weight * mean[None, :, None, None]).sum(dim=(1, 2, 3)))


def _samples(
    demonstrations: Sequence[Demonstration], statistics: dict[str, NormalizationStatistics]
) -> tuple[Tensor, Tensor]:
    """Normalised states (N, 6) and action chunks (N, CHUNK_SIZE, 6) of the steps that have an image."""
    states = np.concatenate([d.states[d.image_steps] for d in demonstrations])
    chunks = np.concatenate([_chunks(d) for d in demonstrations])
    state, action = statistics[STATE_KEY], statistics[ACTION_KEY]
    normalised = (states - state.mean) / state.std, (chunks - action.mean) / action.std
    return torch.from_numpy(normalised[0]), torch.from_numpy(normalised[1])


def _chunks(demonstration: Demonstration) -> npt.NDArray[np.float32]:
    """The actions from each step that has an image on (N, CHUNK_SIZE, 6); past the end the last one is held."""
    steps = demonstration.image_steps[:, None] + np.arange(CHUNK_SIZE)
    chunks: npt.NDArray[np.float32] = demonstration.actions[np.minimum(steps, len(demonstration.actions) - 1)]
    return chunks


def _fit(
    network: ActNetwork,
    features: Tensor,
    states: Tensor,
    chunks: Tensor,
    steps: int,
    seed: int,
    notify: Callable[[int], None],
) -> None:
    network.backbone.requires_grad_(False)
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _learning_rate_factor(step, steps))
    batches = torch.Generator().manual_seed(seed)
    for step in range(steps):
        chosen = torch.randint(len(states), (BATCH_SIZE,), generator=batches)
        predicted = network.act([features[chosen]], states[chosen])
        loss = (predicted - chunks[chosen]).abs().mean()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(parameters, GRADIENT_NORM)
        optimiser.step()
        schedule.step()
        notify(step + 1)


def _learning_rate_factor(step: int, steps: int) -> float:
    """Linear warm-up, then cosine decay to zero."""
    warm_up = min(1.0, (step + 1) / WARM_UP_STEPS)
    return warm_up * 0.5 * (1.0 + math.cos(math.pi * step / steps))


@contextmanager
def _one_thread() -> Iterator[None]:
    """The layers are too small to be worth sharing: on a busy machine threads waiting for one another cost far more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
