"""Two runs side by side: the same observations are compared, settings that differ are named."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.episodes.closed_loop import Episode, PredictedChunk
from act_inference_ros.evaluation.report.compare import chunk_difference, differing_settings, read_metrics
from act_inference_ros.evaluation.report.summary import TOLD, figure, of_episodes, rows
from act_inference_ros.evaluation.results import EvaluationResult
from act_inference_ros.evaluation.run_settings import RunSettings
from act_inference_ros.evaluation.runs import Run, simulation_result

SETTINGS = RunSettings("local", "a", joints=("pan", "lift"), fps=20.0)


def run_with(chunks: Sequence[tuple[float, Any]], label: str = "local", settings: RunSettings = SETTINGS) -> Run:
    """A run with one simulated episode that has these chunks, (time, rows)."""
    episode = Episode(0, 0, success=True, times=[0.0], cube_height_m=[0.05])
    for time, values in chunks:
        values = np.array(values)
        episode.chunks.append(PredictedChunk(time, values.astype(np.float32), values, 0.01))
    return Run(label, simulation_result(settings, [episode], 1), (episode,))


def test_the_largest_difference_is_found_with_joint_and_episode() -> None:
    one = run_with([(0.0, [[0.0, 0.0], [0.0, 0.0]]), (0.5, [[0.1, 0.2], [0.1, 0.2]])])
    other = run_with([(0.0, [[0.0, 0.0], [0.0, 0.001]]), (0.5, [[0.1, -0.3], [0.1, 0.2]])])
    found = chunk_difference(one, other)
    assert (found.count, found.joint, found.episode) == (2, "lift", "episode 1")
    assert found.max_ros_units == pytest.approx(0.5)
    assert "0.5 rad or m (lift, episode 1)" in found.text


def test_chunks_of_other_observations_are_not_compared() -> None:
    found = chunk_difference(run_with([(0.0, [[0.0, 0.0]])]), run_with([(0.05, [[9.0, 9.0]])]))
    assert found.count == 0
    assert "no chunk" in found.text


def test_equal_runs_differ_by_nothing_in_one_comparison() -> None:
    one = run_with([(0.0, [[0.3, 0.1]])])
    found = chunk_difference(one, one)
    assert (found.count, found.max_ros_units) == (1, 0.0)


def test_differing_settings_are_named_and_times_are_none() -> None:
    one = EvaluationResult(replace(SETTINGS, created="2020", merge="blend"))
    other = EvaluationResult(replace(SETTINGS, created="2021", merge="latest"))
    assert differing_settings(one, other) == {"merge": ("blend", "latest")}


def test_a_number_that_one_run_lacks_is_left_open() -> None:
    simulated = run_with([(0.0, [[0.0, 0.0]])]).result
    found = dict(rows([simulated, EvaluationResult(SETTINGS)]))
    assert found["Success"][0].value == "1/1"
    assert found["Success"][1] is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (-3e-7, "0"),
        (3e-6, "0.000003"),
        (0.012345, "0.0123"),
        (12.345, "12.3"),
        (1234.5, "1234"),
        (-0.5, "-0.500"),
        (float("nan"), "-"),
    ],
)
def test_figures_have_three_significant_digits(value: float, text: str) -> None:
    assert figure(value) == text


def test_metrics_are_read_from_a_file_or_its_directory(tmp_path: Path) -> None:
    result = EvaluationResult(SETTINGS)
    (tmp_path / "metrics.json").write_text(result.to_json())
    assert read_metrics(tmp_path).settings.policy == read_metrics(tmp_path / "metrics.json").settings.policy == "a"
    with pytest.raises(ConfigurationError, match=r"--compare .*nowhere"):
        read_metrics(tmp_path / "nowhere")


def test_a_note_of_many_episodes_is_shown_once_and_the_list_is_bounded() -> None:
    same = of_episodes([("a", ["dark", "late"]), ("b", ["dark"]), ("c", ["dark"])])
    assert same == ["a and 2 more: dark", "a: late"]
    many = of_episodes([(f"bag{i}", [f"reason {i}"]) for i in range(100)])
    assert many[TOLD - 1 :] == [f"bag{TOLD - 1}: reason {TOLD - 1}", f"and {100 - TOLD} more, in metrics.json"]
