"""A policy is described without PyTorch, and in the same words as where it is loaded with it."""

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_tensors

from act_inference_ros.errors import CheckpointError
from act_inference_ros.policy.description import describe_policy
from act_inference_ros.policy.graph import AffineMap
from act_inference_ros.policy.load import load_policy
from act_inference_ros.policy.normalization import REALISTIC_ERROR
from act_inference_ros.policy.tensors import TensorFiles
from act_inference_ros.spec import ENVIRONMENT_STATE_KEY, STATE_KEY, PolicySpec
from test.checkpoints import (
    ACTION,
    STATE,
    as_hydra,
    edit_json,
    write_buffer_checkpoint,
    write_checkpoint,
    write_config,
)

WITHOUT_TORCH = """
import json, sys
sys.modules["torch"] = None
from act_inference_ros.policy.description import describe_policy
policy = describe_policy(sys.argv[1])
centres, spreads = policy.vector_data()
data = {key: [values.tolist() for values in (centres[key], spreads[key])] for key in centres}
imported = [name for name, module in sys.modules.items() if name.split(".")[0] == "torch" and module is not None]
print(json.dumps([policy.spec.to_json(), list(policy.warnings), data, policy.action_spread().tolist(), imported]))
"""
ENVIRONMENT = {ENVIRONMENT_STATE_KEY: {"type": "ENV", "shape": [7]}}
VECTORS = {**STATE, **ENVIRONMENT}
BUFFER_MODES = {"STATE": "MIN_MAX", "ENV": "MEAN_STD", "ACTION": "MEAN_STD"}
STATE_FILE = "pre_step_3.safetensors"


def processor_files(directory: Path) -> Path:
    """A checkpoint as LeRobot writes it since 0.4.0; one joint did not move, so that there is a warning."""
    modes = {"STATE": "MEAN_STD", "ENV": "QUANTILES", "ACTION": "MIN_MAX"}
    write_checkpoint(directory, inputs=VECTORS, rename={"robot.state": STATE_KEY}, normalization_mapping=modes)
    statistics = load_file(directory / STATE_FILE)
    statistics[f"{STATE_KEY}.std"][3] = 0.0
    save_file(statistics, directory / STATE_FILE)
    return directory


def statistics_in_the_weights(directory: Path) -> Path:
    """A checkpoint as LeRobot wrote it up to 0.3.3."""
    config = write_config(directory, VECTORS, normalization_mapping=BUFFER_MODES)
    features = {**VECTORS, **ACTION}
    modes = {key: BUFFER_MODES[str(each["type"])] for key, each in features.items()}
    write_buffer_checkpoint(directory, config, features, modes)
    return directory


def config_without_type(directory: Path) -> Path:
    """A checkpoint as LeRobot wrote it before February 2025."""
    edit_json(statistics_in_the_weights(directory) / "config.json", as_hydra)
    return directory


GENERATIONS = (processor_files, statistics_in_the_weights, config_without_type)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_it_says_without_torch_what_loading_says(generation: Any, tmp_path: Path) -> None:
    directory = generation(tmp_path)
    command = [sys.executable, "-c", WITHOUT_TORCH, str(directory)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    spec, warnings, data, action_spread, imported = json.loads(printed)
    policy = load_policy(directory)
    assert imported == []
    assert PolicySpec.from_json(spec) == policy.spec
    assert len(policy.spec.policy_id) == 64
    assert tuple(warnings) == policy.warnings
    assert len(warnings) == (generation is processor_files)
    assert list(data) == list(policy.spec.vectors)
    assert action_spread == policy.graph.unnormalize.scale.tolist()
    for affine, (centre, spread) in zip(policy.graph.normalize, data.values(), strict=False):  # then come the images
        assert isinstance(affine, AffineMap)
        moved = np.array(spread) != REALISTIC_ERROR
        low, high = (normalized(affine, np.array(centre) + steps * np.array(spread)) for steps in (0.0, 1.0))
        np.testing.assert_allclose(low, 0.0, atol=1e-6)
        np.testing.assert_allclose(high[moved], 1.0, rtol=1e-5)


def normalized(affine: AffineMap, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """What `affine` makes of the values, computed in float64."""
    scale, shift, offset = (tensor.double().numpy() for tensor in (affine.scale, affine.shift, affine.offset))
    result: npt.NDArray[np.float64] = (values - shift) * scale + offset
    return result


def test_a_joint_that_did_not_move_gets_the_spread_of_a_realistic_error(tmp_path: Path) -> None:
    _, spreads = describe_policy(processor_files(tmp_path)).vector_data()
    std = load_file(tmp_path / STATE_FILE)[f"{STATE_KEY}.std"].astype(np.float64)
    std[3] = REALISTIC_ERROR
    np.testing.assert_allclose(spreads["robot.state"], std, rtol=1e-6)


def test_a_warning_is_said_once_though_a_policy_is_described_and_loaded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = processor_files(tmp_path)
    with caplog.at_level(logging.WARNING):
        [warning] = describe_policy(directory).warnings
        load_policy(directory)
    assert caplog.text.count(warning) == 1


def test_an_incomplete_file_is_refused_in_the_same_words_as_when_it_is_loaded(tmp_path: Path) -> None:
    weights = processor_files(tmp_path) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    messages = []
    for read in (describe_policy, load_policy):
        with pytest.raises(CheckpointError) as caught:
            read(tmp_path)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert str(weights) in messages[0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 5)])
def test_a_tensor_is_read_as_torch_converts_it(tmp_path: Path, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    random = torch.Generator().manual_seed(0)
    tensor = (torch.randn(shape, generator=random, dtype=torch.float64) * 1e-6).to(dtype)
    path = tmp_path / "a.safetensors"
    # A byte before it, so that its numbers do not begin where a processor reads them best.
    save_tensors({"model.a": torch.ones(1, dtype=torch.uint8), "model.b": tensor}, path)
    with TensorFiles(path) as file:
        values = file.read("model.b", shape)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, tensor.float().numpy(), strict=True)
    path.write_bytes(b"")  # a copy, which is still valid when the file is closed
    assert np.isfinite(values).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_refused_in_every_type(
    tmp_path: Path, dtype: torch.dtype, number: float
) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors({"a": torch.tensor([1.0, number], dtype=dtype)}, path)
    with TensorFiles(path) as file, pytest.raises(CheckpointError, match=f"finite numbers; found {number}"):
        file.read("a", (2,))


def test_a_policy_in_bfloat16_is_the_one_with_the_rounded_numbers(tmp_path: Path) -> None:
    write_checkpoint(
        tmp_path, inputs=VECTORS, normalization_mapping=dict.fromkeys(("STATE", "ENV", "ACTION"), "MIN_MAX")
    )
    path = tmp_path / "model.safetensors"
    stored = {name: torch.from_numpy(array).bfloat16() for name, array in load_file(path).items()}
    save_tensors(stored, path)
    loaded = load_policy(tmp_path).graph.network.state_dict()
    for name, tensor in stored.items():
        assert torch.equal(loaded[name.removeprefix("model.")], tensor.float())
