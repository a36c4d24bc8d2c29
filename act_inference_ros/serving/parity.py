"""Does the exported graph compute what local mode computes? Random and structured observations, batch 1 and 8."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from act_inference_ros.spec import PolicySpec

BATCH_SIZES = (1, 8)
N_OBSERVATIONS = 8
TOLERANCES = {"float32": 1e-4, "float16": 2e-2}
"""Largest error that is let pass, as a fraction of the action's range, by the network's precision."""

RANGE_FLOOR = 1e-2

Arrays: TypeAlias = dict[str, npt.NDArray[Any]]
"""Key -> a batch of raw inputs, the batch dimension first."""
Actions: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True)
class BatchParity:
    """Largest difference of one batch size: as a fraction of the action's range, and where (action, step) it is."""

    batch_size: int
    error: float
    absolute_error: float
    action: int
    step: int


@dataclass(frozen=True)
class ParityReport:
    """The comparison of an export with local mode.

    `ranges` and `errors` are per action: its range over all chunks compared, in the policy's units, and the largest
    difference as a fraction of it.
    """

    precision: str
    tolerance: float
    observations: tuple[str, ...]
    batches: tuple[BatchParity, ...]
    ranges: tuple[float, ...]
    errors: tuple[float, ...]

    @property
    def error(self) -> float:
        """The largest error, as a fraction of the action's range."""
        return max(self.errors)

    @property
    def passed(self) -> bool:
        """Every error is within the tolerance (and none is NaN)."""
        return all(error <= self.tolerance for error in self.errors)

    def table(self) -> str:
        """Lines for people."""
        lines = [f"parity of {self.precision} with local mode, {len(self.observations)} observations"]
        lines += ["  batch  largest error  of the range  where"]
        lines += [
            f"  {b.batch_size:>5}  {b.absolute_error:>13.2e}  {b.error:>12.1e}  action {b.action}, step {b.step}"
            for b in self.batches
        ]
        verdict = "passed" if self.passed else "FAILED"
        return "\n".join([*lines, f"  {verdict}: {self.error:.1e} of the action's range, {self.tolerance:.0e} allowed"])

    def as_json(self) -> dict[str, Any]:
        """The same for machines."""
        return {**asdict(self), "error": self.error, "passed": self.passed}


def parity(
    spec: PolicySpec,
    precision: str,
    observations: Mapping[str, Arrays],
    exported: Callable[[Arrays], Actions],
    local: Callable[[Arrays], Actions],
    spread: npt.NDArray[np.floating[Any]],
) -> ParityReport:
    """Compare two ways to compute the same policy.

    An error counts as a fraction of the range of that action: largest less smallest value in all chunks local mode
    gives. A range below RANGE_FLOOR of the data's spread or of the largest magnitude counts as that, because float32
    resolves no more: an action that never moves may still differ by a rounding.

    Args:
        spec: of the policy.
        precision: of the export; decides the tolerance.
        observations: name -> one observation, each input with a batch dimension of 1.
        exported: a batch of inputs -> actions (batch, chunk_size, action_dim).
        local: one observation -> actions (1, chunk_size, action_dim).
        spread: of each action in the data set, (action_dim,).
    """
    everything = [{key: rows[key] for key in spec.keys} for rows in observations.values()]
    wanted = np.concatenate([local(one) for one in everything])
    actions = wanted.reshape(-1, spec.action_dim)
    floor = RANGE_FLOOR * np.maximum(np.abs(spread), np.abs(actions).max(axis=0))
    ranges = np.maximum(np.ptp(actions, axis=0), floor).astype(np.float64)
    ranges[ranges == 0] = np.finfo(np.float32).tiny  # only zeros were wanted: only zeros will do
    batches, errors = [], np.zeros(spec.action_dim)
    for size in BATCH_SIZES:
        pieces = [everything[start : start + size] for start in range(0, len(everything), size)]
        got = np.concatenate([exported(_stacked(piece)) for piece in pieces])
        difference = np.abs(got.astype(np.float64) - wanted)
        difference[~np.isfinite(difference)] = np.inf
        relative = difference / ranges
        _, step, action = (int(index) for index in np.unravel_index(relative.argmax(), relative.shape))
        batches.append(BatchParity(size, float(relative.max()), float(difference.max()), action, step))
        errors = np.maximum(errors, relative.max(axis=(0, 1)))
    return ParityReport(
        precision=precision,
        tolerance=TOLERANCES[precision],
        observations=tuple(observations),
        batches=tuple(batches),
        ranges=tuple(float(value) for value in ranges),
        errors=tuple(float(value) for value in errors),
    )


def parity_observations(
    spec: PolicySpec, centres: Mapping[str, npt.NDArray[Any]], spreads: Mapping[str, npt.NDArray[Any]], seed: int = 0
) -> dict[str, Arrays]:
    """Name -> observation: four random ones, then black, white, gradients and a checkerboard.

    Vectors lie around the data's `centres`, by key, within a few of its `spreads`, each (dim,).
    """
    random = np.random.default_rng(seed)

    def vectors(z: Callable[[int], npt.NDArray[Any]]) -> Arrays:
        return {
            key: (centres[key] + spreads[key] * z(dim)).astype(np.float32)[np.newaxis]
            for key, dim in spec.vectors.items()
        }

    def noise(height: int, width: int) -> npt.NDArray[Any]:
        return random.integers(0, 256, (height, width, 3))

    patterns: dict[str, tuple[Callable[[int, int], npt.NDArray[Any]], Callable[[int], npt.NDArray[Any]]]] = {
        **{f"random {i}": (noise, random.standard_normal) for i in range(N_OBSERVATIONS // 2)},
        "black, mean state": (lambda h, w: np.zeros((h, w, 3)), np.zeros),
        "white, low state": (lambda h, w: np.full((h, w, 3), 255), lambda dim: np.full(dim, -2.0)),
        "gradients, high state": (_gradients, lambda dim: np.full(dim, 2.0)),
        "checkerboard, ramp of states": (_checkerboard, lambda dim: np.linspace(-3.0, 3.0, dim)),
    }
    return {
        name: {
            **vectors(state),
            **{i.key: image(i.height, i.width).astype(np.uint8)[np.newaxis] for i in spec.images},
        }
        for name, (image, state) in patterns.items()
    }


def _gradients(height: int, width: int) -> npt.NDArray[Any]:
    """Red grows downwards, green to the right, blue shrinks downwards: tells transposed and swapped channels."""
    down, right = np.mgrid[0 : 255 : height * 1j, 0 : 255 : width * 1j]
    return np.stack([down, right, 255 - down], axis=-1)


def _checkerboard(height: int, width: int) -> npt.NDArray[Any]:
    rows, columns = np.indices((height, width)) // 8
    return np.repeat(((rows + columns) % 2 * 255)[..., np.newaxis], 3, axis=-1)


def _stacked(observations: list[Arrays]) -> Arrays:
    return {key: np.concatenate([one[key] for one in observations]) for key in observations[0]}
