"""Statistics of a data set's features, as LeRobot 0.6.1 stores them in meta/stats.json and for each episode.

The formulas are those of `lerobot/datasets/compute_stats.py`. For the whole data set: the smallest and the largest
value, the weighted mean, the deviation by the parallel algorithm, and the episodes' quantiles, averaged with their
numbers of frames as weights. Two things are more exact here. An episode's quantiles come from its values and not from
a histogram of 5000 bins; and every frame of a video counts, while LeRobot takes a sample.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Statistics = Mapping[str, Floats]
"""`min`, `max`, `mean`, `std`, `q01` to `q99`, each in the shape of the feature, and `count` (1,), frames."""

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
CHANNELS = 3
_LEVELS = 256
_SMALL_SIDE, _LARGE_SIDE = 150, 300
"""Images with a side of _LARGE_SIDE pixels or more are thinned out to about _SMALL_SIDE, as LeRobot does it."""


def vector_statistics(rows: npt.NDArray[np.generic]) -> Statistics:
    """Return the statistics of one episode's rows (n, width) per column; every value has the shape (width,)."""
    values = rows.astype(np.float64)
    found = {
        "min": values.min(axis=0),
        "max": values.max(axis=0),
        "mean": values.mean(axis=0),
        "std": values.std(axis=0),
        "count": np.array([len(values)], dtype=np.float64),
    }
    quantiles = np.quantile(values, list(QUANTILES.values()), axis=0)
    return {**found, **dict(zip(QUANTILES, quantiles, strict=True))}


class ImageStatistics:
    """Statistics of one camera's images in one episode per channel, in 0..1; every value has the shape (3, 1, 1)."""

    def __init__(self) -> None:
        self._images = 0
        self._counts: npt.NDArray[np.int64] = np.zeros((CHANNELS, _LEVELS), dtype=np.int64)

    def add(self, pixels: npt.NDArray[np.uint8]) -> None:
        """Take an image (height, width, 3)."""
        height, width, _ = pixels.shape
        if max(height, width) >= _LARGE_SIDE:
            step = max(height, width) // _SMALL_SIDE
            pixels = pixels[::step, ::step]
        for channel in range(CHANNELS):
            self._counts[channel] += np.bincount(pixels[..., channel].reshape(-1), minlength=_LEVELS)
        self._images += 1

    def result(self) -> Statistics:
        """Return the statistics of the images so far, at least one."""
        levels = np.arange(_LEVELS) / (_LEVELS - 1)
        total = self._counts.sum(axis=1)
        mean = self._counts @ levels / total
        variance = (self._counts * (levels - mean[:, None]) ** 2).sum(axis=1) / total
        reached = self._counts.cumsum(axis=1)
        found = {
            "min": levels[(self._counts > 0).argmax(axis=1)],
            "max": levels[_LEVELS - 1 - (self._counts[:, ::-1] > 0).argmax(axis=1)],
            "mean": mean,
            "std": np.sqrt(variance),
        }
        for name, share in QUANTILES.items():
            found[name] = levels[(reached >= share * total[:, None]).argmax(axis=1)]
        shaped = {name: value.reshape(CHANNELS, 1, 1) for name, value in found.items()}
        return {**shaped, "count": np.array([self._images], dtype=np.float64)}


def merged(one: Statistics, other: Statistics) -> Statistics:
    """Return the joint statistics of two parts of a data set; see above for the quantiles."""
    total = one["count"] + other["count"]
    share, other_share = float(one["count"][0] / total[0]), float(other["count"][0] / total[0])
    mean = share * one["mean"] + other_share * other["mean"]
    variance = share * (one["std"] ** 2 + (one["mean"] - mean) ** 2)
    variance = variance + other_share * (other["std"] ** 2 + (other["mean"] - mean) ** 2)
    return {
        "min": np.minimum(one["min"], other["min"]),
        "max": np.maximum(one["max"], other["max"]),
        "mean": mean,
        "std": np.sqrt(variance),
        **{name: share * one[name] + other_share * other[name] for name in QUANTILES},
        "count": total,
    }


def plain(statistics: Statistics) -> dict[str, list[object]]:
    """Convert to lists, and the count to a whole number, for JSON and parquet."""
    found: dict[str, list[object]] = {name: value.tolist() for name, value in statistics.items()}
    found["count"] = [int(statistics["count"][0])]
    return found
