"""What a checkpoint may look like: names, renames, places, and the spec that comes of it."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.numpy import load_file, save_file

from act_inference_ros.errors import CheckpointError, MissingDependencyError
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


def test_the_vae_may_be_there_and_is_not_read(tmp_path: Path) -> None:
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


def test_a_training_directory_leads_to_pretrained_model(tmp_path: Path) -> None:
    (tmp_path / "pretrained_model").mkdir()
    write_checkpoint(tmp_path / "pretrained_model")
    assert load_policy(tmp_path).spec == load_policy(tmp_path / "pretrained_model").spec


def test_a_local_directory_wins_over_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "owner" / "name"
    directory.mkdir(parents=True)
    write_checkpoint(directory)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert load_policy("owner/name").spec.action_dim == 4


def test_a_hub_id_needs_the_hub_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingDependencyError, match="pip install huggingface_hub"):
        load_policy("owner/name@main")


class FakeHub:
    def __init__(self, directory: Path | None) -> None:
        self.directory = directory
        self.asked: list[tuple[str, str]] = []

    def snapshot_download(self, repository: str, revision: str, **patterns: object) -> str:
        self.asked.append((repository, revision))
        if self.directory is None:
            raise OSError("no\nnetwork")
        return str(self.directory)


def test_a_hub_id_is_downloaded_at_its_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint(tmp_path)
    hub = FakeHub(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert load_policy("owner/name@v1.0").spec.action_dim == 4
    assert hub.asked == [("owner/name", "v1.0")]


def test_a_failed_download_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", FakeHub(None))
    with pytest.raises(CheckpointError, match=r"owner/name.*no network"):
        load_policy("owner/name")


@pytest.mark.parametrize("name", ["", "no/such/directory", "nowhere", "a b/c"])
def test_what_is_neither_a_directory_nor_an_id_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if name == "":
        monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"directory|config\.json"):
        load_policy(name)


def test_a_file_is_not_a_checkpoint(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="found a file"):
        load_policy(tmp_path / "model.safetensors")
