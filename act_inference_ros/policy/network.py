"""ACT's network with LeRobot's parameter names: backbone feature maps and states in, normalised actions out.

Source: Zhao et al. 2023, arXiv:2304.13705, as computed by LeRobot (policies/act/modeling_act.py, class ACT, in eval
mode, where the latent is always zero). Batch is the first dimension everywhere. There is no dropout and no VAE.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from act_inference_ros.policy.backbone import ResNet
from act_inference_ros.policy.config import ActConfig
from act_inference_ros.policy.kernels import PLAIN, Kernels
from act_inference_ros.policy.resnets import RESNETS


class Attention(nn.Module):
    """Multi-head attention with nn.MultiheadAttention's parameters: (B, L, D), (B, S, D), (B, S, D) -> (B, L, D)."""

    kernels = PLAIN

    def __init__(self, config: ActConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * config.dim_model, config.dim_model))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * config.dim_model))
        self.out_proj = nn.Linear(config.dim_model, config.dim_model)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def self_attention(self, x: Tensor, position: Tensor) -> Tensor:
        """Attend from x to x, (B, L, D); the position, broadcast to x, is added to queries and keys, not to values."""
        dim = x.shape[-1]
        query_key = self.kernels.linear(x + position, self.in_proj_weight[: 2 * dim], self.in_proj_bias[: 2 * dim])
        return self.attend(query_key[..., :dim], query_key[..., dim:], self.values(x))

    def queries(self, x: Tensor) -> Tensor:
        """Project to queries, all heads side by side."""
        dim = x.shape[-1]
        return self.kernels.linear(x, self.in_proj_weight[:dim], self.in_proj_bias[:dim])

    def keys(self, x: Tensor) -> Tensor:
        """Project to keys, all heads side by side."""
        dim = x.shape[-1]
        return self.kernels.linear(x, self.in_proj_weight[dim : 2 * dim], self.in_proj_bias[dim : 2 * dim])

    def values(self, x: Tensor) -> Tensor:
        """Project to values, all heads side by side."""
        dim = x.shape[-1]
        return self.kernels.linear(x, self.in_proj_weight[2 * dim :], self.in_proj_bias[2 * dim :])

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend with projected queries (B, L, D), keys and values (B, S, D)."""
        attended = functional.scaled_dot_product_attention(
            self._by_head(query), self._by_head(key), self._by_head(value)
        )
        return self.kernels.linear(attended.transpose(1, 2).flatten(2), self.out_proj.weight, self.out_proj.bias)

    def _by_head(self, x: Tensor) -> Tensor:
        batch, length, dim = x.shape
        return x.reshape(batch, length, self.n_heads, dim // self.n_heads).transpose(1, 2)


class FeedForward(nn.Module):
    """The two linear layers of a transformer layer; a base class, because LeRobot names them in the layer itself."""

    kernels = PLAIN

    def __init__(self, config: ActConfig) -> None:
        super().__init__()
        self.linear1 = nn.Linear(config.dim_model, config.dim_feedforward)
        self.linear2 = nn.Linear(config.dim_feedforward, config.dim_model)
        self.activation = functional.gelu if config.feedforward_activation == "gelu" else functional.relu
        self.pre_norm = config.pre_norm

    def feed_forward(self, x: Tensor) -> Tensor:
        """linear2(activation(linear1(x)))."""
        return self.kernels.feed_forward(x, self.linear1, self.activation, self.linear2)


class EncoderLayer(FeedForward):
    """Self-attention and feed-forward over the observation's tokens."""

    def __init__(self, config: ActConfig) -> None:
        super().__init__(config)
        self.self_attn = Attention(config)
        self.norm1 = nn.LayerNorm(config.dim_model)
        self.norm2 = nn.LayerNorm(config.dim_model)

    def forward(self, x: Tensor, position: Tensor) -> Tensor:
        """(B, S, D) and its position (S, D) -> (B, S, D)."""
        if self.pre_norm:
            x = x + self.self_attn.self_attention(self.norm1(x), position)
            return x + self.feed_forward(self.norm2(x))
        x = self.norm1(x + self.self_attn.self_attention(x, position))
        result: Tensor = self.norm2(x + self.feed_forward(x))
        return result


class DecoderLayer(FeedForward):
    """Self-attention over the chunk's steps, cross-attention to the observation, feed-forward."""

    def __init__(self, config: ActConfig) -> None:
        super().__init__(config)
        self.self_attn = Attention(config)
        self.multihead_attn = Attention(config)
        self.norm1 = nn.LayerNorm(config.dim_model)
        self.norm2 = nn.LayerNorm(config.dim_model)
        self.norm3 = nn.LayerNorm(config.dim_model)

    def forward(self, x: Tensor, step_position: Tensor, memory: Tensor, memory_position: Tensor) -> Tensor:
        """(B, T, D), its position (T, D), the encoder's output (B, S, D) and its position (S, D) -> (B, T, D)."""
        x, query = self.attend_to_steps(x, step_position)
        return self.attend_to_memory(x, query, memory, memory_position)

    def attend_to_steps(self, x: Tensor, step_position: Tensor) -> tuple[Tensor, Tensor]:
        """The part before the observation is used: -> residual stream and projected cross-attention queries."""
        if self.pre_norm:
            x = x + self.self_attn.self_attention(self.norm1(x), step_position)
            return x, self.multihead_attn.queries(self.norm2(x) + step_position)
        x = self.norm1(x + self.self_attn.self_attention(x, step_position))
        return x, self.multihead_attn.queries(x + step_position)

    def attend_to_memory(self, x: Tensor, query: Tensor, memory: Tensor, memory_position: Tensor) -> Tensor:
        """The rest of the layer, from the results of `attend_to_steps`."""
        cross = self.multihead_attn
        x = x + cross.attend(query, cross.keys(memory + memory_position), cross.values(memory))
        if self.pre_norm:
            return x + self.feed_forward(self.norm3(x))
        x = self.norm2(x)
        result: Tensor = self.norm3(x + self.feed_forward(x))
        return result


class Encoder(nn.Module):
    """n_encoder_layers layers; a final norm only with pre_norm, as in LeRobot."""

    def __init__(self, config: ActConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.n_encoder_layers))
        self.norm = nn.LayerNorm(config.dim_model) if config.pre_norm else nn.Identity()

    def forward(self, tokens: Tensor, position: Tensor) -> Tensor:
        """(B, S, D) and its position (S, D) -> (B, S, D)."""
        for layer in self.layers:
            tokens = layer(tokens, position)
        result: Tensor = self.norm(tokens)
        return result


class Decoder(nn.Module):
    """n_decoder_layers layers and a final norm."""

    def __init__(self, config: ActConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.n_decoder_layers))
        self.norm = nn.LayerNorm(config.dim_model)

    def forward(self, x: Tensor, step_position: Tensor, memory: Tensor, memory_position: Tensor) -> Tensor:
        """(B, T, D), its position (T, D), the encoder's output (B, S, D) and its position (S, D) -> (B, T, D)."""
        for layer in self.layers:
            x = layer(x, step_position, memory, memory_position)
        result: Tensor = self.norm(x)
        return result


class ActNetwork(nn.Module):
    """ACT, trainable: parameter and buffer names are LeRobot's without the prefix `model.` and without the VAE's.

    `backbone` turns one camera's normalised images (B, 3, H, W) into a feature map; it exists only if there are images.
    """

    def __init__(self, config: ActConfig) -> None:
        super().__init__()
        dim = config.dim_model
        self.chunk_size = config.chunk_size
        if config.images:
            self.backbone = ResNet(config.vision_backbone, config.replace_final_stride_with_dilation)
            channels = RESNETS[config.vision_backbone].channels
            self.encoder_img_feat_input_proj = nn.Conv2d(channels, dim, kernel_size=1)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.encoder_latent_input_proj = nn.Linear(config.latent_dim, dim)
        if config.state_dim is not None:
            self.encoder_robot_state_input_proj = nn.Linear(config.state_dim, dim)
        if config.environment_state_dim is not None:
            self.encoder_env_state_input_proj = nn.Linear(config.environment_state_dim, dim)
        n_vectors = 1 + (config.state_dim is not None) + (config.environment_state_dim is not None)
        self.encoder_1d_feature_pos_embed = nn.Embedding(n_vectors, dim)
        self.decoder_pos_embed = nn.Embedding(config.chunk_size, dim)
        self.action_head = nn.Linear(dim, config.action_dim)

    def use_kernels(self, kernels: Kernels) -> None:
        """Compute attention and feed-forward layers with these kernels from now on."""
        for module in self.modules():
            if isinstance(module, (Attention, FeedForward)):
                module.kernels = kernels

    def act(
        self, features: Sequence[Tensor], state: Tensor | None = None, environment_state: Tensor | None = None
    ) -> Tensor:
        """Normalised actions (B, chunk_size, action_dim), differentiable.

        `features`: one backbone output (B, C, h, w) per camera, in the policy's order; sizes may differ between
        cameras. `state` (B, state_dim) and `environment_state` (B, dim): normalised, None if the policy has none.
        """
        tokens = self.tokens(features, state, environment_state)
        position = self.token_positions([(int(f.shape[-2]), int(f.shape[-1])) for f in features])
        result: Tensor = self.action_head(self.decode(self.encoder(tokens, position), position))
        return result

    def tokens(self, features: Sequence[Tensor], state: Tensor | None, environment_state: Tensor | None) -> Tensor:
        """Encoder input (B, S, D): the latent, the states, then each camera's pixels row by row."""
        vectors = []
        if state is not None:
            vectors.append(self.encoder_robot_state_input_proj(state))
        if environment_state is not None:
            vectors.append(self.encoder_env_state_input_proj(environment_state))
        pixels = [self.encoder_img_feat_input_proj(feature).flatten(2).transpose(1, 2) for feature in features]
        batch = (vectors or pixels)[0].shape[0]
        # The latent is zero at inference, so its token is the projection's bias.
        latent = self.encoder_latent_input_proj.bias.expand(batch, 1, -1)
        return torch.cat([latent, *(vector.unsqueeze(1) for vector in vectors), *pixels], dim=1)

    def token_positions(self, sizes: Sequence[tuple[int, int]]) -> Tensor:
        """Position of each encoder token (S, D), for feature maps of these (h, w)."""
        learned = self.encoder_1d_feature_pos_embed.weight
        grids = [sinusoidal_positions(h, w, learned.shape[1]).to(learned) for h, w in sizes]
        return torch.cat([learned, *grids])

    def decode(self, memory: Tensor, memory_position: Tensor) -> Tensor:
        """Encoder output (B, S, D) -> decoder output (B, chunk_size, D)."""
        steps = self.decoder_pos_embed.weight
        x = torch.zeros_like(steps).expand(memory.shape[0], -1, -1)
        result: Tensor = self.decoder(x, steps, memory, memory_position)
        return result


def sinusoidal_positions(height: int, width: int, dim: int) -> Tensor:
    """Position of each pixel of a feature map, row by row: float32 (height * width, dim).

    Source: LeRobot's ACTSinusoidalPositionEmbedding2d. Coordinates count from one and are scaled to (0, 2 pi]. Sine and
    cosine alternate and share a frequency; the first half of the channels is for y, the second for x.
    """
    half = dim // 2
    frequency = 10000.0 ** (2.0 * torch.div(torch.arange(half), 2, rounding_mode="floor") / half)

    def waves(length: int) -> Tensor:
        coordinate = torch.arange(1, length + 1, dtype=torch.float32) / (length + 1e-6) * (2.0 * math.pi)
        angle = coordinate[:, None] / frequency
        return torch.stack((angle[:, 0::2].sin(), angle[:, 1::2].cos()), dim=-1).flatten(1)

    rows = waves(height)[:, None, :].expand(height, width, half)
    columns = waves(width)[None, :, :].expand(height, width, half)
    return torch.cat((rows, columns), dim=-1).reshape(height * width, dim)
