"""A LeRobot checkpoint directory of any generation -> its description and PolicyGraph, strictly. Needs torch."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike

from act_inference_ros.policy.description import PolicyDescription, description_without_id
from act_inference_ros.policy.graph import PolicyGraph
from act_inference_ros.policy.tensors import TensorFiles
from act_inference_ros.policy.weights import load_network
from act_inference_ros.spec import PolicySpec


@dataclass(frozen=True)
class LoadedPolicy:
    """A policy ready to run: the description from its files, and the function itself (on the CPU, float32)."""

    description: PolicyDescription
    graph: PolicyGraph

    @property
    def spec(self) -> PolicySpec:
        """What the policy reads and writes, with its policy_id."""
        return self.description.spec

    @property
    def warnings(self) -> tuple[str, ...]:
        """A line for each unusual property of the policy that does not stop it; logged when the policy was loaded."""
        return self.description.warnings


def load_policy(checkpoint: str | PathLike[str]) -> LoadedPolicy:
    """Load a checkpoint: a directory, a training's output directory, or a hub id `hf:owner/name[@revision]`.

    Raises CheckpointError naming the file, the part of it, what was expected and what was found.
    """
    description = description_without_id(checkpoint)
    with TensorFiles(*description.weights) as weights:
        network = load_network(description.config, weights)
    # Only now, because the policy_id reads every byte of the files, and the check above refuses networks that are too
    # large.
    description = description.identified()
    graph = PolicyGraph(network, description.config, description.normalizers(), description.unnormalizer())
    description.say_warnings()
    return LoadedPolicy(description, graph)
