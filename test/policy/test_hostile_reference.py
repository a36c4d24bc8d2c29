"""parity.json: what a few bytes of it ask for is bounded, and refused before images are made."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.policy import reference
from act_inference_ros.policy.reference import make_reference, read_reference, reference_observations
from act_inference_ros.spec import ImageSpec, PolicySpec
from test.bounds import bounded

DIM = 2


def spec(height: int = 8, width: int = 8) -> PolicySpec:
    return PolicySpec(DIM, DIM, (ImageSpec("observation.images.top", height, width),), DIM, policy_id="0" * 64)


def written(of: PolicySpec) -> dict[str, Any]:
    """A parity.json for a policy with this spec, whose images are those of a small one."""
    small = spec()
    centre = {key: np.zeros(dim) for key, dim in small.vectors.items()}
    observations = reference_observations(small, centre, {key: value + 1.0 for key, value in centre.items()})
    made = make_reference(small, "float32", observations, lambda _: np.zeros((1, DIM, DIM), np.float32), np.ones(DIM))
    fields = made.as_json()
    fields["spec"] = json.loads(of.to_json())
    return {
        "reference": fields,
        "observations": list(made.observations),
        "ranges": made.ranges.tolist(),
        "tolerance": made.tolerance,
        "policy_id": of.policy_id,
        "precision": "float32",
    }


def refusal(path: Path, fields: dict[str, Any]) -> str:
    path.write_text(json.dumps(fields))
    with bounded(), pytest.raises(ConfigurationError) as caught:
        read_reference(path)
    return str(caught.value)


def test_images_beyond_the_bound_are_refused_before_they_are_made(tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        message = refusal(tmp_path / "parity.json", written(spec(4096, 8192)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert f"at most {reference.MOST_PIXELS} pixels" in message
    assert peak < 2**24
    with pytest.raises(ConfigurationError, match="pixels"):
        reference_observations(spec(4096, 8192), {}, {})


def test_the_largest_images_take_bounded_memory(tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        message = refusal(tmp_path / "parity.json", written(spec(2048, 4096)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "not those it was written with" in message
    assert peak < 2**28


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda fields: fields["reference"]["vectors"].update({"observation.state": ""}), "reshape"),
        (lambda fields: fields["reference"]["vectors"].clear(), "observation.state"),
        (lambda fields: fields["reference"].update(actions=""), "reshape"),
        (lambda fields: fields["reference"].update(actions="!"), "judge"),
        (lambda fields: fields.update(ranges=[1.0, -1.0]), "ranges above 0"),
        (lambda fields: fields.update(tolerance=2.0), "tolerance"),
        (lambda fields: fields.update(policy_id="1" * 64), "policy_id"),
        (lambda fields: fields.update(observations=[]), "observations"),
    ],
)
def test_no_image_is_made_for_a_file_that_is_wrong_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any, expected: str
) -> None:
    fields = written(spec())
    change(fields)
    monkeypatch.setattr(reference, "_images", lambda *_: pytest.fail("images were made"))
    assert expected in refusal(tmp_path / "parity.json", fields)
