"""policy_id: identifies the function that a policy computes, from its files, so that two copies can be compared.

It is a sha256 over everything that determines the numbers: the architecture, the normalisation of each input and of the
action (mode, eps, statistics as float32), and the weights that inference reads, in their stored type. It does not
include the names of files, a renaming of inputs, the number of executed steps of a chunk, the VAE's weights, the engine
and the precision of the computation. It is the same for every generation of LeRobot that stores the same policy, and
for any number of files with the weights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from act_inference_ros.policy.config import ActConfig
from act_inference_ros.policy.normalization import Affine, Vector, normalizer, unnormalizer
from act_inference_ros.policy.raw_tensors import RawTensor, raw_tensors
from act_inference_ros.policy.tensor_names import NETWORK, is_read, todays_name
from act_inference_ros.program.cores import usable_cores

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
    """How one feature is normalised: `statistics` has the values for `mode`, float32 (dim,) each.

    `adds_eps` selects the formula of old checkpoints, which add eps to every range of MIN_MAX.
    """

    mode: str
    eps: float
    statistics: Mapping[str, Vector]
    adds_eps: bool = False

    def normalizer(self, dim: int) -> Affine:
        """The map from the data set's units to the network's input, for a feature of `dim` numbers."""
        return normalizer(self.mode, dim, self.statistics, self.eps, legacy=self.adds_eps)

    def unnormalizer(self, dim: int) -> Affine:
        """The map from the network's output to the data set's units, for an action of `dim` numbers."""
        return unnormalizer(self.mode, dim, self.statistics, self.eps, legacy=self.adds_eps)


def policy_id(
    config: ActConfig, inputs: Mapping[str, Normalization], action: Normalization, weights: Sequence[Path]
) -> str:
    """Return the policy's id, 64 hexadecimal digits.

    `inputs` has the normalisation of each of `config.read_keys`, `weights` the safetensors files that hold the network.
    Raises CheckpointError for a damaged file.
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
    """A sha256 over parts, each with its length before it, so that different sequences of parts always differ."""

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
        """Add the tensors of all files together, in the order of their names."""
        parts = sorted(part for path in paths for part in _digests(path))
        for _, part in parts:
            self._bytes(part)

    def _bytes(self, content: bytes) -> None:
        self._sha.update(len(content).to_bytes(8, "little"))
        self._sha.update(content)


_MOST_THREADS = 4
"""Number of threads: hashlib lets other threads run meanwhile; with more threads the disk limits the speed."""


def _digests(path: Path) -> Iterable[tuple[str, bytes]]:
    """Name and digest of each tensor of a file that inference reads."""
    with raw_tensors(path) as tensors, ThreadPoolExecutor(min(usable_cores(), _MOST_THREADS)) as pool:
        return list(pool.map(_of_tensor, [tensor for tensor in tensors if is_read(todays_name(tensor.name))]))


def _of_tensor(tensor: RawTensor) -> tuple[str, bytes]:
    name = todays_name(tensor.name).removeprefix(NETWORK)
    description = json.dumps([name, tensor.dtype, list(tensor.shape)]).encode()
    sha = hashlib.sha256(len(description).to_bytes(8, "little") + description)
    sha.update(tensor.content)
    return name, sha.digest()
