"""ResNet feature extractors with torchvision's structure and parameter names, without torchvision.

Source: torchvision/models/resnet.py and torchvision/ops/misc.py (FrozenBatchNorm2d); He et al. 2015, arXiv:1512.03385.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from act_inference_ros.policy.resnets import RESNETS

BATCH_NORM_EPS = 1e-5


class FrozenBatchNorm2d(nn.Module):
    """Batch norm with fixed statistics: (B, C, H, W) -> (B, C, H, W)."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def scale_and_offset(self) -> tuple[Tensor, Tensor]:
        """The affine map of this layer: y = x * scale + offset, each (C,)."""
        scale = self.weight * (self.running_var + BATCH_NORM_EPS).rsqrt()
        return scale, self.bias - self.running_mean * scale

    def forward(self, x: Tensor) -> Tensor:
        """Scale and shift each channel."""
        scale, offset = self.scale_and_offset()
        return x * scale[:, None, None] + offset[:, None, None]


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    padding = dilation * (kernel // 2)
    return nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, dilation=dilation, bias=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (resnet18, resnet34)."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int, dilation: int, downsample: nn.Module | None) -> None:
        super().__init__()
        if dilation != 1:
            raise NotImplementedError("dilation exists for bottleneck ResNets only")
        self.conv1 = _conv(inputs, width, 3, stride)
        self.bn1: nn.Module = FrozenBatchNorm2d(width)
        self.conv2 = _conv(width, width, 3)
        self.bn2: nn.Module = FrozenBatchNorm2d(width)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, width * expansion, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = functional.relu_(self.bn1(self.conv1(x)))
        return functional.relu_(self.bn2(self.conv2(x)).add_(shortcut))


class Bottleneck(nn.Module):
    """1x1, 3x3 (strided), 1x1 convolutions and a shortcut (resnet50 and larger)."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int, dilation: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = _conv(inputs, width, 1)
        self.bn1: nn.Module = FrozenBatchNorm2d(width)
        self.conv2 = _conv(width, width, 3, stride, dilation)
        self.bn2: nn.Module = FrozenBatchNorm2d(width)
        self.conv3 = _conv(width, width * self.expansion, 1)
        self.bn3: nn.Module = FrozenBatchNorm2d(width * self.expansion)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, width * expansion, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = functional.relu_(self.bn1(self.conv1(x)))
        x = functional.relu_(self.bn2(self.conv2(x)))
        return functional.relu_(self.bn3(self.conv3(x)).add_(shortcut))


class ResNet(nn.Module):
    """Normalised images (B, 3, H, W) -> the last feature map (B, channels, h, w) of a torchvision ResNet."""

    def __init__(self, name: str, dilate_last_stage: bool = False) -> None:
        super().__init__()
        layout = RESNETS[name]
        self._block: type[BasicBlock] | type[Bottleneck] = Bottleneck if layout.bottleneck else BasicBlock
        self._inputs = 64
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1: nn.Module = FrozenBatchNorm2d(64)
        self.layer1 = self._stage(64, layout.blocks[0], stride=1)
        self.layer2 = self._stage(128, layout.blocks[1], stride=2)
        self.layer3 = self._stage(256, layout.blocks[2], stride=2)
        self.layer4 = self._stage(512, layout.blocks[3], stride=2, dilate=dilate_last_stage)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def _stage(self, width: int, blocks: int, stride: int, dilate: bool = False) -> nn.Sequential:
        dilation = stride if dilate else 1
        stride = 1 if dilate else stride
        outputs = width * self._block.expansion
        downsample = None
        if stride != 1 or self._inputs != outputs:
            downsample = nn.Sequential(_conv(self._inputs, outputs, 1, stride), FrozenBatchNorm2d(outputs))
        # As in torchvision, the first block of a dilated stage is not dilated itself.
        stage = [self._block(self._inputs, width, stride, 1, downsample)]
        stage += [self._block(outputs, width, 1, dilation, None) for _ in range(1, blocks)]
        self._inputs = outputs
        return nn.Sequential(*stage)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, channels, h, w), see `feature_map_size`."""
        x = functional.relu_(self.bn1(self.conv1(images)))
        x = functional.max_pool2d(x, kernel_size=3, stride=2, padding=1)
        features: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return features


def feature_map_size(height: int, width: int, dilate_last_stage: bool = False) -> tuple[int, int]:
    """Height and width of the last feature map: each strided step halves them, rounding up."""
    for _ in range(4 if dilate_last_stage else 5):
        height, width = (height + 1) // 2, (width + 1) // 2
    return height, width


@torch.no_grad()
def fold_batch_norms(backbone: ResNet) -> None:
    """Fold every frozen batch norm into the convolution before it, in place; the computed function stays the same."""
    for module in list(backbone.modules()):
        if isinstance(module, nn.Sequential) and len(module) == 2 and isinstance(module[1], FrozenBatchNorm2d):
            module[0], module[1] = _folded(module[0], module[1]), nn.Identity()  # a block's downsample
        for index in (1, 2, 3):
            norm = getattr(module, f"bn{index}", None)
            if isinstance(norm, FrozenBatchNorm2d):
                setattr(module, f"conv{index}", _folded(getattr(module, f"conv{index}"), norm))
                setattr(module, f"bn{index}", nn.Identity())


def _folded(conv: nn.Module, norm: FrozenBatchNorm2d) -> nn.Conv2d:
    assert isinstance(conv, nn.Conv2d)  # noqa: S101  # for the type checker; the structure is fixed above
    scale, offset = norm.scale_and_offset()
    conv.weight.mul_(scale[:, None, None, None])
    conv.bias = nn.Parameter(offset, requires_grad=conv.weight.requires_grad)
    return conv
