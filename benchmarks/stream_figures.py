"""Figures of a stream of commands: how regular it is, as ros2_control judges its own loop, and how old what it follows.

ros2_control's controller manager takes 1 / period of each cycle, in Hz, and from all of them since the start the mean
and the standard deviation (of the population). Its diagnostics warn when the mean is more than 5 Hz from the rate, or
the deviation is more than 5 Hz, and call it an error from 10 Hz on. In ros-controls/ros2_control these are
`ControllerManager::controller_manager_diagnostic_callback` and, in controller_manager_parameters.yaml, the defaults of
`diagnostics.threshold.controller_manager`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

WARNING_HZ, ERROR_HZ = 5.0, 10.0
OK, WARNING, ERROR = "ok", "warning", "error"

Floats = npt.NDArray[np.float64]


def periodicity(periods_s: Floats, rate_hz: float) -> dict[str, float]:
    """Return what ros2_control's controller manager computes of its periods (n,): `mean_error_hz`, `deviation_hz`."""
    rates = 1.0 / periods_s
    return {"mean_error_hz": abs(float(rates.mean()) - rate_hz), "deviation_hz": float(rates.std())}


def level(mean_error_hz: float, deviation_hz: float) -> str:
    """Return what ros2_control's diagnostics would say of these figures."""
    worst = max(mean_error_hz, deviation_hz)
    return ERROR if worst > ERROR_HZ else WARNING if worst > WARNING_HZ else OK


def ages_s(commands: npt.ArrayLike, chunks: npt.ArrayLike) -> Floats:
    """Return how old at each of `commands` (n,) the observation behind it was, s.

    `chunks` (k, 2) has for each chunk when it was published, increasing, and the time of its observation. The newest
    one before a command counts, also one that the node did not follow, which happens around holds only. Commands before
    the first chunk are left out.
    """
    at, known = np.array(commands, float), np.array(chunks, float).reshape(-1, 2)
    newest = np.searchsorted(known[:, 0], at) - 1
    return np.asarray((at - known[newest, 1])[newest >= 0]) if len(known) else np.empty(0)
