"""Normalisation as one affine map per feature, computed from a dataset's statistics.

Source: LeRobot's processor/normalize_processor.py and, for checkpoints up to 0.3.3, policies/normalize.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Vector: TypeAlias = npt.NDArray[np.float32]

DEFAULT_EPS = 1e-8

CONSTANT_SPREAD = 1e-5
"""A spread below this means that a value did not move, in metres, radians, degrees or servo steps."""
CONSTANT_FRACTION = 1e-6
"""A spread below this fraction of the largest spread in the same vector means the same."""
REALISTIC_ERROR = 1e-3
"""How much the measured position of a joint that does not move may differ on another day, in the data set's units."""

STATISTICS = {
    "IDENTITY": (),
    "MEAN_STD": ("mean", "std"),
    "MIN_MAX": ("min", "max"),
    "QUANTILES": ("q01", "q99"),
    "QUANTILE10": ("q10", "q90"),
}
"""Which statistics each mode needs: (centre, spread) or (lower, upper)."""


@dataclass(frozen=True)
class Affine:
    """y = (x - shift) * scale + offset; each float32 (dim,), or (3,) for the channels of an image.

    It has three numbers instead of two because `x - shift` is exact for x near shift, which matters for a tiny spread.
    """

    shift: Vector
    scale: Vector
    offset: Vector


def identity(dim: int) -> Affine:
    """The map that changes nothing."""
    zeros = np.zeros(dim, np.float32)
    return Affine(zeros, np.ones(dim, np.float32), zeros)


def normalizer(mode: str, dim: int, statistics: Mapping[str, Vector], eps: float, *, legacy: bool = False) -> Affine:
    """The map from a dataset's units to the network's input.

    MEAN_STD: (x - mean) / (std + eps). The other modes map [lower, upper] to [-1, 1]; a zero range is replaced by eps,
    while `legacy` checkpoints add eps to every range. `statistics` has the entries STATISTICS[mode], each (dim,).
    """
    if mode == "IDENTITY":
        return identity(dim)
    first, second = (statistics[name] for name in STATISTICS[mode])
    zeros = np.zeros(dim, np.float32)
    if mode == "MEAN_STD":
        return Affine(first, _float32(1.0 / (second + np.float32(eps))), zeros)
    span = second - first + np.float32(eps) if legacy else _span(first, second, eps)
    return Affine(first, _float32(2.0 / span), zeros - np.float32(1.0))


def unnormalizer(mode: str, dim: int, statistics: Mapping[str, Vector], eps: float, *, legacy: bool = False) -> Affine:
    """The map from the network's actions to the dataset's units. MEAN_STD: y * std + mean, without eps."""
    if mode == "IDENTITY":
        return identity(dim)
    first, second = (statistics[name] for name in STATISTICS[mode])
    if mode == "MEAN_STD":
        return Affine(np.zeros(dim, np.float32), second, first)
    span = second - first if legacy else _span(first, second, eps)
    return Affine(np.full(dim, -1.0, np.float32), _float32(span / 2.0), first)


def constant_entries(scale: Vector) -> list[int]:
    """The entries that did not move in the data set, by the scale (dim,) of their normaliser, 1 / spread.

    LeRobot's formula divides by 0 + eps = 1e-8 for them, so the smallest deviation becomes a huge number.
    """
    spread = 1.0 / np.asarray(scale, np.float64)
    limit = max(CONSTANT_SPREAD, CONSTANT_FRACTION * float(spread.max()))
    return [int(index) for index in np.flatnonzero(spread < limit)]


def for_pixels(affine: Affine) -> Affine:
    """The same map for uint8 pixels, if `affine` is for pixels divided by 255."""
    return Affine(_float32(affine.shift * 255.0), _float32(affine.scale / 255.0), affine.offset)


def _span(lower: Vector, upper: Vector, eps: float) -> Vector:
    span = upper - lower
    return np.where(span == 0, np.float32(eps), span)


def _float32(values: npt.NDArray[np.floating[Any]]) -> Vector:
    return np.asarray(values, np.float32)
