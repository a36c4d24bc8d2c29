"""The reference of a checkpoint: the chunks that local mode computes on this machine's CPU."""

from __future__ import annotations

import numpy as np

from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.policy.description import PolicyDescription
from act_inference_ros.policy.reference import Actions, Arrays, Reference, make_reference, reference_observations


def local_reference(checkpoint: str, policy: PolicyDescription, precision: str) -> Reference:
    """Compute the reference of `policy`, which describes `checkpoint`. `precision` decides the tolerance."""
    with InferenceClient.create(mode="local", checkpoint=checkpoint, device="cpu") as client:

        def local(inputs: Arrays) -> Actions:
            return client.predict({key: rows[0] for key, rows in inputs.items()})[np.newaxis]

        observations = reference_observations(policy.spec, *policy.vector_data())
        return make_reference(policy.spec, precision, observations, local, policy.action_spread())
