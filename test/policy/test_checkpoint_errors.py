"""A checkpoint that cannot be used says so in one line: the file, the thing, what was expected and what was found."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from act_inference_ros.errors import CheckpointError
from act_inference_ros.policy.load import load_policy
from test.checkpoints import CAMERA, STATE, edit_json, golden_checkpoint, write_checkpoint

HEAD = "model.action_head.weight"


def refusal(directory: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_policy(directory)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edit_tensors(path: Path, change: Callable[[Any], object]) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


CONFIG_FAULTS = {
    "another policy": (lambda c: c.update(type="diffusion"), ["type", '"act"', "diffusion"]),
    "no type": (lambda c: c.pop("type"), ["type", '"act"', "none"]),
    "several observations": (lambda c: c.update(n_obs_steps=2), ["n_obs_steps", "expected 1", "found 2"]),
    "too many steps": (lambda c: c.update(n_action_steps=9), ["n_action_steps", "chunk_size = 8", "found 9"]),
    "ensembling a queue": (lambda c: c.update(temporal_ensemble_coeff=0.0), ["n_action_steps", "expected 1"]),
    "old ensembling": (lambda c: c.update(temporal_ensemble_momentum=0.9), ["temporal_ensemble_momentum", "0.9"]),
    "nothing to see": (lambda c: c.update(input_features=STATE), ["input_features", "VISUAL or ENV"]),
    "no inputs": (lambda c: c.pop("input_features"), ["input_features"]),
    "no action": (lambda c: c.update(output_features={}), ["output_features", "action"]),
    "glu": (lambda c: c.update(feedforward_activation="glu"), ["feedforward_activation", "relu, gelu", "glu"]),
    "not a resnet": (lambda c: c.update(vision_backbone="vit_b_16"), ["vision_backbone", "resnet18", "vit_b_16"]),
    "dilated basic blocks": (
        lambda c: c.update(replace_final_stride_with_dilation=True),
        ["replace_final_stride_with_dilation", "false"],
    ),
    "heads": (lambda c: c.update(n_heads=5), ["dim_model", "n_heads = 5", "32"]),
    "chunk size": (lambda c: c.update(chunk_size="8"), ["chunk_size", "whole number"]),
    "mode": (lambda c: c["normalization_mapping"].update(STATE="LOG"), ["normalization_mapping", "MEAN_STD", "LOG"]),
    "depth image": (
        lambda c: c["input_features"]["observation.images.top_cam"].update(shape=[1, 64, 96]),
        ["observation.images.top_cam", "(3, height, width)", "(1, 64, 96)"],
    ),
    "environment state under another name": (
        lambda c: c["input_features"].update({"observation.goal": {"type": "ENV", "shape": [3]}}),
        ["observation.goal", "observation.environment_state", "none"],
    ),
}


@pytest.mark.parametrize("fault", CONFIG_FAULTS)
def test_config_fault_is_named(tmp_path: Path, fault: str) -> None:
    change, words = CONFIG_FAULTS[fault]
    write_checkpoint(tmp_path)
    edit_json(tmp_path / "config.json", change)
    message = refusal(tmp_path)
    for word in (str(tmp_path / "config.json"), *words):
        assert word in message


WEIGHT_FAULTS = {
    "missing": (lambda t: t.pop(HEAD), ["missing: model.action_head.weight"]),
    "unknown": (lambda t: t.update({"model.extra.bias": t[HEAD]}), ["unknown: model.extra.bias"]),
    "shape": (lambda t: t.update({HEAD: t[HEAD][:3]}), [HEAD, "(4, 32)", "(3, 32)"]),
    "type": (lambda t: t.update({HEAD: t[HEAD].astype(np.int64)}), [HEAD, "floating-point", "I64"]),
    "not finite": (lambda t: t.update({HEAD: t[HEAD] * np.nan}), [HEAD, "finite", "nan"]),
    "twice": (lambda t: t.update({"model._orig_mod.action_head.weight": t[HEAD]}), [HEAD, "once"]),
}


@pytest.mark.parametrize("fault", WEIGHT_FAULTS)
def test_weight_fault_is_named(tmp_path: Path, fault: str) -> None:
    change, words = WEIGHT_FAULTS[fault]
    write_checkpoint(tmp_path)
    edit_tensors(tmp_path / "model.safetensors", change)
    message = refusal(tmp_path)
    for word in (str(tmp_path / "model.safetensors"), *words):
        assert word in message


STATISTIC_FAULTS = {
    "missing": (lambda t: t.pop("observation.state.std"), ["observation.state.std", "(5)", "none"]),
    "shape": (lambda t: t.update({"observation.state.std": np.ones(4, np.float32)}), ["(5)", "(4,)"]),
    "not finite": (lambda t: t.update({"observation.state.std": np.full(5, np.inf, np.float32)}), ["finite", "inf"]),
    "camera renamed by a migration": (
        lambda t: t.update({"observation.images.top.cam.mean": t.pop("observation.images.top_cam.mean")}),
        ["observation.images.top_cam.mean", "(3) or (3, 1, 1)", "none"],
    ),
}


@pytest.mark.parametrize("fault", STATISTIC_FAULTS)
def test_statistic_fault_is_named(tmp_path: Path, fault: str) -> None:
    change, words = STATISTIC_FAULTS[fault]
    write_checkpoint(tmp_path)
    edit_tensors(tmp_path / "pre_step_3.safetensors", change)
    message = refusal(tmp_path)
    for word in (str(tmp_path / "pre_step_3.safetensors"), *words):
        assert word in message


def insert_step(step: dict[str, Any]) -> Callable[[Any], object]:
    return lambda pipeline: pipeline["steps"].insert(0, step)


PROCESSOR_FAULTS = {
    "unknown step": (insert_step({"registry_name": "tokenizer_processor", "config": {}}), ["tokenizer_processor"]),
    "class to import": (insert_step({"class": "os.system", "config": {}}), ["registry_name", "os.system"]),
    "half precision": (lambda p: p["steps"][2]["config"].update(float_dtype="float16"), ["float_dtype", "float16"]),
    "unknown setting": (lambda p: p["steps"][3]["config"].update(clip=5), ["clip"]),
    "unknown mode": (lambda p: p["steps"][3]["config"]["norm_map"].update(STATE="LOG"), ["norm_map", "LOG"]),
    "path upwards": (lambda p: p["steps"][3].update(state_file="../x.safetensors"), ["state_file", "../x.safetensors"]),
    "absolute path": (lambda p: p["steps"][3].update(state_file="/etc/passwd"), ["state_file", "/etc/passwd"]),
    "no statistics": (lambda p: p["steps"][3].pop("state_file"), ["state_file", "none"]),
    "no normaliser": (lambda p: p["steps"].pop(3), ["normalizer_processor", "none"]),
    "two normalisers": (lambda p: p["steps"].append(p["steps"][3]), ["at most one"]),
    "two names for one": (
        lambda p: p["steps"][0]["config"].update(rename_map={"a": "observation.state", "b": "observation.state"}),
        ["rename_map", "observation.state", "['a', 'b']"],
    ),
    "renamed away": (
        lambda p: p["steps"][0]["config"].update(rename_map={"observation.state": "observation.other"}),
        ["rename_map", "observation.state", "[]"],
    ),
}


@pytest.mark.parametrize("fault", PROCESSOR_FAULTS)
def test_processor_fault_is_named(tmp_path: Path, fault: str) -> None:
    change, words = PROCESSOR_FAULTS[fault]
    write_checkpoint(tmp_path)
    edit_json(tmp_path / "policy_preprocessor.json", change)
    message = refusal(tmp_path)
    for word in ("policy_preprocessor.json", *words):
        assert word in message


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "policy_preprocessor.json", "policy_postprocessor.json"]
)
def test_missing_file_is_named(tmp_path: Path, name: str) -> None:
    write_checkpoint(tmp_path)
    (tmp_path / name).unlink()
    assert str(tmp_path / name) in refusal(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "pre_step_3.safetensors"])
@pytest.mark.parametrize("kept", [0, 5, 300])
def test_truncated_file_is_named(tmp_path: Path, name: str, kept: int) -> None:
    write_checkpoint(tmp_path)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:kept])
    assert str(tmp_path / name) in refusal(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "\udcff"])
def test_invalid_json_is_named(tmp_path: Path, text: str) -> None:
    write_checkpoint(tmp_path)
    (tmp_path / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert str(tmp_path / "config.json") in refusal(tmp_path)


def test_statistics_that_are_nowhere_are_named(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    for side in ("pre", "post"):
        (tmp_path / f"policy_{side}processor.json").unlink()
    message = refusal(tmp_path)
    for word in ("policy_preprocessor.json", "policy_postprocessor.json", "copy all four"):
        assert word in message


def test_unset_statistics_of_an_old_checkpoint_are_refused(tmp_path: Path) -> None:
    source = golden_checkpoint("c_old_format")
    name = "normalize_inputs.buffer_observation_images_cam_low.std"
    tensors = load_file(source / "model.safetensors")
    tensors[name] = np.full_like(tensors[name], np.inf)
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_bytes((source / "config.json").read_bytes())
    assert name in refusal(tmp_path)


def test_a_pickle_is_not_even_opened(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"type": "act", "input_features": CAMERA}))
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    edit_json(
        tmp_path / "config.json", lambda c: c.update(output_features={"action": {"type": "ACTION", "shape": [4]}})
    )
    assert "model.safetensors" in refusal(tmp_path)
