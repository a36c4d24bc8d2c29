"""Measures, per action, how much a policy computed in fewer bits differs from the same policy in float32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.policy.reference import Reference


@dataclass(frozen=True)
class PrecisionError:
    """The largest errors over a few observations, per action: float64 (action_dim,) each.

    `absolute` is in the policy's units, `fraction` is relative to the action's range over the reference's chunks.
    """

    precision: str
    absolute: npt.NDArray[np.float64]
    fraction: npt.NDArray[np.float64]
    observations: int

    def __str__(self) -> str:
        """The largest error, then the error of each action."""
        worst = int(self.fraction.argmax())
        each = ", ".join(map(_shown, self.absolute, self.fraction))
        return (
            f"at most {_shown(self.absolute[worst], self.fraction[worst])} of the range (action {worst}); each: {each}"
        )

    @property
    def note(self) -> str:
        """A sentence for people who start the policy."""
        worst = int(self.fraction.argmax())
        return (
            f"precision {self.precision} differs from float32 by at most {self.absolute[worst]:.2g}, "
            f"{self.fraction[worst]:.2%} of the range, at action {worst}; measured with {self.observations} inputs"
        )


def precision_error(
    reference: Reference, precision: str, chunks: npt.NDArray[Any], rows: Sequence[int]
) -> PrecisionError:
    """Compare `chunks` (n, chunk_size, action_dim), computed in `precision` for the reference's observations `rows`."""
    fraction = reference.errors(chunks, rows).max(axis=(0, 1))
    return PrecisionError(precision, fraction * reference.ranges, fraction, len(rows))


def _shown(absolute: float, fraction: float) -> str:
    return f"{absolute:.2g} ({fraction:.2%})"
