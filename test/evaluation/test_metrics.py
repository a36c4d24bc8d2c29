"""Running sums, histograms, tracks and bounded series against the plain computation."""

import math

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.comparison.track import Track
from act_inference_ros.evaluation.metrics.running_sums import RESOLUTION, Distribution, ErrorSums
from act_inference_ros.evaluation.metrics.series import ErrorPeaks, Thinned, WorstOf, encode_png, thumbnail
from act_inference_ros.evaluation.metrics.smoothness import smoothness
from act_inference_ros.evaluation.metrics.worst_seam import WorstSeam
from act_inference_ros.evaluation.results import EvaluationResult
from act_inference_ros.evaluation.run_settings import RunSettings
from act_inference_ros.evaluation.statistics import SETPOINT_PERIOD_S, ErrorStatistics, pooled
from test.evaluation.bags import START_S


def test_error_sums_are_those_of_all_errors_however_they_came() -> None:
    errors = np.random.default_rng(0).normal(size=(50, 4, 3))
    errors[3, 1, 2] = np.nan
    one, other = ErrorSums(4, 3), ErrorSums(4, 3)
    one.add(errors[:20])
    other.add(errors[20:])
    one.merge(other)
    np.testing.assert_allclose(one.mae, np.nanmean(np.abs(errors), axis=0))
    np.testing.assert_allclose(one.rmse, np.sqrt(np.nanmean(errors**2, axis=0)))
    np.testing.assert_allclose(one.largest, np.nanmax(np.abs(errors), axis=0))
    assert one.count[1, 2] == 49
    np.testing.assert_allclose(one.summed().bias, np.nanmean(errors, axis=(0, 1)))


def test_nothing_compared_is_nan_and_null_in_json() -> None:
    statistics = ErrorSums(1).statistics(["pan"])["pan"]
    assert statistics.count == 0
    assert math.isnan(statistics.mae_ros_units)
    assert math.isnan(pooled({"pan": statistics}).rmse_ros_units)
    assert '"fps": null' in EvaluationResult(RunSettings("local", "x")).to_json()


def test_pooled_weighs_pairs_alike() -> None:
    errors = {"a": ErrorStatistics(3, 1.0, 1.0, 1.0, 1.0), "b": ErrorStatistics(1, 5.0, 5.0, 5.0, -5.0)}
    assert pooled(errors) == ErrorStatistics(4, 2.0, math.sqrt(7.0), 5.0, -0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "not a metrics.json"), ('{"version": 99}', "has version 99"), ('{"version": 3}', "missing")],
)
def test_another_file_is_not_taken_for_metrics(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        EvaluationResult.from_json(text)


def test_percentiles_are_right_to_the_stated_resolution() -> None:
    seconds = np.random.default_rng(1).lognormal(-4.0, 1.0, 5000)
    one, other = Distribution(), Distribution()
    for i, value in enumerate(seconds):
        (one, other)[i % 2].add(float(value))
    one.merge(other)
    found = one.statistics()
    assert found.count == 5000
    assert found.mean_s == pytest.approx(seconds.mean())
    assert found.max_s == seconds.max()
    for percent, value in ((50, found.p50_s), (95, found.p95_s), (99, found.p99_s)):
        assert value == pytest.approx(np.percentile(seconds, percent, method="inverted_cdf"), rel=RESOLUTION)


def test_a_track_holds_or_interpolates_and_knows_what_it_does_not_know() -> None:
    track = Track(1)
    for i in range(1000):  # beyond the first capacity, forgetting on the way
        track.append(i * 0.1, np.array([float(i)]))
        track.forget_before(i * 0.1 - 2.0)
    assert len(track) < 30
    times = np.array([99.0, 99.05, 99.9, 100.5, 0.0])
    np.testing.assert_allclose(track.held(times).ravel(), [990, 990, 999, 999, np.nan])
    np.testing.assert_allclose(track.linear(times, 0.2).ravel(), [990, 990.5, 999, np.nan, np.nan])
    np.testing.assert_allclose(track.linear(times, 0.05).ravel(), [990, np.nan, 999, np.nan, np.nan])
    track.forget_from(99.5)
    np.testing.assert_allclose(track.held(np.array([99.45, 99.5, 120.0])).ravel(), [994, np.nan, np.nan])


def test_between_samples_of_a_motion_the_track_is_as_smooth_as_the_motion() -> None:
    """At 20 Hz, looked at each 2 ms on today's clock: straight lines would have a jerk of thousands."""
    track = Track(1)
    for time in START_S + np.arange(200) / 20.0:
        track.append(float(time), np.sin(2.0 * (time - START_S))[None])
    track.append(START_S + 12.0, np.array([5.0]))
    since = np.arange(0.0, 6.0, SETPOINT_PERIOD_S)
    found = track.splined(START_S + 2.0, since, 0.2)
    np.testing.assert_allclose(found[:, 0], np.sin(2.0 * (2.0 + since)), atol=1e-6)
    assert smoothness(found, SETPOINT_PERIOD_S).rms_jerk == pytest.approx(8.0 / np.sqrt(2.0), rel=0.02)
    in_pieces = np.concatenate([track.splined(START_S + 2.0, part, 0.2) for part in np.array_split(since, 7)])
    np.testing.assert_allclose(in_pieces, found, atol=1e-7)
    assert np.isnan(track.splined(START_S, np.array([11.0]), 0.2)).all()  # in the gap before the last row
    assert np.isnan(track.splined(START_S, np.array([-1.0]), 0.2)).all()


def test_the_worst_seam_is_found_across_pieces_and_shown_with_what_is_around_it() -> None:
    times = START_S + np.arange(1500) * SETPOINT_PERIOD_S
    positions = np.zeros((1500, 2))
    positions[700:, 1], positions[1200:, 0] = 0.05, 0.02
    joined = np.zeros(positions.shape, dtype=np.bool_)
    joined[[300, 700, 1200]] = True
    worst = WorstSeam(2)
    for part in np.array_split(np.arange(1500), 11):
        worst.add(times[part], positions[part], joined[part], positions[part] + 1.0)
    found = worst.splice(["pan", "lift"], START_S)
    assert (found.joint, found.t_s) == ("lift", pytest.approx(700 * SETPOINT_PERIOD_S, abs=1e-6))
    assert found.jerk_ros_units_per_s3 == pytest.approx(2 * 0.05 / SETPOINT_PERIOD_S**3)
    assert len(found.times_s) == 251
    assert found.times_s[125] == 0.0
    np.testing.assert_array_equal(found.setpoints, positions[575:826])
    np.testing.assert_array_equal(found.demonstration, positions[575:826] + 1.0)


def test_a_seam_at_the_end_of_a_motion_is_judged_and_without_one_there_is_none() -> None:
    positions = np.zeros((400, 1))
    positions[390:] = 0.1
    joined, nothing = np.zeros((400, 1), dtype=np.bool_), np.full((400, 1), np.nan)
    none, late = WorstSeam(1), WorstSeam(1)
    none.add(np.arange(400) * SETPOINT_PERIOD_S, positions, joined, nothing)
    assert none.splice(["pan"]) is None
    joined[390] = True
    late.add(np.arange(400) * SETPOINT_PERIOD_S, positions, joined, nothing)
    late.interrupt()
    assert late.splice(["pan"]).t_s == pytest.approx(0.78)
    assert late.splice(["pan"]).demonstration == ()


def test_series_stay_bounded_and_keep_their_ends_and_peaks() -> None:
    thinned: Thinned[int]
    thinned, worst = Thinned(10), WorstOf(10)
    for i in range(1000):
        thinned.add(i)
        worst.add((float(i), 5.0 if i == 777 else 1.0))
    assert 5 <= len(thinned.items) <= 10
    assert len(set(np.diff(thinned.items))) == 1
    assert len(worst.rows) <= 10
    assert max(row[1] for row in worst.rows) == 5.0


def test_the_worst_images_are_kept_apart_in_time() -> None:
    peaks = ErrorPeaks()
    for i in range(200):
        peaks.add(error=float(i % 50), t_s=i * 0.1, joint="pan", ahead_s=0.5, images={"top": picture()})
    found = peaks.thumbnails()
    assert len(found) == 4
    assert [entry.error_ros_units for entry in found] == [49.0] * 4
    assert min(np.diff(sorted(entry.t_s for entry in found))) >= peaks.APART_S


def test_a_png_shows_the_same_pixels() -> None:
    image = picture()
    decoded = cv2.imdecode(np.frombuffer(encode_png(image), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), image)
    assert thumbnail(np.zeros((480, 640, 3), np.uint8)).shape == (120, 160, 3)


def picture() -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
