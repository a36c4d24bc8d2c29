"""A small reference, and the parity.json that holds it."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from act_inference_ros.policy.reference import make_reference, reference_observations
from act_inference_ros.spec import ImageSpec, PolicySpec

SPEC = PolicySpec(6, 2, images=(ImageSpec("observation.images.top", 10, 12),), state_dim=3, policy_id="a" * 64)


def written(path: Path, **changes: Any) -> Path:
    """A parity.json as the exporter writes it, with other fields."""
    one = {"observation.state": np.arange(3.0)}
    observations = reference_observations(SPEC, one, one)
    chunks = iter(np.random.default_rng(0).normal(size=(8, 1, 6, 2)).astype(np.float32))
    reference = make_reference(SPEC, "float32", observations, lambda _: next(chunks), np.ones(2))
    fields: dict[str, Any] = {
        "observations": list(reference.observations),
        "ranges": list(reference.ranges),
        "tolerance": reference.tolerance,
        "precision": reference.precision,
        "policy_id": reference.policy_id,
        "reference": reference.as_json(),
    }
    path.write_text(json.dumps({key: value for key, value in {**fields, **changes}.items() if value is not None}))
    return path
