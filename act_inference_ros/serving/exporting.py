"""What exporting needs torch, onnx and onnxruntime for, in one place that is imported when it is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.policy.graph import AffineMap
from act_inference_ros.policy.load import LoadedPolicy, load_policy
from act_inference_ros.policy.normalization import REALISTIC_ERROR, constant_entries
from act_inference_ros.serving.onnx_graph import OUTPUT, onnx_graph
from act_inference_ros.serving.parity import Actions, Arrays, ParityReport, parity, parity_observations
from act_inference_ros.serving.stated_identity import state_identity

__all__ = ["compare", "load_policy", "onnx_graph", "state_identity"]


def compare(checkpoint: str, policy: LoadedPolicy, model: Path, precision: str) -> ParityReport:
    """Run the exported graph with onnxruntime, and the checkpoint in local mode, both on this machine's CPU."""
    session = _session(model)

    def exported(inputs: Arrays) -> Actions:
        actions: Actions = session.run([OUTPUT], inputs)[0]
        return actions

    with InferenceClient.create(mode="local", checkpoint=checkpoint, device="cpu") as client:

        def local(inputs: Arrays) -> Actions:
            return client.predict({key: rows[0] for key, rows in inputs.items()})[np.newaxis]

        return parity(
            policy.spec, precision, parity_observations(policy.spec, *_data(policy)), exported, local, _spread(policy)
        )


def _session(model: Path) -> Any:
    try:
        return onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no common base
        raise ConfigurationError(f"onnxruntime cannot load the exported graph: {error}") from error


def _data(policy: LoadedPolicy) -> tuple[dict[str, npt.NDArray[Any]], dict[str, npt.NDArray[Any]]]:
    """Centre and spread of each vector's data, by key: what its normaliser maps to 0 and to a step of 1."""
    centres, spreads = {}, {}
    for key, affine in zip(policy.spec.vectors, policy.graph.normalize, strict=False):  # the images come after
        assert isinstance(affine, AffineMap)  # noqa: S101  # for the type checker
        spreads[key] = 1.0 / affine.scale.double().numpy()
        centres[key] = affine.shift.double().numpy() - affine.offset.double().numpy() * spreads[key]
        # What did not move in the data is measured elsewhere on the robot, and must be computed alike there, too.
        still = constant_entries(affine.scale.numpy())
        spreads[key][still] = np.maximum(spreads[key][still], REALISTIC_ERROR)
    return centres, spreads


def _spread(policy: LoadedPolicy) -> npt.NDArray[Any]:
    """Of each action in the data set: its standard deviation, or half its range."""
    spread: npt.NDArray[Any] = policy.graph.unnormalize.scale.numpy()
    return spread
