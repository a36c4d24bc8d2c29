"""An exported repository as `checkpoint`: which graph is used, and one clear error where none can be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.inference.local.exported_policy import exported_policy, is_exported_repository
from act_inference_ros.policy.reference import make_reference, reference_observations
from act_inference_ros.spec import PolicySpec

SPEC = PolicySpec(chunk_size=2, action_dim=1, images=(), state_dim=1, policy_id="a" * 64)


def write_version(directory: Path) -> Path:
    """A version's directory as export_policy writes it, except for the graph, which is not read here."""
    directory.mkdir(parents=True)
    one = {"observation.state": np.ones(1)}
    observations = reference_observations(SPEC, one, one)
    reference = make_reference(
        SPEC, "float32", observations, lambda _: np.array([[[0.0], [1.0]]], np.float32), np.ones(1)
    )
    facts = {
        "policy_id": SPEC.policy_id,
        "precision": "float32",
        "tolerance": reference.tolerance,
        "observations": list(observations),
        "ranges": reference.ranges.tolist(),
        "reference": reference.as_json(),
    }
    (directory / "parity.json").write_text(json.dumps(facts))
    (directory / "model.onnx").write_bytes(b"graph")
    return directory


@pytest.mark.parametrize("given", ["", "act", "act/10"])
def test_the_highest_exported_version_is_taken(tmp_path: Path, given: str) -> None:
    for number in (2, 9, 10):
        write_version(tmp_path / "act" / str(number))
    (tmp_path / "act" / "11").mkdir()  # no graph in it
    assert is_exported_repository(str(tmp_path / given))
    found = exported_policy(str(tmp_path / given), "float32")
    assert found.graph == tmp_path / "act" / "10" / "model.onnx"
    assert found.reference.policy_id == SPEC.policy_id


def test_an_older_version_can_be_named(tmp_path: Path) -> None:
    for number in (1, 2):
        write_version(tmp_path / "act" / str(number))
    assert exported_policy(str(tmp_path / "act" / "1"), "float32").graph.parent.name == "1"


def test_several_models_are_named(tmp_path: Path) -> None:
    write_version(tmp_path / "left" / "1")
    write_version(tmp_path / "right" / "1")
    with pytest.raises(ConfigurationError, match="found left, right; give one model's directory"):
        exported_policy(str(tmp_path), "float32")


def test_another_precision_is_refused(tmp_path: Path) -> None:
    write_version(tmp_path / "act" / "1")
    with pytest.raises(ConfigurationError, match=r"exported in float32; .* --precision float16"):
        exported_policy(str(tmp_path), "float16")


@pytest.mark.parametrize("content", [None, "{", "[]", "{}", "[" * 100_000])
def test_without_a_reference_it_is_exported_again(tmp_path: Path, content: str | None) -> None:
    parity = write_version(tmp_path / "act" / "1") / "parity.json"
    parity.unlink()
    if content is not None:
        parity.write_text(content)
    with pytest.raises(ConfigurationError, match="export the policy again"):
        exported_policy(str(tmp_path), "float32")


def test_a_checkpoint_is_no_exported_repository(tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors", "model.onnx"):
        (tmp_path / name).touch()
    for path in (str(tmp_path), "hf:owner/name", str(tmp_path / "none"), "a\0b"):
        assert not is_exported_repository(path)
        with pytest.raises(ConfigurationError, match="expected an exported repository"):
            exported_policy(path, "float32")
