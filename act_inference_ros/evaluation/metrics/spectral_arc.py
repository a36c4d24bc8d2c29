"""SPARC: how smooth a movement is, by the length of the arc that the spectrum of its speed makes."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]

CUT_OFF_HZ = 10.0
AMPLITUDE_THRESHOLD = 0.05
PADDING = 4
"""The spectrum is taken of 2^4 times as many samples as there are, so that its arc has enough points."""
STILL = 1e-6
"""ROS units per s: a joint that is never faster stands still, and what moves it is rounding."""
FEWEST_SAMPLES = 4


def spectral_arc_length(
    speed: Array,
    period_s: float,
    cut_off_hz: float = CUT_OFF_HZ,
    amplitude_threshold: float = AMPLITUDE_THRESHOLD,
) -> float:
    """Spectral arc length of a speed profile (n,), sampled every `period_s`; nearer to 0 is smoother.

    Balasubramanian, Melendez-Calderon, Roby-Brami, Burdet: On the analysis of movement smoothness, Journal of
    NeuroEngineering and Rehabilitation 12:112 (2015), with their defaults. The spectrum V of the speed is divided by
    its value at 0 Hz, which is its largest, since no speed is negative. It is cut at w, the highest frequency up to
    `cut_off_hz` at which it is not below `amplitude_threshold` (adaptive: what is above w is noise). The figure
    is minus the length of the arc through the points (frequency / w, V), so that frequencies count from 0 to 1.

    One movement that is as smooth as possible (minimum jerk) has about -1.4; each that follows makes the arc longer.
    It depends on neither the amplitude nor the duration of a movement. Samples that are nan at the begin and at the end
    are left out. nan where one inside is nan, where there are fewer than four, and where nothing moves.
    """
    known = np.flatnonzero(np.isfinite(speed))
    profile = speed[known[0] : known[-1] + 1] if len(known) else speed[:0]
    if len(profile) < FEWEST_SAMPLES or len(known) < len(profile) or profile.max() < STILL:
        return math.nan
    size = 2 ** (math.ceil(math.log2(len(profile))) + PADDING)
    frequencies = np.fft.rfftfreq(size, period_s)
    spectrum = np.abs(np.fft.rfft(profile, size))
    spectrum = (spectrum / spectrum[0])[frequencies <= cut_off_hz]
    last = int(np.flatnonzero(spectrum >= amplitude_threshold)[-1])
    if last == 0:
        return math.nan
    widths = np.diff(frequencies[: last + 1]) / frequencies[last]
    return -float(np.hypot(widths, np.diff(spectrum[: last + 1])).sum())
