"""Memory does not grow with the bag, and progress is reported on the way."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from act_inference_ros.evaluation.bags.bag_evaluation import evaluate_bags
from act_inference_ros.evaluation.results import CHUNKS_KEPT, PLAN_POINTS, EvaluationResult
from act_inference_ros.evaluation.run_settings import RunSettings
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.spec import ImageSpec, PolicySpec
from test.evaluation import bags
from test.evaluation.bags import CHUNK_SIZE, FPS, START_S

HEIGHT, WIDTH = 60, 80


def large_images(seconds: float) -> Iterator[bags.Event]:
    for time, topic, kind, message in bags.events(seconds, state_rate=1):
        if topic == "/top/image_raw":
            message = bags.image(round((time - START_S) * FPS), time, HEIGHT, WIDTH)
        yield time, topic, kind, message


def peak_bytes(path: Path) -> tuple[int, EvaluationResult, list[Any]]:
    spec = PolicySpec(CHUNK_SIZE, 3, (ImageSpec("observation.images.top", HEIGHT, WIDTH),), state_dim=3)
    client = InferenceClient(bags.KnowingBackend(spec=spec))
    progress: list[Any] = []
    tracemalloc.start()
    try:
        result = evaluate_bags([path], bags.configuration(), client, RunSettings("", ""), progress=progress.append)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert bags.largest(result.total.chunk_error) < 1e-6
    return peak, result, progress


def test_a_bag_five_times_as_long_takes_no_more_memory(tmp_path: Path) -> None:
    """The images alone of the longer bag are 14 MB, those of the shorter one 3 MB."""
    short, _, _ = peak_bytes(bags.write_bag(tmp_path / "short", large_images(10.0), "mcap message"))
    long, result, progress = peak_bytes(bags.write_bag(tmp_path / "long", large_images(50.0), "mcap message"))
    assert long < short + 3e6
    series = result.episodes[0].series
    assert len(series.plan) <= PLAN_POINTS
    assert len(series.chunks) <= CHUNKS_KEPT
    assert [entry.fraction for entry in progress] == sorted(entry.fraction for entry in progress)
    assert progress[-1].fraction <= 1.0
    assert progress[-1].speed > 0.0
