"""The examples run as a reader runs them, and what they print is true. `watch_policy` is tested where ROS is."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROJECT = Path(__file__).parents[1]
EXAMPLES = PROJECT / "examples"
DEADLINE_S = 120.0
CASE = "a_small_1cam"


def run_example(name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )


def column(table: str, name: str) -> dict[float, str]:
    """Time -> what a column of merge_chunks' table says."""
    head, *rows = (line.split() for line in table.replace("time [s]", "time").splitlines())
    return {float(row[0]): row[head.index(name)] for row in rows}


@pytest.mark.parametrize("name", ["predict.py", "merge_chunks.py"])
def test_help_says_what_an_example_does(name: str) -> None:
    shown = run_example(name, "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith(f"usage: {name}")


def test_predict_prints_what_the_policy_reads_and_the_chunk_of_the_observation(tmp_path: Path) -> None:
    checkpoints = pytest.importorskip("test.checkpoints", reason="PyTorch is not installed")
    observation = tmp_path / "observation.npz"
    np.savez(observation, **checkpoints.golden_arrays(CASE, "observation"))
    checkpoint = str(checkpoints.golden_checkpoint(CASE))
    shown = run_example("predict.py", checkpoint, "--observation", str(observation), "--rows", "20")
    assert (shown.returncode, shown.stderr) == (0, "")
    lines = shown.stdout.splitlines()
    assert lines[:3] == [
        "reads observation.state: 6 numbers",
        "reads observation.images.front: 128 x 96 pixels (width x height)",
        "writes 20 actions of 6 numbers",
    ]
    printed = [[float(word) for word in line.partition(":")[2].split()] for line in lines[4:]]
    np.testing.assert_allclose(printed, checkpoints.golden_arrays(CASE, "expected")["chunk"][0], atol=5e-4)


def test_predict_makes_an_observation_up_where_none_is_given() -> None:
    checkpoints = pytest.importorskip("test.checkpoints", reason="PyTorch is not installed")
    shown = run_example("predict.py", str(checkpoints.golden_checkpoint(CASE)))
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.splitlines()[-1].startswith("  action 2: ")


def test_predict_answers_an_incomplete_observation_with_one_line(tmp_path: Path) -> None:
    checkpoints = pytest.importorskip("test.checkpoints", reason="PyTorch is not installed")
    observation = tmp_path / "observation.npz"
    np.savez(observation, **{"observation.state": np.zeros(6, dtype=np.float32)})
    shown = run_example("predict.py", str(checkpoints.golden_checkpoint(CASE)), "--observation", str(observation))
    assert shown.returncode == 2
    assert shown.stderr.startswith("predict: observation: the policy reads ")
    assert "missing: ['observation.images.front']" in shown.stderr
    assert shown.stderr.count("\n") == 1


def test_predict_answers_a_file_that_is_no_observation_with_one_line(tmp_path: Path) -> None:
    checkpoints = pytest.importorskip("test.checkpoints", reason="PyTorch is not installed")
    (tmp_path / "observation.npz").write_text("no arrays here")
    np.save(tmp_path / "array.npy", np.zeros(3))
    checkpoint = str(checkpoints.golden_checkpoint(CASE))
    for name in ("observation.npz", "array.npy"):
        shown = run_example("predict.py", checkpoint, "--observation", str(tmp_path / name))
        assert shown.returncode == 2
        assert re.fullmatch(rf"predict: .+{name}: expected an \.npz file\n", shown.stderr)


def test_merge_chunks_shows_the_fade_the_mean_and_the_step() -> None:
    shown = run_example("merge_chunks.py", "--latency", "0.1", "--blend-time", "0.4", "--ensemble-coeff", "1.0")
    assert (shown.returncode, shown.stderr) == (0, "")
    blend, ensemble, latest = (column(shown.stdout, name) for name in ("blend", "temporal_ensemble", "latest"))
    assert [blend[time] for time in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)] == ["0.00", "0.00", "0.25", "0.50", "0.75", "1.00"]
    mean = np.exp(-1.0) / (1.0 + np.exp(-1.0))  # of 0 and 1, the oldest weighs most
    assert [ensemble[time] for time in (0.3, 0.4, 1.0, 1.1)] == ["0.00", f"{mean:.2f}", f"{mean:.2f}", "1.00"]
    assert [latest[time] for time in (0.3, 0.4, 1.3, 1.4)] == ["0.00", "1.00", "1.00", "-"]


def test_merge_chunks_answers_a_mistake_with_one_line() -> None:
    shown = run_example("merge_chunks.py", "--blend-time", "-1")
    assert (shown.returncode, shown.stdout) == (2, "")
    assert shown.stderr == "merge_chunks: blend_time: expected a number of seconds, 0 or more, got -1.0\n"
