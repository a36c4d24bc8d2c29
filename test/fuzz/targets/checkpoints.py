"""Targets: config.json, the processors' files, and safetensors files of a checkpoint that is whole but for one file."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import torch

from act_inference_ros.errors import CheckpointError
from act_inference_ros.policy.load import load_policy
from test.checkpoints import (
    as_hydra,
    edit_json,
    write_buffer_checkpoint,
    write_checkpoint,
    write_config,
)
from test.fuzz.mutation import bytes_mutation, json_mutation, one_of, with_selector
from test.fuzz.target import MIB, Check, Mutate, Target

_MEMORY_BYTES = 128 * MIB
"""bounds.JSON_BYTES, read, takes about thirty times its size; inputs here are smaller."""
_INPUTS = {
    "observation.state": {"type": "STATE", "shape": [2]},
    "observation.environment_state": {"type": "ENV", "shape": [3]},
}
_OUTPUTS = {"action": {"type": "ACTION", "shape": [2]}}
_MODES = {"STATE": "MEAN_STD", "ENV": "MEAN_STD", "ACTION": "MEAN_STD"}
_SMALL = {
    "chunk_size": 2, "n_action_steps": 1, "dim_model": 8, "n_heads": 2, "dim_feedforward": 4, "latent_dim": 2,
    "n_encoder_layers": 1, "temporal_ensemble_coeff": 0.01,
}  # fmt: skip
_WEIGHTS, _STATE = "model.safetensors", "pre_step_3.safetensors"
_PIPELINES = ("policy_preprocessor.json", "policy_postprocessor.json")
_INDEX = "model.safetensors.index.json"
_json = one_of(json_mutation, json_mutation, json_mutation, json_mutation, bytes_mutation)


def config(directory: Path) -> Target:
    """config.json of a checkpoint of today, and of one with the statistics in the weights; with a camera, too."""
    today, old = _today(directory / "today"), _old(directory / "old")
    cameras = {**_INPUTS, "observation.images.top": {"type": "VISUAL", "shape": [3, 64, 96]}}
    (directory / "camera").mkdir()
    write_config(
        directory / "camera", cameras, _OUTPUTS, normalization_mapping={**_MODES, "VISUAL": "MIN_MAX"}, **_SMALL
    )
    files = [today / "config.json", old / "config.json"]
    seeds = [bytes([kind]) + path.read_bytes() for kind, path in enumerate(files)]
    seeds.append(bytes([0]) + (directory / "camera/config.json").read_bytes())
    return _target("config", files, seeds, [_json] * len(files))


def processors(directory: Path) -> Target:
    """policy_preprocessor.json and policy_postprocessor.json."""
    today = _today(directory / "today")
    files = [today / name for name in _PIPELINES]
    return _target("processors", files, _seeds(files), [_json] * len(files))


def safetensors(directory: Path) -> Target:
    """The weights, the statistics, weights with the statistics inside, and the index of weights in several files."""
    today, old, split = _today(directory / "today"), _old(directory / "old"), _today(directory / "split")
    (split / _WEIGHTS).rename(split / "all.safetensors")
    names = [name for name in _header_of((split / "all.safetensors").read_bytes()) if name != "__metadata__"]
    (split / _INDEX).write_text(json.dumps({"weight_map": dict.fromkeys(names[:4], "all.safetensors")}))
    files = [today / _WEIGHTS, today / _STATE, old / _WEIGHTS, split / _INDEX]
    tensors = one_of(_header_mutation, _header_mutation, _header_mutation, bytes_mutation, _value_mutation)
    return _target("safetensors", files, _seeds(files), [tensors, tensors, tensors, _json])


def _today(directory: Path) -> Path:
    directory.mkdir()
    write_checkpoint(
        directory, _INPUTS, {"state": "observation.state"}, outputs=_OUTPUTS, normalization_mapping=_MODES, **_SMALL
    )
    return directory


def _old(directory: Path) -> Path:
    directory.mkdir()
    config = write_config(directory, _INPUTS, _OUTPUTS, normalization_mapping=_MODES, **_SMALL)
    features = {**_INPUTS, **_OUTPUTS}
    write_buffer_checkpoint(directory, config, features, dict.fromkeys(features, "MEAN_STD"))
    edit_json(directory / "config.json", as_hydra)
    return directory


def _seeds(files: Sequence[Path]) -> list[bytes]:
    return [bytes([kind]) + path.read_bytes() for kind, path in enumerate(files)]


def _target(name: str, files: Sequence[Path], seeds: Sequence[bytes], mutate: Sequence[Mutate]) -> Target:
    torch.set_num_threads(1)  # the time of all threads counts
    return Target(name, _check_of(files), seeds, with_selector(mutate), (CheckpointError,), _MEMORY_BYTES)


def _check_of(files: Sequence[Path]) -> Check:
    whole = [path.read_bytes() for path in files]

    def check(data: bytes) -> None:
        kind = data[0] % len(files) if data else 0
        path = files[kind]
        path.write_bytes(data[1:])
        try:
            load_policy(path.parent)
        finally:
            path.write_bytes(whole[kind])

    return check


def _header_of(data: bytes) -> dict[str, object]:
    header: dict[str, object] = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return header


def _header_mutation(data: bytes, random: random.Random) -> bytes:
    """Something wrong in the header; its length is told as it is, mostly."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json_mutation(data[8:end], random)
    length = random.choice((0, 1, 2**31, 2**63, len(header) + 1)) if random.random() < 0.1 else len(header)
    return length.to_bytes(8, "little") + header + data[end:]


def _value_mutation(data: bytes, random: random.Random) -> bytes:
    """Something wrong in the numbers."""
    end = min(8 + int.from_bytes(data[:8], "little"), len(data))
    return data[:end] + bytes_mutation(data[end:], random)
