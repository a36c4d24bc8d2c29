"""The ResNets that ACT may use as its backbone, by their names in config.json. Imports nothing of torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ResNetLayout:
    """The number of blocks in each of the four stages, and whether they are bottlenecks."""

    blocks: tuple[int, int, int, int]
    bottleneck: bool

    @property
    def channels(self) -> int:
        """Number of channels of the last feature map."""
        return 2048 if self.bottleneck else 512


RESNETS = {
    "resnet18": ResNetLayout((2, 2, 2, 2), bottleneck=False),
    "resnet34": ResNetLayout((3, 4, 6, 3), bottleneck=False),
    "resnet50": ResNetLayout((3, 4, 6, 3), bottleneck=True),
    "resnet101": ResNetLayout((3, 4, 23, 3), bottleneck=True),
    "resnet152": ResNetLayout((3, 8, 36, 3), bottleneck=True),
}
