"""policy_id is the same for the same numbers, however they are stored, and changes with anything that changes them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from act_inference_ros.errors import CheckpointError
from act_inference_ros.policy.load import load_policy
from act_inference_ros.policy.raw_tensors import raw_tensors
from test.checkpoints import write_buffer_checkpoint, write_checkpoint

WEIGHTS = "model.safetensors"
STATE = {"observation.state": {"type": "STATE", "shape": [4]}}
CAMERAS = {"observation.images.top": {"type": "VISUAL", "shape": [3, 64, 96]}}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    directory = tmp_path / "pretrained_model"
    directory.mkdir()
    write_checkpoint(directory, {**STATE, **CAMERAS}, n_encoder_layers=1)
    return directory


def identity(directory: Path) -> str:
    return load_policy(directory).spec.policy_id


def change_json(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def change_tensors(path: Path, change: Any) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def test_it_is_a_sha256_and_does_not_depend_on_where_the_checkpoint_is(checkpoint: Path, tmp_path: Path) -> None:
    before = identity(checkpoint)
    assert len(before) == 64
    assert int(before, 16) > 0
    moved = checkpoint.rename(tmp_path / "another_name")
    assert identity(moved) == before


def test_one_bit_of_one_weight_changes_the_id(checkpoint: Path) -> None:
    before = identity(checkpoint)

    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.action_head.bias"].view(torch.int32)[0] ^= 1

    change_tensors(checkpoint / WEIGHTS, change)
    assert identity(checkpoint) != before


def test_weights_that_inference_does_not_read_do_not_change_the_id(checkpoint: Path) -> None:
    before = identity(checkpoint)
    change_tensors(checkpoint / WEIGHTS, lambda tensors: tensors.update({"model.vae_encoder.x": torch.ones(3)}))
    assert identity(checkpoint) == before


def test_the_number_of_executed_steps_does_not_change_the_id(checkpoint: Path) -> None:
    before = identity(checkpoint)
    change_json(checkpoint / "config.json", n_action_steps=1)
    assert identity(checkpoint) == before


def test_a_statistic_and_a_mode_change_the_id(checkpoint: Path) -> None:
    before = identity(checkpoint)
    (file,) = checkpoint.glob("pre_step_3.safetensors")

    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors["observation.state.mean"][0] += 1e-3

    change_tensors(file, change)
    after = identity(checkpoint)
    assert after != before
    path = checkpoint / "policy_preprocessor.json"
    path.write_text(path.read_text().replace('"STATE": "MEAN_STD"', '"STATE": "IDENTITY"'))
    assert identity(checkpoint) not in (before, after)


def test_the_type_in_which_weights_are_stored_changes_the_id(checkpoint: Path) -> None:
    before = identity(checkpoint)

    def change(tensors: dict[str, torch.Tensor]) -> None:
        name = "model.action_head.bias"
        tensors[name] = tensors[name].to(torch.bfloat16).float()
        rounded.append(tensors[name])

    rounded: list[torch.Tensor] = []
    change_tensors(checkpoint / WEIGHTS, change)
    as_float32 = identity(checkpoint)
    change_tensors(
        checkpoint / WEIGHTS, lambda tensors: tensors.update({"model.action_head.bias": rounded[0].bfloat16()})
    )
    assert len({before, as_float32, identity(checkpoint)}) == 3


def test_a_renaming_of_inputs_does_not_change_the_id(checkpoint: Path) -> None:
    before = identity(checkpoint)
    write_checkpoint(
        checkpoint, {**STATE, **CAMERAS}, rename={"observation.images.front": next(iter(CAMERAS))}, n_encoder_layers=1
    )
    loaded = load_policy(checkpoint)
    assert "observation.images.front" in loaded.spec.keys
    assert loaded.spec.policy_id == before


def test_statistics_in_the_weights_or_in_files_of_their_own_are_the_same_policy(
    checkpoint: Path, tmp_path: Path
) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    old = tmp_path / "old"
    old.mkdir()
    (old / "config.json").write_text(json.dumps(config))
    features = {**config["input_features"], **config["output_features"]}
    modes = {key: config["normalization_mapping"][each["type"]] for key, each in features.items()}
    write_buffer_checkpoint(old, config, features, modes)
    assert identity(old) == identity(checkpoint)


INFINITE = b'{"a":{"dtype":"F32","shape":[1e400],"data_offsets":[0,0]}}'
BEYOND = b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 7,
        b"\xff" * 64,
        (2).to_bytes(8, "little") + b"[]",
        *(len(header).to_bytes(8, "little") + header for header in (INFINITE, BEYOND)),
    ],
)
def test_raw_tensors_refuse_an_incomplete_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / WEIGHTS
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=WEIGHTS), raw_tensors(path):
        pass
