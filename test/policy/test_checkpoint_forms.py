"""The forms that a checkpoint may have: names, renamed inputs, places of files; and the spec that is made of it."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.numpy import load_file, save_file

from act_inference_ros.policy.load import load_policy
from act_inference_ros.spec import ImageSpec
from test.checkpoints import CAMERA, STATE, edit_json, observation_of, write_checkpoint


def rename_tensors(path: Path, old: str, new: str) -> None:
    tensors = {name.replace(old, new): array for name, array in load_file(path).items()}
    save_file(tensors, path)


def chunk_of(directory: Path) -> npt.NDArray[Any]:
    policy = load_policy(directory)
    observation = observation_of({**STATE, **CAMERA})
    with torch.inference_mode():
        return policy.graph(*(torch.from_numpy(x).unsqueeze(0) for x in observation.values())).numpy()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("encoder_1d_feature_pos_embed", "encoder_robot_and_latent_pos_embed"),
        ("model.", "model._orig_mod."),
        ("model.encoder.", "model.encoder._orig_mod."),
    ],
)
def test_old_and_compiled_names_give_the_same_policy(tmp_path: Path, old: str, new: str) -> None:
    write_checkpoint(tmp_path)
    expected = chunk_of(tmp_path)
    rename_tensors(tmp_path / "model.safetensors", old, new)
    np.testing.assert_array_equal(chunk_of(tmp_path), expected)


def test_flat_image_statistics_are_the_same_as_shaped_ones(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    expected = chunk_of(tmp_path)
    statistics = {name: array.reshape(-1) for name, array in load_file(tmp_path / "pre_step_3.safetensors").items()}
    save_file(statistics, tmp_path / "pre_step_3.safetensors")
    np.testing.assert_array_equal(chunk_of(tmp_path), expected)


def test_a_vae_encoder_in_the_checkpoint_is_not_read(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    expected = chunk_of(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["model.vae_encoder.layers.0.norm1.weight"] = np.full(32, np.nan, np.float32)
    save_file(tensors, tmp_path / "model.safetensors")
    np.testing.assert_array_equal(chunk_of(tmp_path), expected)


def test_the_steps_own_modes_win_over_config_json(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    expected = chunk_of(tmp_path)
    edit_json(tmp_path / "config.json", lambda c: c.update(normalization_mapping={"ACTION": "MIN_MAX"}))
    np.testing.assert_array_equal(chunk_of(tmp_path), expected)


def test_only_selected_observation_keys_are_normalised(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    inputs = ["observation.images.top_cam"]
    selection = {"normalize_observation_keys": inputs}
    edit_json(tmp_path / "policy_preprocessor.json", lambda p: p["steps"][3]["config"].update(selection))
    state = load_policy(tmp_path).graph.normalize[0]
    assert state.scale.tolist() == [1.0] * 5  # type: ignore[operator]  # a buffer
    assert state.shift.tolist() == [0.0] * 5  # type: ignore[operator]  # a buffer


def test_eps_is_the_steps_own(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    edit_json(tmp_path / "policy_preprocessor.json", lambda p: p["steps"][3]["config"].update(eps=1.0))
    std = load_file(tmp_path / "pre_step_3.safetensors")["observation.state.std"]
    scale = load_policy(tmp_path).graph.normalize[0].scale.numpy()  # type: ignore[operator]  # a buffer
    np.testing.assert_allclose(scale, 1 / (std + 1.0), rtol=1e-6)


def test_the_spec_has_the_robots_names(tmp_path: Path) -> None:
    rename = {"observation.images.front": "observation.images.top_cam", "observation.qpos": "observation.state"}
    write_checkpoint(tmp_path, rename=rename)
    spec = load_policy(tmp_path).spec
    assert spec.keys == ("observation.qpos", "observation.images.front")
    assert spec.images == (ImageSpec("observation.images.front", 64, 96),)
    assert (spec.chunk_size, spec.n_action_steps, spec.action_dim) == (8, 8, 4)


def test_declared_inputs_that_act_does_not_read_are_ignored(tmp_path: Path) -> None:
    effort = {"observation.effort": {"type": "STATE", "shape": [5]}}
    write_checkpoint(tmp_path, inputs={**effort, **CAMERA})
    spec = load_policy(tmp_path).spec
    assert spec.keys == ("observation.images.top_cam",)
    assert spec.ignored_keys == ("observation.effort", "observation.state")
