"""Where a checkpoint may be: directories of every layout, and the Hugging Face hub."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from act_inference_ros.errors import CheckpointError, MissingDependencyError
from act_inference_ros.policy.load import LoadedPolicy, load_policy
from test.checkpoints import STATE, write_checkpoint

ENVIRONMENT = {"observation.environment_state": {"type": "ENV", "shape": [7]}}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint without a camera, which loads quickly."""
    directory = tmp_path_factory.mktemp("checkpoint")
    modes = dict.fromkeys(("STATE", "ENV", "ACTION"), "MEAN_STD")
    write_checkpoint(directory, inputs={**STATE, **ENVIRONMENT}, normalization_mapping=modes)
    return directory


def put(checkpoint: Path, directory: Path, n_action_steps: int = 8) -> Path:
    """Copy the checkpoint there; its n_action_steps tells it from other copies."""
    shutil.copytree(checkpoint, directory, dirs_exist_ok=True)
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, "n_action_steps": n_action_steps}))
    return directory


def refusal(place: Path | str) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_policy(place)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def steps(policy: LoadedPolicy) -> int:
    return policy.spec.n_action_steps


def test_a_directory_with_pretrained_model_leads_there(checkpoint: Path, tmp_path: Path) -> None:
    put(checkpoint, tmp_path / "pretrained_model", 3)
    assert steps(load_policy(tmp_path)) == 3


def test_of_a_trainings_output_the_last_step_is_taken_and_said(
    checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for step, number in (("005000", 5), ("010000", 6)):
        put(checkpoint, tmp_path / "checkpoints" / step / "pretrained_model", number)
    (tmp_path / "checkpoints" / "last").symlink_to("005000")
    assert steps(load_policy(tmp_path)) == 5
    assert "checkpoints/last/pretrained_model" in caplog.text


@pytest.mark.parametrize("given", [".", "checkpoints"])
def test_without_last_the_highest_step_is_taken_and_said(
    checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, given: str
) -> None:
    for step, number in (("9000", 5), ("010000", 6)):
        put(checkpoint, tmp_path / "checkpoints" / step / "pretrained_model", number)
    (tmp_path / "checkpoints" / "last").symlink_to("/nowhere/of/another/machine")
    (tmp_path / "checkpoints" / "020000" / "training_state").mkdir(parents=True)
    assert steps(load_policy(tmp_path / given)) == 6
    assert "checkpoints/010000/pretrained_model" in caplog.text
    assert "9000" in caplog.text


def test_averaged_weights_beside_the_others_are_named(
    checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(checkpoint, tmp_path / "pretrained_model", 3)
    put(checkpoint, tmp_path / "pretrained_model_ema", 4)
    assert steps(load_policy(tmp_path / "pretrained_model")) == 3
    assert "pretrained_model_ema" in caplog.text
    caplog.clear()
    assert steps(load_policy(tmp_path / "pretrained_model_ema")) == 4
    assert not caplog.text


def test_a_distributed_checkpoint_names_the_tool(checkpoint: Path, tmp_path: Path) -> None:
    directory = put(checkpoint, tmp_path / "pretrained_model")
    (directory / "model.safetensors").unlink()
    (directory / "pytorch_model_fsdp_0").mkdir()
    for name in ("__0_0.distcp", ".metadata"):
        (directory / "pytorch_model_fsdp_0" / name).write_bytes(b"shard")
    assert f"`lerobot-convert-dcp --checkpoint_dir={tmp_path}`" in refusal(directory)


@pytest.mark.parametrize("with_weights", [False, True])
def test_an_adapter_is_to_be_merged_first(checkpoint: Path, tmp_path: Path, with_weights: bool) -> None:
    directory = put(checkpoint, tmp_path / "adapter")
    (directory / "adapter_config.json").write_text("{}")
    (directory / "adapter_model.safetensors").write_bytes(b"")
    if not with_weights:
        (directory / "model.safetensors").unlink()
    message = refusal(directory)
    assert "PEFT" in message
    assert "merge_and_unload" in message


def test_a_pickle_of_the_weights_is_not_opened(checkpoint: Path, tmp_path: Path) -> None:
    directory = put(checkpoint, tmp_path / "old")
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    assert "pytorch_model.bin, which is not opened" in refusal(directory)


@pytest.mark.parametrize("name", ["model.safetensors", "pre_step_3.safetensors"])
def test_a_git_lfs_pointer_says_what_to_do(checkpoint: Path, tmp_path: Path, name: str) -> None:
    directory = put(checkpoint, tmp_path / "clone")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 206\n"
    (directory / name).write_text(pointer)
    message = refusal(directory)
    assert str(directory / name) in message
    assert "git lfs pull" in message


def shard(directory: Path, n_files: int) -> dict[str, str]:
    """Spread the weights over files, with an index. Returns tensor -> file."""
    tensors = load_file(directory / "model.safetensors")
    (directory / "model.safetensors").unlink()
    placed: dict[str, str] = {}
    for number in range(n_files):
        name = f"model-{number + 1:05}-of-{n_files:05}.safetensors"
        part = {key: tensors[key] for key in sorted(tensors)[number::n_files]}
        save_file(part, directory / name)
        placed |= dict.fromkeys(part, name)
    write_index(directory, placed)
    return placed


def write_index(directory: Path, placed: object) -> None:
    index = {"metadata": {"total_size": 1}, "weight_map": placed}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))


def test_weights_in_several_files_are_the_same_policy(checkpoint: Path, tmp_path: Path) -> None:
    directory = put(checkpoint, tmp_path / "shards")
    shard(directory, 3)
    sharded, whole = load_policy(directory), load_policy(checkpoint)
    assert sharded.spec == whole.spec  # the policy_id, too
    for name, tensor in whole.graph.state_dict().items():
        np.testing.assert_array_equal(sharded.graph.state_dict()[name], tensor)


INDICES: dict[str, tuple[Any, str]] = {
    "no object": ([1], "weight_map"),
    "nothing": ({}, "1 to 256 files"),
    "a path upwards": ({"model.a": "../x.safetensors"}, "in this directory"),
    "no name": ({"model.a": 1}, "in this directory"),
    "very many": ({f"model.{i}": f"{i}.safetensors" for i in range(300)}, "300"),
    "a file that is not there": ({"model.a": "other.safetensors"}, "other.safetensors: expected a safetensors file"),
    "a file forgotten": ({"model.a": "model-00001-of-00003.safetensors"}, "missing: "),
}


@pytest.mark.parametrize("case", INDICES)
def test_an_index_that_cannot_be_followed_is_refused(checkpoint: Path, tmp_path: Path, case: str) -> None:
    directory = put(checkpoint, tmp_path / "shards")
    shard(directory, 3)
    placed, word = INDICES[case]
    write_index(directory, placed)
    assert word in refusal(directory)


def test_processor_files_that_were_not_copied_are_named(checkpoint: Path, tmp_path: Path) -> None:
    directory = put(checkpoint, tmp_path / "copied")
    for path in (*directory.glob("policy_*"), *directory.glob("p*_step_*")):
        path.unlink()
    message = refusal(directory)
    for word in ("policy_preprocessor.json", "policy_postprocessor.json", "safetensors", "copy"):
        assert word in message


class FakeHub:
    """Stands in for the hub library: a download gives those of `files` that the patterns allow."""

    def __init__(self, source: Path | None, cache: Path) -> None:
        self.source, self.cache = source, cache
        self.asked: list[tuple[str, str | None]] = []

    def snapshot_download(
        self, repository: str, revision: str | None, allow_patterns: list[str], ignore_patterns: list[str]
    ) -> str:
        self.asked.append((repository, revision))
        files = self.list_repo_files(repository, revision)
        for file in files:
            path = Path(file)
            allowed = [p for p in allow_patterns if Path(p).parent == path.parent and path.match(p)]
            if allowed and self.source is not None:
                (self.cache / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(self.source / path, self.cache / path)
        return str(self.cache)

    def list_repo_files(self, repository: str, revision: str | None) -> list[str]:
        if self.source is None:
            raise OSError("no\nnetwork")
        return [str(path.relative_to(self.source)) for path in self.source.rglob("*") if path.is_file()]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """The hub with an empty repository; the working directory is empty, too."""
    for name in ("repository", "cache", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    fake = FakeHub(tmp_path / "repository", tmp_path / "cache")
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake)
    return fake


@pytest.mark.parametrize("prefix", ["hf:", ""])
def test_a_hub_id_is_downloaded_at_its_revision(
    checkpoint: Path, hub: FakeHub, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    put(checkpoint, hub.source, 3)
    assert steps(load_policy(f"{prefix}owner/name@v1.0")) == 3
    assert hub.asked == [("owner/name", "v1.0")]
    assert ("hf:owner/name@v1.0" in caplog.text) == (prefix == "")  # without hf: it is said


def test_a_mistyped_path_does_not_become_a_download(hub: FakeHub) -> None:
    Path("models/pick_cubes").mkdir(parents=True)
    message = refusal("models/pick_cube")
    assert "models/ is here" in message
    assert "hf:models/pick_cube" in message
    assert hub.asked == []


def test_the_prefix_means_the_hub_whatever_is_here(checkpoint: Path, hub: FakeHub) -> None:
    put(checkpoint, hub.source, 3)
    put(checkpoint, Path("owner/name"), 4)
    assert steps(load_policy("hf:owner/name")) == 3
    assert steps(load_policy("owner/name")) == 4


@pytest.mark.parametrize("name", ["hf:", "hf:name", "hf:a/b/c", "hf:./x", "hf:owner/name@", "hf:a b/c"])
def test_a_malformed_hub_id_is_refused(hub: FakeHub, name: str) -> None:
    assert "hf:owner/name@revision" in refusal(name)


@pytest.mark.parametrize(("last", "expected"), [(False, 6), (True, 5)])
def test_of_a_repository_with_trainings_steps_one_is_taken_and_said(
    checkpoint: Path, hub: FakeHub, caplog: pytest.LogCaptureFixture, last: bool, expected: int
) -> None:
    for step, number in (("9000", 4), ("010000", 6), *([("last", 5)] if last else [])):
        put(checkpoint, hub.source / "checkpoints" / step / "pretrained_model", number)
    (hub.source / "train_config.json").write_text("{}")
    assert steps(load_policy("hf:owner/name")) == expected
    taken = "last" if last else "010000"
    assert f"checkpoints/{taken}/pretrained_model" in caplog.text
    assert [path.parent.parent.name for path in hub.cache.rglob("model.safetensors")] == [taken]


def test_a_repository_without_a_policy_says_where_it_was_looked_for(hub: FakeHub) -> None:
    (hub.source / "meta.json").write_text("{}")
    message = refusal("hf:owner/name@v2")
    assert "pretrained_model" in message
    assert "@REVISION" in message


def test_a_hub_id_needs_the_hub_library(monkeypatch: pytest.MonkeyPatch, hub: FakeHub) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingDependencyError, match="pip install huggingface_hub"):
        load_policy("hf:owner/name@main")


def test_a_failed_download_is_one_line(hub: FakeHub) -> None:
    hub.source = None
    assert "no network" in refusal("hf:owner/name")


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
