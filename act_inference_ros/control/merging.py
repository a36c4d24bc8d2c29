"""The weights of K overlapping chunks (oldest first) at n instants, for each merge method.

Each function takes `covered`, bool (K, n): whether chunk k has a target at instant n. It returns weights (K, n) that
are 0 where a chunk has no target. At each instant with at least one target they sum to 1 over the chunks.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def latest_weights(covered: Bools) -> Floats:
    """All weight on the newest chunk that covers the instant."""
    newer_covers = np.cumsum(covered[::-1], axis=0)[::-1] - covered
    return np.asarray(covered & (newer_covers == 0), dtype=np.float64)


def ensemble_weights(covered: Bools, coeff: float) -> Floats:
    """exp(-coeff * i), i = 0 the oldest chunk that covers the instant (LeRobot, `ACTTemporalEnsembler`)."""
    exponents = np.where(covered, -coeff * (np.cumsum(covered, axis=0) - 1), -np.inf)
    largest = exponents.max(axis=0)  # subtracted, so that a negative coefficient does not overflow
    weights = np.where(covered, np.exp(exponents - np.where(np.isfinite(largest), largest, 0.0)), 0.0)
    return np.asarray(weights / np.maximum(weights.sum(axis=0), 1.0))


def leaving(weights: Floats, left: Floats, slack: float) -> Floats:
    """Let chunks leave a mean gently: reduce `weights` (K, n) by the part `left` (K, n) of each chunk.

    In `left`, 1 and above means the whole chunk is left, 0 means nothing is left, and values that miss 1 by less than
    `slack` count as 1. The newest chunk, the last row, never leaves. Returns weights that sum to 1 again.
    """
    share = np.where(left > 1.0 - slack, 1.0, gentle(np.clip(left, 0.0, 1.0)))
    share[-1] = 1.0
    kept = weights * share
    return np.asarray(kept / np.maximum(kept.sum(axis=0), np.finfo(np.float64).tiny))


def gentle(share: Floats) -> Floats:
    """Map a share from 0 to 1 to one that begins and ends with zero slope: 3 x^2 - 2 x^3."""
    return np.asarray(share * share * (3.0 - 2.0 * share))


def blend_weights(covered: Bools, fades: Floats) -> Floats:
    """Fade the merged plan of the older chunks into each newer chunk by the share `fades` (K, n), 0 to 1."""
    weights = np.zeros(covered.shape)
    planned = np.zeros(covered.shape[1], dtype=np.bool_)
    for k in range(len(covered)):
        share = np.where(covered[k], np.where(planned, fades[k], 1.0), 0.0)
        weights[:k] *= 1.0 - share
        weights[k] = share
        planned |= covered[k]
    return weights


def fade(times: Floats, begins: Floats, ends: Floats, snap_s: float) -> Floats:
    """Return each chunk's share (K, n) at `times` (n,): 0 up to its begin (K,), 1 from its end (K,), linear between.

    A fade of zero length is a step right after its begin, where "after" means by more than `snap_s`.
    """
    elapsed = times - begins[:, None]
    length = (ends - begins)[:, None]
    linear = elapsed / np.where(length > snap_s, length, 1.0)
    share = np.where(length > snap_s, np.clip(linear, 0.0, 1.0), 1.0)
    return np.asarray(np.where(elapsed > snap_s, share, 0.0))
