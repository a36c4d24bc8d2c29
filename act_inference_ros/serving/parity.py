"""Compares the exported graph with local mode: random and structured observations, batch sizes 1 and 8."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from act_inference_ros.policy.reference import Actions, Arrays, Reference

BATCH_SIZES = (1, 8)


@dataclass(frozen=True)
class BatchParity:
    """Largest difference of one batch size, as a fraction of the action's range, and its place (action, step)."""

    batch_size: int
    error: float
    absolute_error: float
    action: int
    step: int


@dataclass(frozen=True)
class ParityReport:
    """The comparison of an export with local mode.

    `ranges` and `errors` have a value for each action: its range over all compared chunks, in the policy's units, and
    the largest difference as a fraction of this range.
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
        """Whether every error is within the tolerance (and none is NaN)."""
        return all(error <= self.tolerance for error in self.errors)

    def table(self) -> str:
        """The report as lines for people."""
        lines = [f"parity of {self.precision} with local mode, {len(self.observations)} observations"]
        lines += ["  batch  largest error  of the range  where"]
        lines += [
            f"  {b.batch_size:>5}  {b.absolute_error:>13.2e}  {b.error:>12.1e}  action {b.action}, step {b.step}"
            for b in self.batches
        ]
        verdict = "passed" if self.passed else "FAILED"
        return "\n".join([*lines, f"  {verdict}: {self.error:.1e} of the action's range, {self.tolerance:.0e} allowed"])

    def as_json(self) -> dict[str, Any]:
        """The report for programs."""
        return {**asdict(self), "error": self.error, "passed": self.passed}


def parity(reference: Reference, exported: Callable[[Arrays], Actions]) -> ParityReport:
    """Compare an exported graph (a batch of inputs -> actions) with the reference, in batches of BATCH_SIZES."""
    everything = list(reference.observations.values())
    batches, errors = [], np.zeros(reference.spec.action_dim)
    for size in BATCH_SIZES:
        pieces = [everything[start : start + size] for start in range(0, len(everything), size)]
        got = np.concatenate([exported(stacked(piece)) for piece in pieces])
        relative = reference.errors(got, range(len(everything)))
        _, step, action = (int(index) for index in np.unravel_index(relative.argmax(), relative.shape))
        absolute = float((relative * reference.ranges).max())
        batches.append(BatchParity(size, float(relative.max()), absolute, action, step))
        errors = np.maximum(errors, relative.max(axis=(0, 1)))
    return ParityReport(
        precision=reference.precision,
        tolerance=reference.tolerance,
        observations=tuple(reference.observations),
        batches=tuple(batches),
        ranges=tuple(float(value) for value in reference.ranges),
        errors=tuple(float(value) for value in errors),
    )


def stacked(observations: list[Arrays]) -> Arrays:
    """Several observations as one batch."""
    return {key: np.concatenate([one[key] for one in observations]) for key in observations[0]}
