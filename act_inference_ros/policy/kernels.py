"""How the products over tokens are computed: all kinds give the same numbers, up to rounding.

`PLAIN` uses PyTorch's linear layers. `POINTWISE` writes them as 1x1 convolutions over a row of tokens: when a compiled
graph is frozen, oneDNN stores the weights of convolutions in its reading order and fuses the rectifier with them. It
does not do this for linear layers, which another library computes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from torch import Tensor, nn
from torch.nn import functional

Activation: TypeAlias = Callable[[Tensor], Tensor]


class Kernels(NamedTuple):
    """`linear(x, weight, bias)` and `feed_forward(x, first, activation, second)`, both over (B, S, in)."""

    linear: Callable[[Tensor, Tensor, Tensor], Tensor]
    feed_forward: Callable[[Tensor, nn.Linear, Activation, nn.Linear], Tensor]


def _linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return functional.linear(x, weight, bias)


def _feed_forward(x: Tensor, first: nn.Linear, activation: Activation, second: nn.Linear) -> Tensor:
    hidden = activation(functional.linear(x, first.weight, first.bias))
    return functional.linear(hidden, second.weight, second.bias)


def _pointwise_linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return _as_tokens(_convolve(_as_image(x), weight, bias))


def _pointwise_feed_forward(x: Tensor, first: nn.Linear, activation: Activation, second: nn.Linear) -> Tensor:
    hidden = activation(_convolve(_as_image(x), first.weight, first.bias))
    return _as_tokens(_convolve(hidden, second.weight, second.bias))


def _as_image(x: Tensor) -> Tensor:
    """Tokens (B, S, D) as an image (B, D, 1, S); not a copy, because this is the image's channels_last layout."""
    return x.unsqueeze(1).permute(0, 3, 1, 2)


def _as_tokens(image: Tensor) -> Tensor:
    return image.permute(0, 2, 3, 1).squeeze(1)


def _convolve(image: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return functional.conv2d(image, weight[:, :, None, None], bias)


PLAIN = Kernels(_linear, _feed_forward)
POINTWISE = Kernels(_pointwise_linear, _pointwise_feed_forward)
