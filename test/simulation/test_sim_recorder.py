"""Recordings: the same for a seed however many processes record, noisy in execution, clean in their labels."""

import dataclasses
import subprocess
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from act_inference_ros.errors import ActInferenceError, ConfigurationError, MissingDependencyError
from act_inference_ros.simulation import demonstrations as recorder
from act_inference_ros.simulation.demonstrations import IMAGE_STRIDE, Demonstration
from act_inference_ros.simulation.expert import PLAN_STEPS, Expert
from act_inference_ros.simulation.recording import record
from act_inference_ros.simulation.scene import DemoArm

pytestmark = pytest.mark.skipif(find_spec("mujoco") is None, reason="needs MuJoCo")


@pytest.fixture(scope="module")
def recorded() -> list[Demonstration]:
    return record(3, seed=5, workers=1)


def assert_equal(left: list[Demonstration], right: list[Demonstration]) -> None:
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        for field in dataclasses.fields(one):
            np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name), err_msg=field.name)


def test_two_processes_record_what_one_records(recorded: list[Demonstration]) -> None:
    assert_equal(record(3, seed=5, workers=2), recorded)


def test_another_seed_records_something_else(recorded: list[Demonstration]) -> None:
    assert not np.array_equal(record(1, seed=6, workers=1)[0].actions, recorded[0].actions)


def test_a_longer_recording_begins_with_the_shorter_one(recorded: list[Demonstration]) -> None:
    assert_equal(record(1, seed=5, workers=1), recorded[:1])


def test_shapes_and_types(recorded: list[Demonstration]) -> None:
    for demonstration in recorded:
        assert demonstration.states.shape == demonstration.actions.shape == (PLAN_STEPS, 6)
        assert demonstration.states.dtype == demonstration.actions.dtype == np.float32
        assert demonstration.images.shape == (len(demonstration.image_steps), 96, 96, 3)
        assert (np.diff(demonstration.image_steps) == IMAGE_STRIDE).all()
        assert demonstration.image_steps[-1] < PLAN_STEPS


def test_labels_are_the_clean_plan_and_the_execution_is_not() -> None:
    arm, quiet, plans = DemoArm(seed=2), DemoArm(seed=2, render=False), []

    class Spy(Expert):
        def plan(self, start: npt.NDArray[Any], cube_m: npt.NDArray[Any]) -> npt.NDArray[Any]:
            plans.append(super().plan(start, cube_m))
            return plans[-1]

    demonstration = recorder.demonstrate(arm, Spy(), np.random.default_rng(0))
    arm.close()
    clean_states = []
    for target in plans[0]:
        clean_states.append(quiet.positions)
        quiet.step(target, 1.0 / DemoArm.FPS)
    np.testing.assert_array_equal(demonstration.actions, plans[0].astype(np.float32))
    apart = np.abs(demonstration.states - np.stack(clean_states))[:, :5].max()
    assert 0.005 < apart < 0.2


def test_failed_attempts_are_replaced_and_progress_counts_successes(
    monkeypatch: pytest.MonkeyPatch, recorded: list[Demonstration]
) -> None:
    attempts, reports = [], []

    def every_other(arm: DemoArm, expert: Expert, rng: np.random.Generator) -> Demonstration | None:
        attempts.append(1)
        return recorded[0] if len(attempts) % 2 == 0 else None

    monkeypatch.setattr(recorder, "demonstrate", every_other)
    assert len(record(4, workers=1, progress=lambda done, total: reports.append((done, total)))) == 4  # type: ignore[arg-type]  # gets no notes
    assert reports[-1] == (4, 4)
    assert len(attempts) == 8


def test_an_expert_that_always_fails_ends_the_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "demonstrate", lambda *_: None)
    with pytest.raises(ActInferenceError, match="0 of 8"):
        record(2, workers=1)


def test_an_error_in_a_recording_process_arrives_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "nonsense")
    with pytest.raises(MissingDependencyError, match="nonsense"):
        record(2, workers=2)


def test_a_recording_process_that_is_killed_is_told_and_no_other_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def noted(*arguments: Any, **options: Any) -> Any:
        started.append(start(*arguments, **options))
        if len(started) == 2:
            started[0].kill()
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", noted)
    with pytest.raises(ActInferenceError, match="ended unexpectedly"):
        record(2, workers=2)
    assert len(started) == 2
    assert all(process.returncode is not None for process in started)


@pytest.mark.parametrize(("count", "workers"), [(0, 1), (1, 0)])
def test_nothing_to_record_or_nobody_to_record_is_refused(count: int, workers: int) -> None:
    with pytest.raises(ConfigurationError):
        record(count, workers=workers)
