"""The whole policy as one tensor function: raw inputs in, actions in the dataset's units out.

Everything that does not depend on the observation is computed once, at construction. Local mode runs this graph and the
export contains it, so both give the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from act_inference_ros.policy.backbone import feature_map_size, fold_batch_norms
from act_inference_ros.policy.config import ActConfig
from act_inference_ros.policy.network import ActNetwork, DecoderLayer
from act_inference_ros.policy.normalization import Affine, for_pixels


class AffineMap(nn.Module):
    """An `Affine` over the last dimension, always in float32."""

    shift: Tensor
    scale: Tensor
    offset: Tensor

    def __init__(self, affine: Affine) -> None:
        super().__init__()
        self.register_buffer("shift", torch.tensor(affine.shift))
        self.register_buffer("scale", torch.tensor(affine.scale))
        self.register_buffer("offset", torch.tensor(affine.offset))

    def forward(self, x: Tensor) -> Tensor:
        """(..., dim) of any type -> (..., dim) float32."""
        return (x.to(torch.float32) - self.shift) * self.scale + self.offset


class PolicyGraph(nn.Module):
    """Raw inputs -> actions float32 (B, chunk_size, action_dim) in the dataset's units.

    Inputs in the order of `PolicySpec.keys`: float32 vectors (B, dim), then uint8 RGB images (B, height, width, 3).
    The object changes the network: its batch norms are folded and its parameters are frozen.
    """

    position: Tensor
    first_steps: Tensor
    first_queries: Tensor

    def __init__(self, network: ActNetwork, config: ActConfig, inputs: Mapping[str, Affine], action: Affine) -> None:
        super().__init__()
        self.has_state = config.state_dim is not None
        self.has_environment_state = config.environment_state_dim is not None
        self.n_vectors = int(self.has_state) + int(self.has_environment_state)
        vectors, images = config.read_keys[: self.n_vectors], config.read_keys[self.n_vectors :]
        self.normalize = nn.ModuleList(
            [AffineMap(inputs[key]) for key in vectors] + [AffineMap(for_pixels(inputs[key])) for key in images]
        )
        self.unnormalize = AffineMap(action)
        self.images = config.images
        dilate = config.replace_final_stride_with_dilation
        sizes = [feature_map_size(image.shape[1], image.shape[2], dilate) for image in config.images]
        network.requires_grad_(False).eval()
        with torch.no_grad():
            if images:
                fold_batch_norms(network.backbone)
                network.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs
            self.register_buffer("position", network.token_positions(sizes), persistent=False)
            # The decoder starts from zeros, so the part of its first layer before the observation is used is constant.
            steps = network.decoder_pos_embed.weight.unsqueeze(0)
            first_steps, first_queries = self._first_layer(network).attend_to_steps(torch.zeros_like(steps), steps)
            self.register_buffer("first_steps", first_steps, persistent=False)
            self.register_buffer("first_queries", first_queries, persistent=False)
        self.network = network

    def set_precision(self, dtype: torch.dtype) -> None:
        """Compute the network in `dtype`; normalisation and un-normalisation stay in float32."""
        self.network.to(dtype)
        self.position = self.position.to(dtype)
        self.first_steps = self.first_steps.to(dtype)
        self.first_queries = self.first_queries.to(dtype)

    def typical_inputs(self) -> list[Tensor]:
        """One batch of valid raw inputs for a warm-up: every vector at the middle of its data, black images."""
        shapes = [(image.shape[1], image.shape[2], 3) for image in self.images]
        device = self.position.device
        vectors = [m.shift.unsqueeze(0) for m in self.normalize[: self.n_vectors] if isinstance(m, AffineMap)]
        return vectors + [torch.zeros(1, *shape, dtype=torch.uint8, device=device) for shape in shapes]

    def forward(self, *inputs: Tensor) -> Tensor:
        """Raw inputs -> actions, see the class."""
        result: Tensor = self.unnormalize(self.normalized_actions(*inputs))
        return result

    def normalized_actions(self, *inputs: Tensor) -> Tensor:
        """Raw inputs -> the network's own output (B, chunk_size, action_dim)."""
        result: Tensor = self.network.action_head(self.decode(self.encode(self.tokens(*inputs))))
        return result

    def tokens(self, *inputs: Tensor) -> Tensor:
        """Raw inputs -> encoder input (B, S, D)."""
        dtype = self.network.action_head.weight.dtype
        normalized = [normalize(x).to(dtype) for normalize, x in zip(self.normalize, inputs, strict=True)]
        vectors = iter(normalized[: self.n_vectors])
        state = next(vectors) if self.has_state else None
        environment_state = next(vectors) if self.has_environment_state else None
        # (B, H, W, 3) seen as (B, 3, H, W) has the memory layout for which convolutions are fastest.
        features = [self.network.backbone(image.permute(0, 3, 1, 2)) for image in normalized[self.n_vectors :]]
        return self.network.tokens(features, state, environment_state)

    def encode(self, tokens: Tensor) -> Tensor:
        """Encoder input (B, S, D) -> encoder output (B, S, D)."""
        result: Tensor = self.network.encoder(tokens, self.position)
        return result

    def decode(self, memory: Tensor) -> Tensor:
        """Encoder output (B, S, D) -> decoder output (B, chunk_size, D)."""
        decoder = self.network.decoder
        queries = self.first_queries.expand(memory.shape[0], -1, -1)
        x = self._first_layer(self.network).attend_to_memory(self.first_steps, queries, memory, self.position)
        for layer in decoder.layers[1:]:
            x = layer(x, self.network.decoder_pos_embed.weight, memory, self.position)
        result: Tensor = decoder.norm(x)
        return result

    @staticmethod
    def _first_layer(network: ActNetwork) -> DecoderLayer:
        layer = network.decoder.layers[0]
        assert isinstance(layer, DecoderLayer)  # noqa: S101  # for the type checker
        return layer
