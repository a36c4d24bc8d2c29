"""Refuses an evaluation's results, read from a file, that have the right types but values that no evaluation gives.

Whoever shows results divides by rates, squares errors and puts rows into arrays: what breaks there is refused here.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterator, Sequence
from typing import Any

from act_inference_ros.errors import ConfigurationError

LARGEST_NUMBER = 1e150
"""Bound of all numbers, so that their squares and the sums of these are numbers, too."""
LARGEST_INTEGER = 2**53
"""Bound of all whole numbers: a double holds them exactly."""
STATUSES = ("complete", "partial", "failed")
_LONGEST_PLACE = 200


def number(value: float, where: str) -> float:
    """Return a number, or nan. Raises ConfigurationError beyond LARGEST_NUMBER; `where` names it."""
    if abs(value) < LARGEST_NUMBER or math.isnan(value):
        return value
    raise _refusal(where, f"a number below {LARGEST_NUMBER:g}", value)


def integer(value: int, where: str) -> int:
    """Return a whole number. Raises ConfigurationError beyond LARGEST_INTEGER."""
    if abs(value) < LARGEST_INTEGER:
        return value
    raise _refusal(where, f"a whole number below {LARGEST_INTEGER}", value)


def text(value: str, where: str) -> str:
    """Return a text. Raises ConfigurationError if it cannot be written as UTF-8."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise _refusal(where, "a text that UTF-8 can hold", value) from None
    return value


def check_result(result: Any) -> None:
    """Raise ConfigurationError if the parts of an EvaluationResult contradict each other."""
    _check_status(result.status, "the run")
    fps = result.settings.fps
    if not (fps > 0.0 or math.isnan(fps)):
        raise _refusal("settings.fps", "a rate above 0", fps)
    if result.total is not None:
        _check_metrics(result.total, "total")
    for episode in result.episodes:
        where = f"episode {episode.name}"
        _check_status(episode.status, where)
        _check_metrics(episode.metrics, where)
        _check_series(episode.series, result.settings.joints, where)


def _check_status(status: str, where: str) -> None:
    if status not in STATUSES:
        raise _refusal(where, f"a status out of {', '.join(STATUSES)}", status)


def _check_metrics(metrics: Any, where: str) -> None:
    joints = list(metrics.chunk_error)
    named = {"shifted": metrics.shift.shifted, "unshifted": metrics.shift.unshifted, "horizon": metrics.horizon_error}
    for what, found in named.items():
        if set(found) != set(joints):
            raise _refusal(f"{where}: {what}", f"the joints {reprlib.repr(joints)}", list(found))
    for error in _errors(metrics):
        if error.count < 0:
            raise _refusal(f"{where}: count", "0 or more", error.count)
    for joint, error in metrics.horizon_error.items():
        columns = (error.mae_ros_units, error.rmse_ros_units, error.max_ros_units)
        _check_lengths(columns, len(error.count), f"{where}: horizon of {joint}")


def _errors(metrics: Any) -> Iterator[Any]:
    yield from metrics.chunk_error.values()
    yield from metrics.shift.shifted.values()
    yield from metrics.shift.unshifted.values()
    for merge in metrics.by_merge.values():
        yield from merge.executed.values()


def _check_series(series: Any, joints: Sequence[str], where: str) -> None:
    times = len(series.plan_times_s)
    _check_rows(series.plan, times, f"{where}: plan")
    if series.truth:
        _check_rows(series.truth, times, f"{where}: truth")
    for chunk in series.chunks:
        _check_rows(chunk.rows, len(chunk.rows), f"{where}: chunk")
    _check_lengths((series.inference_s, series.age_s), len(series.inference_times_s), f"{where}: inference")
    splice = series.splice
    if splice is None or splice.joint not in joints:
        return
    times = len(splice.times_s)
    for what, rows in (("setpoints", splice.setpoints), ("demonstration", splice.demonstration)):
        if what == "setpoints" or rows:
            _check_rows(rows, times, f"{where}: {what} of the seam")
            _check_lengths(rows[:1], len(joints), f"{where}: {what} of the seam")
    if not times:
        raise _refusal(f"{where}: times of the seam", "one or more", 0)


def _check_rows(rows: Sequence[Sequence[float]], count: int, where: str) -> None:
    """Raise ConfigurationError unless there are `count` rows of equal length."""
    _check_lengths((rows,), count, where)
    _check_lengths(rows, len(rows[0]) if rows else 0, where)


def _check_lengths(columns: Sequence[Sequence[object]], length: int, where: str) -> None:
    for column in columns:
        if len(column) != length:
            raise _refusal(where, f"{length} values", f"{len(column)}")


def _refusal(where: str, expected: str, found: object) -> ConfigurationError:
    place = ascii(where[:_LONGEST_PLACE])[1:-1]
    return ConfigurationError(
        f"metrics.json, {place}: expected {expected}, got {ascii(reprlib.repr(found))[1:-1]}; evaluate again"
    )
