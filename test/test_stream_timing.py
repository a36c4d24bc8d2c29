"""The timing benchmark computes what ros2_control would, knows when it must not judge, and runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from act_inference_ros.errors import ActInferenceError
from benchmarks import bench_timing
from benchmarks.bench_stream import IDLE
from benchmarks.stream_figures import ERROR, OK, WARNING, ages_s, level, periodicity

MS = 1_000_000
"""In nanoseconds."""


def welford(rates: list[float]) -> tuple[float, float]:
    """The mean and the deviation as ros2_control adds them up, one measurement after the other."""
    mean = squares = 0.0
    for number, rate in enumerate(rates, start=1):
        before = mean
        mean += (rate - mean) / number
        squares += (rate - before) * (rate - mean)
    return mean, (squares / len(rates)) ** 0.5


def test_the_figures_are_those_of_ros2_control() -> None:
    periods = np.random.default_rng(0).normal(0.01, 0.001, 1000)
    mean, deviation = welford((1.0 / periods).tolist())
    found = periodicity(periods, 100.0)
    assert found["mean_error_hz"] == pytest.approx(mean - 100.0)
    assert found["deviation_hz"] == pytest.approx(deviation)


@pytest.mark.parametrize(
    ("error", "deviation", "said"),
    [(0.0, 0.0, OK), (5.0, 5.0, OK), (5.1, 0.0, WARNING), (0.0, 10.0, WARNING), (10.1, 0.0, ERROR), (0.0, 10.1, ERROR)],
)
def test_the_limits_are_those_of_ros2_control(error: float, deviation: float, said: str) -> None:
    assert level(error, deviation) == said


def test_a_command_is_as_old_as_the_observation_of_the_newest_chunk_before_it() -> None:
    chunks = [(1.0, 0.8), (2.0, 1.7)]
    assert ages_s([0.9, 1.1, 1.9, 2.1], chunks) == pytest.approx([0.3, 1.1, 0.4])  # at 0.9 there was no chunk
    assert len(ages_s([1.0], [])) == 0


def notes(stamps_ms: list[float], **changes: Any) -> dict[str, Any]:
    """What the receiver notes of commands that were published and received at these times."""
    stamps = [round(stamp * MS) for stamp in stamps_ms]
    chunks = [(-5 * MS, -305 * MS)]
    noted = {"published": stamps, "received": stamps, "chunks": chunks, "chunks_per_s": 4.0, "states": ["commanding"]}
    return {**noted, "node_peak_memory_mb": 100.0, "others": 0.0, **changes}


EVEN, UNEVEN = [0.0, 10.0, 20.0, 30.0], [0.0, 10.0, 25.0, 30.0]
NEARLY_EVEN = [0.0, 10.0, 20.8, 30.0]


def test_figures_of_a_stream() -> None:
    found = bench_timing.figures(notes([0.0, 10.0, 30.0, 40.0]))
    assert found["published"]["rate_hz"] == pytest.approx(75.0)
    assert found["mean_error_hz"] == pytest.approx(100.0 - 250.0 / 3.0)
    assert found["level"] == ERROR
    assert found["published"]["max_ms"] == pytest.approx(20.0)
    assert found["age_max_s"] == pytest.approx(0.345)


@pytest.mark.parametrize(
    ("stamps", "idle", "changes", "said"),
    [
        (EVEN, EVEN, {}, OK),
        (EVEN, UNEVEN, {"others": 0.5}, OK),
        (UNEVEN, EVEN, {}, ERROR),
        (UNEVEN, EVEN, {"others": 0.5}, "not judged (error): other programs took 50% of the processor"),
        (UNEVEN, UNEVEN, {}, "not judged (error): on this machine the idle node is no better"),
        (NEARLY_EVEN, UNEVEN, {}, WARNING),
        (EVEN, EVEN, {"states": ["commanding", "holding"]}, "not judged: the node was commanding, holding"),
        (EVEN, EVEN, {"states": []}, "not judged: the node was silent"),
    ],
)
def test_the_machine_is_not_taken_for_the_node(
    stamps: list[float], idle: list[float], changes: dict[str, Any], said: str
) -> None:
    run = bench_timing.figures(notes(stamps, **changes))
    assert bench_timing.verdict(run, bench_timing.figures(notes(idle))) == said


def test_a_bag_that_would_not_fit_is_not_begun(tmp_path: Path) -> None:
    bench_timing.check_room(tmp_path, 0, 600.0)
    with pytest.raises(ActInferenceError, match="GB are free, the bag needs"):
        bench_timing.check_room(tmp_path, 4, 1e9)


def test_a_stream_is_measured_while_a_bag_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rclpy")
    pytest.importorskip("torch")
    monkeypatch.setattr(bench_timing, "KINDS", (IDLE,))
    (found,) = bench_timing.measure(1, 1, 1.0, {})
    assert found["commands"] > 10
    assert 0.0 < found["age_p50_s"] <= found["age_p99_s"] < 60.0
    recorded = found["bag"]["messages"]
    assert set(recorded) == {*bench_timing.RECORDED, "/cam0/image"}
    assert all(recorded.values())
