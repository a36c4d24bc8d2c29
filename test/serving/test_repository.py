"""A version appears complete or not at all, and does not change the others."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.policy.reference import make_reference
from act_inference_ros.serving.export import PYTHON_SOURCES
from act_inference_ros.serving.model_config import ServingOptions, config_pbtxt, read_versions, with_versions
from act_inference_ros.serving.parity import ParityReport, parity
from act_inference_ros.serving.repository import check_model, exported_versions, publish
from act_inference_ros.spec import PolicySpec

SPEC = PolicySpec(chunk_size=4, action_dim=2, state_dim=3)
CONFIG = config_pbtxt(SPEC, ServingOptions())
PROVENANCE = {"policy_id": "ab" * 32, "checkpoint": "pretrained_model", "exported_by": "act_inference_ros 1.2.3"}


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    staged = tmp_path / "staged"
    staged.mkdir()
    for name in ("model.onnx", "model.py"):
        (staged / name).write_text("new")
    return staged


def test_each_export_is_the_next_version(staged: Path, tmp_path: Path) -> None:
    model = tmp_path / "m"
    assert [publish(staged, model, CONFIG, PROVENANCE).version for _ in range(3)] == [1, 2, 3]
    (model / "2").rename(tmp_path / "elsewhere")
    (model / "notes").mkdir()
    assert publish(staged, model, CONFIG, PROVENANCE).version == 4
    assert exported_versions(model) == [1, 3, 4]


def test_exports_at_the_same_time_are_versions_of_their_own(staged: Path, tmp_path: Path) -> None:
    model = tmp_path / "m"
    with ThreadPoolExecutor(8) as pool:
        versions = [pool.submit(lambda: publish(staged, model, CONFIG, PROVENANCE).version).result for _ in range(16)]
        assert sorted(version() for version in versions) == list(range(1, 17))
    assert exported_versions(model) == list(range(1, 17))
    assert len(read_versions((model / "config.pbtxt").read_text())) == 16


def test_a_version_that_only_waits_for_a_policy_is_filled(staged: Path, tmp_path: Path) -> None:
    waiting = tmp_path / "m" / "1"
    waiting.mkdir(parents=True)
    for name in PYTHON_SOURCES:
        (waiting / name).write_text("old")
    (tmp_path / "m" / "config.pbtxt").write_text(config_pbtxt(PolicySpec(9, 9, state_dim=9), ServingOptions()))
    check_model(tmp_path / "m", CONFIG)
    assert publish(staged, tmp_path / "m", CONFIG, PROVENANCE).version == 1
    assert (waiting / "model.py").read_text() == "new"
    assert (tmp_path / "m" / "config.pbtxt").read_text() == with_versions(CONFIG, {"1": PROVENANCE})


def test_a_config_tuned_by_hand_is_kept_unless_told_otherwise(staged: Path, tmp_path: Path) -> None:
    model = tmp_path / "m"
    publish(staged, model, CONFIG, PROVENANCE)
    tuned = (model / "config.pbtxt").read_text().replace("count: 1", "count: 2")
    (model / "config.pbtxt").write_text(tuned)
    check_model(model, CONFIG)
    assert publish(staged, model, CONFIG, PROVENANCE).config_kept is True
    assert (model / "config.pbtxt").read_text() == with_versions(tuned, {"1": PROVENANCE, "2": PROVENANCE})
    assert publish(staged, model, CONFIG, PROVENANCE, replace_config=True).config_kept is False
    versions = {version: PROVENANCE for version in "123"}
    assert (model / "config.pbtxt").read_text() == with_versions(CONFIG, versions)


def test_each_version_says_what_it_was_exported_from(staged: Path, tmp_path: Path) -> None:
    model = tmp_path / "m"
    other = {"policy_id": "cd" * 32, "checkpoint": 'it\'s "another"', "exported_by": ""}
    publish(staged, model, CONFIG, PROVENANCE)
    publish(staged, model, CONFIG, other)
    text = (model / "config.pbtxt").read_text()
    assert read_versions(text) == {"1": PROVENANCE, "2": other}
    assert text.count("policy_versions") == 1
    check_model(model, CONFIG)


def test_somebody_elses_model_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "config.pbtxt").write_text('backend: "python"')
    with pytest.raises(ConfigurationError, match="not written by export_policy"):
        check_model(tmp_path / "m", CONFIG)


def test_a_directory_that_cannot_be_written_is_one_line(staged: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot write"):
        publish(staged, tmp_path / "file" / "m", CONFIG, PROVENANCE)


def compare(wanted: npt.NDArray[Any], got: npt.NDArray[Any], spread: tuple[float, ...] = (1.0, 1.0)) -> ParityReport:
    """Parity of two policies with these constant chunks (4, 2)."""
    observations = {"one": {"observation.state": np.zeros((1, 3), np.float32)}}
    reference = make_reference(
        SPEC,
        "float32",
        observations,
        local=lambda rows: wanted[None].astype(np.float32),
        spread=np.array(spread),
    )
    return parity(reference, lambda rows: np.repeat(got[None], len(rows["observation.state"]), 0).astype(np.float32))


RAMP = np.linspace([0, 0], [1, 100], 4)


@pytest.mark.parametrize(("error", "passes"), [((0.9e-4, 0), True), ((1.2e-4, 0), False), ((0, 0.9e-2), True)])
def test_parity_is_measured_against_each_actions_own_range(error: tuple[float, ...], passes: bool) -> None:
    report = compare(RAMP, RAMP + np.array(error))
    assert report.passed is passes
    assert report.ranges == pytest.approx((1, 100))


def test_an_action_that_never_moves_may_differ_by_a_rounding(tmp_path: Path) -> None:
    still = np.full((4, 2), 90.0)
    assert compare(still, still + 2e-5, spread=(1e-8, 1e-8)).passed
    assert not compare(still, still + 1e-3, spread=(1e-8, 1e-8)).passed


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_number_that_is_not_finite_fails(number: float) -> None:
    broken = RAMP.copy()
    broken[2, 1] = number
    assert not compare(RAMP, broken).passed
