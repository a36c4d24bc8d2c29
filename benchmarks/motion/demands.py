"""The demands on the setpoint when this package sends the plan, on every controller; each failure is reported.

Distance and delay are compared with the baseline only where the controller has its default settings.
"""

from __future__ import annotations

from act_inference_ros.joints import DEFAULT_MAX_ACCELERATION, DEFAULT_MAX_VELOCITY
from benchmarks.motion.figures import Figures

STEP_RATIO, ACCELERATION_RATIO, JERK_RATIO = 1.2, 3.0, 20.0
"""Largest ratio to the plan's own step, peak acceleration (or max_acceleration) and RMS jerk."""
LIMIT_RATIO = 1.01
"""Limits may be exceeded by 1 %, because of differences of sampled positions."""
GUARD_STEP_MRAD = 5.0
ERROR_ROOM_MRAD, DELAY_ROOM_MS = 0.1, 0.5
"""Distances or delays that differ by less than this count as equal."""


def plain_failures(ours: Figures, ideal: Figures, baseline: Figures | None) -> list[str]:
    """Return the missed demands in a scenario without faults; without `baseline` there is no comparison."""
    highest = max(ACCELERATION_RATIO * ideal.peak_acceleration, DEFAULT_MAX_ACCELERATION)
    checks = [
        ("step", ours.step_mrad, STEP_RATIO * ideal.step_mrad, "mrad"),
        ("peak acceleration", ours.peak_acceleration, highest, "rad/s2"),
        ("RMS jerk", ours.rms_jerk, JERK_RATIO * ideal.rms_jerk, "rad/s3"),
    ]
    if baseline is not None:
        checks += [
            ("error", ours.error_mrad, baseline.error_mrad + ERROR_ROOM_MRAD, "mrad"),
            ("delay", ours.delay_ms, baseline.delay_ms + DELAY_ROOM_MS, "ms"),
        ]
    return [_above(*check) for check in checks if not check[1] <= check[2]]


def fault_failures(ours: Figures) -> list[str]:
    """Return the missed demands in a scenario with lost or late chunks or observations: only limits count."""
    checks = (
        ("velocity", ours.peak_velocity, LIMIT_RATIO * DEFAULT_MAX_VELOCITY, "rad/s"),
        ("acceleration", ours.peak_acceleration, LIMIT_RATIO * DEFAULT_MAX_ACCELERATION, "rad/s2"),
    )
    return [_above(*check) for check in checks if not check[1] <= check[2]]


def guard_failures(ours: Figures) -> list[str]:
    """Return the missed demands in a scenario whose controller does not follow its commands."""
    return [] if ours.step_mrad <= GUARD_STEP_MRAD else [_above("step", ours.step_mrad, GUARD_STEP_MRAD, "mrad")]


def _above(what: str, value: float, most: float, unit: str) -> str:
    return f"{what} {value:.4g} {unit}, at most {most:.4g}"
