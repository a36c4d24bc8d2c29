"""The figures of an evaluation: errors, smoothness, limits and times; nan where there is nothing to judge.

Positions and their errors are in ROS units, as `evaluation.results` says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ErrorStatistics:
    """Errors e = predicted - truth over `count` pairs of one joint.

    mae = mean |e|, rmse = sqrt(mean e^2), max = max |e|, bias = mean e. All nan when nothing could be compared.
    """

    count: int
    mae_ros_units: float
    rmse_ros_units: float
    max_ros_units: float
    bias_ros_units: float


@dataclass(frozen=True)
class ShiftedError:
    """The raw chunks' error at no shift, and at the best of the shifts by whole steps of 1 / fps; joint -> statistics.

    With a shift of `steps` a prediction for t is compared with the truth of t + steps / fps. Both are over the same
    positions: those whose truth is known for every shift that was tried. `steps` is 0 where no shift is better.
    """

    steps: int
    unshifted: Mapping[str, ErrorStatistics]
    shifted: Mapping[str, ErrorStatistics]


@dataclass(frozen=True)
class HorizonError:
    """One joint's error against how far ahead was predicted: entry i of each tuple is for row i of the chunks.

    Row i is for t_obs + i / fps.
    """

    count: tuple[int, ...]
    mae_ros_units: tuple[float, ...]
    rmse_ros_units: tuple[float, ...]
    max_ros_units: tuple[float, ...]


@dataclass(frozen=True)
class SmoothnessStatistics:
    """How smooth one joint's setpoint is, sampled every SETPOINT_PERIOD_S; nan for what could not be judged.

    What each figure is made of is said in `metrics.smoothness.Smoothness`. `seams` counts the places where a chunk
    joined: where the command that says so takes over, and where it arrives if that is earlier and the setpoint is that
    of a controller. `sparc` is the mean of stretches of at most SPARC_STRETCH_S.
    """

    seams: int
    seam_jump_ros_units: float
    largest_step_ros_units: float
    peak_acceleration_ros_units_per_s2: float
    rms_jerk_ros_units_per_s3: float
    boundary_minus_interior_jerk_ros_units_per_s3: float
    mean_jerk_ros_units_per_s3: float
    sparc: float


SETPOINT_PERIOD_S = 0.002
"""The cycle of an arm's controllers, so that effects within one of their cycles are visible."""
SPARC_STRETCH_S = 10.0


@dataclass(frozen=True)
class LimitStatistics:
    """How often limits changed one joint's plan.

    Of `targets`, the executed plan's instants on the grid of 1 / fps, `clamped` lay beyond a limit of position. Of
    `commands`, each of which told the plan anew after a chunk, the plan was beyond velocity or acceleration in
    `smoothed`, so that a smoothed one was followed, and in `bridged` the joint was too far from it, and was led there
    first. Only a joint that starts far from its plan should be bridged.
    """

    targets: int
    clamped: int
    commands: int
    smoothed: int
    bridged: int


@dataclass(frozen=True)
class TimeStatistics:
    """Spans in seconds; percentiles to 1 % of their value (from a histogram, so that memory is bounded)."""

    count: int
    mean_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    max_s: float


def pooled(errors: Mapping[str, ErrorStatistics]) -> ErrorStatistics:
    """Pool the joints into one: every pair of every joint counts alike (rad and m are mixed where an arm has both)."""
    given = [error for error in errors.values() if error.count]
    n = sum(error.count for error in given)
    if not n:
        return ErrorStatistics(0, math.nan, math.nan, math.nan, math.nan)
    return ErrorStatistics(
        count=n,
        mae_ros_units=sum(error.count * error.mae_ros_units for error in given) / n,
        rmse_ros_units=math.sqrt(sum(error.count * error.rmse_ros_units**2 for error in given) / n),
        max_ros_units=max(error.max_ros_units for error in given),
        bias_ros_units=sum(error.count * error.bias_ros_units for error in given) / n,
    )
