"""Target: the files that other programs of the package write, and that may be handed on: results, parity, a dump."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from act_inference_ros.black_box import dumps
from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.results import EvaluationResult
from act_inference_ros.evaluation.run_settings import RunSettings
from act_inference_ros.policy.reference import make_reference, read_reference, reference_observations
from act_inference_ros.spec import ImageSpec, PolicySpec
from test.fuzz.mutation import bytes_mutation, json_mutation, one_of, with_selector
from test.fuzz.target import MIB, Target

_SPEC = PolicySpec(2, 2, (ImageSpec("a", 8, 8),), 2, policy_id="0" * 64)


def results(directory: Path) -> Target:
    """metrics.json of eval_policy, black_box.json of a dump, parity.json of an exported policy."""
    paths = [directory / dumps.ABOUT, directory / "parity.json"]

    def check(data: bytes) -> None:
        kind = data[0] % 3 if data else 0
        if kind == 0:
            read = EvaluationResult.from_json(data[1:].decode("utf-8", "replace"))
            assert EvaluationResult.from_json(read.to_json()).to_json() == read.to_json()
            return
        paths[kind - 1].write_bytes(data[1:])
        if kind == 1:
            dumps.read_about(directory)
        else:
            read_reference(paths[1])

    texts = [_metrics(), json.dumps({"node": "/policy_node", "reason": "stopped", "time_ns": 1}), _parity()]
    seeds = [bytes([kind]) + text.encode() for kind, text in enumerate(texts)]
    change = one_of(json_mutation, json_mutation, json_mutation, json_mutation, bytes_mutation)
    return Target("results", check, seeds, with_selector([change] * 3), (ConfigurationError,), 256 * MIB)


def _metrics() -> str:
    return EvaluationResult(RunSettings("test", "test")).to_json()


def _parity() -> str:
    centre = {key: np.zeros(dim) for key, dim in _SPEC.vectors.items()}
    observations = reference_observations(_SPEC, centre, {key: value + 1.0 for key, value in centre.items()})
    reference = make_reference(_SPEC, "float32", observations, lambda one: np.zeros((1, 2, 2), np.float32), np.ones(2))
    return json.dumps(
        {
            "reference": reference.as_json(),
            "observations": list(reference.observations),
            "ranges": reference.ranges.tolist(),
            "tolerance": reference.tolerance,
            "policy_id": _SPEC.policy_id,
            "precision": "float32",
        }
    )
