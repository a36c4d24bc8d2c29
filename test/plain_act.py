"""ACT written as plainly as possible, to compare with: nothing folded, nothing precomputed, torch's own attention.

An independent second implementation: it shares no code with the package. It reads the state dict of a checkpoint by
name, takes inputs that are normalised already, and puts the sequence first, as LeRobot does.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

BLOCKS = {
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
    "resnet152": (3, 8, 36, 3),
}


class PlainAct:
    """`config`: config.json's content with defaults filled in; `weights`: state dict with names from `model.` on."""

    def __init__(self, config: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> None:
        self.config = config
        self.weights = weights
        suffix = ".in_proj_weight"
        names = [name.removeprefix("model.").removesuffix(suffix) for name in weights if name.endswith(suffix)]
        self._attentions = {name: self._make_attention(name) for name in names if not name.startswith("vae")}

    def __call__(
        self,
        images: Sequence[torch.Tensor],
        state: torch.Tensor | None = None,
        environment_state: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Normalised (B, 3, H, W) per camera and vectors (B, dim) -> normalised actions (B, chunk, action_dim)."""
        tokens, positions = self.tokens(images, state, environment_state)
        memory = self.encoder(tokens, positions)
        return self.linear("action_head", self.decoder(memory, positions)).transpose(0, 1)

    def tokens(
        self, images: Sequence[torch.Tensor], state: torch.Tensor | None, environment_state: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        batch = images[0].shape[0] if images else environment_state.shape[0]
        tokens = [self.linear("encoder_latent_input_proj", torch.zeros(batch, self.config["latent_dim"]))]
        if state is not None:
            tokens.append(self.linear("encoder_robot_state_input_proj", state))
        if environment_state is not None:
            tokens.append(self.linear("encoder_env_state_input_proj", environment_state))
        positions = list(self["encoder_1d_feature_pos_embed.weight"].unsqueeze(1))
        for image in images:
            features = self.resnet(image)
            grid = self.sinusoid(*features.shape[-2:])
            name = "encoder_img_feat_input_proj"
            pixels = F.conv2d(features, self[f"{name}.weight"], self[f"{name}.bias"])
            tokens += list(pixels.flatten(2).permute(2, 0, 1))
            positions += list(grid.flatten(2).permute(2, 0, 1))
        return torch.stack(tokens), torch.stack(positions)

    def sinusoid(self, height: int, width: int) -> torch.Tensor:
        half = self.config["dim_model"] // 2
        frequency = torch.tensor([10000 ** (2 * (i // 2) / half) for i in range(half)], dtype=torch.float32)
        y = torch.arange(1, height + 1, dtype=torch.float32)[:, None].expand(height, width) / (height + 1e-6)
        x = torch.arange(1, width + 1, dtype=torch.float32)[None, :].expand(height, width) / (width + 1e-6)
        halves = []
        for coordinate in (y, x):
            angle = coordinate[..., None] * 2 * math.pi / frequency
            even = torch.arange(half) % 2 == 0
            halves.append(torch.where(even, angle.sin(), angle.cos()))
        return torch.cat(halves, dim=-1).permute(2, 0, 1).unsqueeze(0)

    def encoder(self, x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        for i in range(self.config["n_encoder_layers"]):
            x = self.encoder_layer(f"encoder.layers.{i}", x, positions)
        return self.norm("encoder.norm", x) if self.config["pre_norm"] else x

    def encoder_layer(self, name: str, x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        if self.config["pre_norm"]:
            y = self.norm(f"{name}.norm1", x)
            x = x + self.attention(f"{name}.self_attn", y + positions, y + positions, y)
            return x + self.feed_forward(name, self.norm(f"{name}.norm2", x))
        x = self.norm(f"{name}.norm1", x + self.attention(f"{name}.self_attn", x + positions, x + positions, x))
        return self.norm(f"{name}.norm2", x + self.feed_forward(name, x))

    def decoder(self, memory: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        steps = self["decoder_pos_embed.weight"].unsqueeze(1)
        x = torch.zeros(steps.shape[0], memory.shape[1], steps.shape[2])
        for i in range(self.config["n_decoder_layers"]):
            x = self.decoder_layer(f"decoder.layers.{i}", x, steps, memory, positions)
        return self.norm("decoder.norm", x)

    def decoder_layer(
        self, name: str, x: torch.Tensor, steps: torch.Tensor, memory: torch.Tensor, positions: torch.Tensor
    ) -> torch.Tensor:
        if self.config["pre_norm"]:
            y = self.norm(f"{name}.norm1", x)
            x = x + self.attention(f"{name}.self_attn", y + steps, y + steps, y)
            y = self.norm(f"{name}.norm2", x)
            x = x + self.attention(f"{name}.multihead_attn", y + steps, memory + positions, memory)
            return x + self.feed_forward(name, self.norm(f"{name}.norm3", x))
        x = self.norm(f"{name}.norm1", x + self.attention(f"{name}.self_attn", x + steps, x + steps, x))
        crossed = self.attention(f"{name}.multihead_attn", x + steps, memory + positions, memory)
        x = self.norm(f"{name}.norm2", x + crossed)
        return self.norm(f"{name}.norm3", x + self.feed_forward(name, x))

    def _make_attention(self, name: str) -> nn.MultiheadAttention:
        attention = nn.MultiheadAttention(self.config["dim_model"], self.config["n_heads"]).eval()
        attention.load_state_dict({key: self[f"{name}.{key}"] for key in attention.state_dict()})
        return attention

    def attention(self, name: str, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        return self._attentions[name](query, key, value)[0]

    def feed_forward(self, name: str, x: torch.Tensor) -> torch.Tensor:
        activation: Any = {"relu": F.relu, "gelu": F.gelu}[self.config["feedforward_activation"]]
        return self.linear(f"{name}.linear2", activation(self.linear(f"{name}.linear1", x)))

    def resnet(self, x: torch.Tensor) -> torch.Tensor:
        name = self.config["vision_backbone"]
        bottleneck = name not in ("resnet18", "resnet34")
        x = F.relu(self.conv_norm("conv1", "bn1", x, stride=2))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        for stage, blocks in enumerate(BLOCKS[name], start=1):
            dilated = stage == 4 and self.config["replace_final_stride_with_dilation"]
            for block in range(blocks):
                prefix = f"layer{stage}.{block}."
                stride = 2 if stage > 1 and block == 0 and not dilated else 1
                dilation = 2 if dilated and block > 0 else 1
                shortcut = x
                if f"model.backbone.{prefix}downsample.0.weight" in self.weights:
                    shortcut = self.conv_norm(f"{prefix}downsample.0", f"{prefix}downsample.1", x, stride=stride)
                first, second = (1, stride) if bottleneck else (stride, 1)
                x = F.relu(self.conv_norm(f"{prefix}conv1", f"{prefix}bn1", x, stride=first))
                x = self.conv_norm(f"{prefix}conv2", f"{prefix}bn2", x, stride=second, dilation=dilation)
                if bottleneck:
                    x = self.conv_norm(f"{prefix}conv3", f"{prefix}bn3", F.relu(x))
                x = F.relu(x + shortcut)
        return x

    def conv_norm(self, conv: str, norm: str, x: torch.Tensor, stride: int = 1, dilation: int = 1) -> torch.Tensor:
        weight = self[f"backbone.{conv}.weight"]
        x = F.conv2d(x, weight, stride=stride, padding=dilation * (weight.shape[-1] // 2), dilation=dilation)
        gain, bias, mean, variance = (
            self[f"backbone.{norm}.{name}"].reshape(1, -1, 1, 1)
            for name in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gain * (variance + 1e-5).rsqrt()
        return x * scale + (bias - mean * scale)

    def linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self[f"{name}.weight"], self[f"{name}.bias"])

    def norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, x.shape[-1:], self[f"{name}.weight"], self[f"{name}.bias"], eps=1e-5)

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.weights["model." + name]
