"""policy_id: which function a policy computes, told from its files, so that two places can be held against each other.

It is a sha256 over what determines the numbers: the architecture, how each input and the action are normalised (mode,
eps, statistics as float32), and the weights that inference reads, in the type in which they are stored. Not in it are
the names of files, a renaming of inputs, how many steps of a chunk are executed, the VAE's weights, the engine and the
precision in which the policy is computed. It is the same for every generation of LeRobot that stores the same policy,
and however many files the weights are spread over.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from act_inference_ros.policy.config import ActConfig
from act_inference_ros.policy.normalization import Vector
from act_inference_ros.policy.raw_tensors import RawTensor, raw_tensors
from act_inference_ros.policy.tensor_names import NETWORK, is_read, todays_name

FORMAT = "act_inference_ros policy 1"
_ARCHITECTURE = (
    "chunk_size",
    "vision_backbone",
    "replace_final_stride_with_dilation",
    "pre_norm",
    "dim_model",
    "n_heads",
    "dim_feedforward",
    "feedforward_activation",
    "n_encoder_layers",
    "n_decoder_layers",
    "latent_dim",
)


@dataclass(frozen=True)
class Normalization:
    """How one feature is normalised: `statistics` has what `mode` needs, float32 (dim,) each.

    `adds_eps` tells the formula of old checkpoints, which add eps to every range of MIN_MAX.
    """

    mode: str
    eps: float
    statistics: Mapping[str, Vector]
    adds_eps: bool = False


def policy_id(
    config: ActConfig, inputs: Mapping[str, Normalization], action: Normalization, weights: Sequence[Path]
) -> str:
    """Return the policy's id, 64 hexadecimal digits.

    `inputs` has the normalisation of each of `config.read_keys`, `weights` the safetensors files that hold the network.
    Raises CheckpointError for a file that is not whole.
    """
    digest = _Digest()
    digest.add(FORMAT)
    digest.add({name: getattr(config, name) for name in _ARCHITECTURE})
    shapes = {feature.key: feature.shape for feature in config.inputs}
    for key in config.read_keys:
        digest.add([key, list(shapes[key])])
        digest.add_normalization(inputs[key])
    digest.add(["action", config.action_dim])
    digest.add_normalization(action)
    digest.add_files(weights)
    return digest.value


class _Digest:
    """A sha256 over parts, each with its length before it, so that no two sequences of parts look alike."""

    def __init__(self) -> None:
        self._sha = hashlib.sha256()

    @property
    def value(self) -> str:
        return self._sha.hexdigest()

    def add(self, part: Any) -> None:
        self._bytes(json.dumps(part, sort_keys=True, allow_nan=False).encode())

    def add_normalization(self, normalization: Normalization) -> None:
        used = bool(normalization.statistics)
        adds_eps = normalization.adds_eps and normalization.mode == "MIN_MAX"
        self.add([normalization.mode, normalization.eps if used else None, adds_eps, sorted(normalization.statistics)])
        for name in sorted(normalization.statistics):
            self._bytes(normalization.statistics[name].astype("<f4").tobytes())

    def add_files(self, paths: Sequence[Path]) -> None:
        """The tensors of all files together, in the order of their names."""
        parts = sorted(part for path in paths for part in _digests(path))
        for _, part in parts:
            self._bytes(part)

    def _bytes(self, content: bytes) -> None:
        self._sha.update(len(content).to_bytes(8, "little"))
        self._sha.update(content)


def _digests(path: Path) -> Iterable[tuple[str, bytes]]:
    """Name and digest of each tensor of a file that inference reads."""
    with raw_tensors(path) as tensors:
        return [_of_tensor(tensor) for tensor in tensors if is_read(todays_name(tensor.name))]


def _of_tensor(tensor: RawTensor) -> tuple[str, bytes]:
    name = todays_name(tensor.name).removeprefix(NETWORK)
    description = json.dumps([name, tensor.dtype, list(tensor.shape)]).encode()
    sha = hashlib.sha256(len(description).to_bytes(8, "little") + description)
    sha.update(tensor.content)
    return name, sha.digest()
