"""The reference of a checkpoint: what local mode computes on this machine's CPU. Needs torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.policy.graph import AffineMap
from act_inference_ros.policy.load import LoadedPolicy
from act_inference_ros.policy.normalization import REALISTIC_ERROR, constant_entries
from act_inference_ros.serving.reference import Actions, Arrays, Reference, make_reference, reference_observations


def local_reference(checkpoint: str, policy: LoadedPolicy, precision: str) -> Reference:
    """Compute the reference of `policy`, which was loaded from `checkpoint`. `precision` decides the tolerance."""
    with InferenceClient.create(mode="local", checkpoint=checkpoint, device="cpu") as client:

        def local(inputs: Arrays) -> Actions:
            return client.predict({key: rows[0] for key, rows in inputs.items()})[np.newaxis]

        observations = reference_observations(policy.spec, *_data(policy))
        return make_reference(policy.spec, precision, observations, local, _spread(policy))


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
