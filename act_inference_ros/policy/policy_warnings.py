"""Warnings about unusual properties of a policy that still runs: logged when it is loaded, and kept with it."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from act_inference_ros.policy.normalization import REALISTIC_ERROR, Affine, constant_entries

_logger = logging.getLogger(__name__)


def left_as_it_is(key: str, old: str) -> str:
    """The warning about an input that LeRobot does not normalise, see `dataset_statistics.left_as_they_are`."""
    return (
        f"{key} is not normalised, though its mode says so: its statistics are under {old}, the name it has before the "
        "rename. LeRobot runs such a policy in the same way. If it does not do what it should, train it again with a "
        "LeRobot that renames the statistics, too (later than 0.6.1)"
    )


def of_constant_entries(normalizers: Mapping[str, Affine]) -> list[str]:
    """The warnings about values that did not move in the data set; `normalizers` are those of the vectors by key."""
    return [
        f"{key}[{index}] did not move in the data set, where it was {affine.shift[index]:g}. A measured value that is "
        f"off by {REALISTIC_ERROR:g} becomes {REALISTIC_ERROR * affine.scale[index]:.0e} for the network, and may move "
        "the arm anywhere. Train without this entry, or see to it that what is measured there is as in the data"
        for key, affine in normalizers.items()
        for index in constant_entries(affine.scale)
    ]


def say(directory: Path, warnings: Sequence[str]) -> None:
    """Log each warning about the checkpoint in `directory`, once in this process."""
    for warning in warnings:
        _say_once(f"{directory}: {warning}")


@functools.lru_cache(maxsize=1024)
def _say_once(message: str) -> None:
    _logger.warning("%s", message)
