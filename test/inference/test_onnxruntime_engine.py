"""Engine onnxruntime: LeRobot's own numbers from a cached export, exported repositories without torch, refusals."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from act_inference_ros.errors import CheckpointError, ConfigurationError, NotReadyError, ObservationError
from act_inference_ros.inference.backend import DEVICE, ENGINE, PRECISION, PRECISION_ERROR, PROVIDERS
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.serving.export import export_policy
from test.checkpoints import STATE, golden_arrays, golden_checkpoint, observation_of, write_checkpoint
from test.torch_free import PROJECT, make_torch_free_environment

CASES = ("a_small_1cam", "b_std_2cam", "c_old_format", "d_temporal_ensemble")
INPUTS = {**STATE, "observation.images.top_cam": {"type": "VISUAL", "shape": [3, 64, 96]}}
COMPUTE = """
import sys
sys.modules["torch"] = None  # whatever is installed: an import fails
import json
import numpy as np
from act_inference_ros.inference.client import InferenceClient
with InferenceClient.create("local", checkpoint=sys.argv[1], engine="auto", isolation=sys.argv[2]) as client:
    arrays = dict(np.load(sys.argv[3]))
    print(json.dumps([client.policy_id, client.facts["engine"], client.predict(arrays).tolist()]))
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache directory of this module's own."""
    directory = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_CACHE_HOME", str(directory))
        yield directory


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(directory, inputs=INPUTS)
    return directory


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Path:
    directory = tmp_path_factory.mktemp("repository")
    export_policy(str(checkpoint), directory, log=lambda _: None)
    return directory


def create(checkpoint: Path, **options: Any) -> InferenceClient:
    return InferenceClient.create("local", checkpoint=checkpoint, **({"engine": "onnxruntime"} | options))


@pytest.mark.parametrize("isolation", ["thread", "process"])
@pytest.mark.parametrize("case", CASES)
def test_a_checkpoint_is_exported_once_and_computes_what_lerobot_does(cache: Path, case: str, isolation: str) -> None:
    observation, expected = golden_arrays(case, "observation"), golden_arrays(case, "expected")["chunk"][0]
    with create(golden_checkpoint(case), isolation=isolation) as client:
        chunk = client.predict({key: observation[key] for key in client.spec.keys})
        policy_id = client.policy_id
        assert client.facts[ENGINE].startswith("onnxruntime ")
        assert (client.facts[DEVICE], client.facts[PROVIDERS], client.facts[PRECISION]) == ("cpu", "cpu", "float32")
    np.testing.assert_allclose(chunk, expected, rtol=1e-4, atol=2e-4)
    entries = [
        entry for entry in (cache / "act_inference_ros" / "exports").iterdir() if entry.name.startswith(policy_id)
    ]
    assert len(entries) == 1
    with create(golden_checkpoint(case), engine="auto") as client:
        assert client.facts[ENGINE].startswith("onnxruntime "), "an export is at hand"


def test_auto_is_torch_where_nothing_is_exported(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with create(checkpoint, engine="auto", device="cpu") as client:
        assert client.facts[ENGINE].startswith("torch ")
    assert list(tmp_path.iterdir()) == [], "looking for an export makes no cache"


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_an_exported_repository_needs_neither_torch_nor_a_checkpoint(
    repository: Path, checkpoint: Path, tmp_path: Path, isolation: str
) -> None:
    observation = observation_of(INPUTS)
    np.savez(tmp_path / "observation.npz", **observation)
    python = make_torch_free_environment(tmp_path / "environment")
    command = [str(python), "-c", COMPUTE, str(repository), isolation, str(tmp_path / "observation.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=PROJECT)
    assert done.returncode == 0, done.stderr
    policy_id, engine, chunk = json.loads(done.stdout)
    with create(checkpoint, engine="torch", device="cpu") as client:
        assert policy_id == client.policy_id
        np.testing.assert_allclose(np.array(chunk), client.predict(observation), rtol=1e-4, atol=2e-4)
    assert engine.startswith("onnxruntime ")


def test_a_fallback_computes_an_exported_repository_while_no_server_answers(repository: Path, checkpoint: Path) -> None:
    options: dict[str, Any] = {"server": "127.0.0.1:1", "wait_s": 0.2, "timeout_s": 0.5, "fallback": "local"}
    with (
        InferenceClient.create("triton", checkpoint=repository, engine="onnxruntime", **options) as client,
        create(checkpoint, engine="torch", device="cpu") as expected,
    ):
        assert client.policy_id == expected.policy_id
        observation = observation_of(INPUTS)
        np.testing.assert_allclose(client.predict(observation), expected.predict(observation), rtol=1e-4, atol=2e-4)


def test_engine_torch_refuses_an_exported_repository(repository: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"is an exported repository; set engine to onnxruntime or auto$"):
        create(repository, engine="torch")


def test_a_checkpoint_that_cannot_be_read_is_said_before_anything_is_exported(tmp_path: Path, cache: Path) -> None:
    before = sorted(cache.rglob("*"))
    with pytest.raises(CheckpointError, match=r"expected a checkpoint directory"):
        create(tmp_path / "none")
    assert sorted(cache.rglob("*")) == before


def test_without_torch_a_checkpoint_cannot_be_read_and_that_is_one_line(checkpoint: Path, tmp_path: Path) -> None:
    python = make_torch_free_environment(tmp_path / "environment")
    code = (
        "import sys\n"
        "from act_inference_ros.errors import ActInferenceError\n"
        "from act_inference_ros.inference.client import InferenceClient\n"
        "try:\n    InferenceClient.create('local', checkpoint=sys.argv[1], engine='auto')\n"
        "except ActInferenceError as error:\n    print(error)\n"
    )
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": "/usr/bin:/bin"}
    command = [str(python), "-c", code, str(checkpoint)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, cwd=PROJECT, env=environment
    )
    expected = (
        r".* is a checkpoint, and reading one needs \w+: pip install torch safetensors, or give an exported repository"
    )
    assert re.match(expected, done.stdout), done.stderr
    assert len(done.stdout.splitlines()) == 1


def test_bad_observations_and_a_closed_client_are_errors_of_their_own(repository: Path) -> None:
    client = create(repository)
    with pytest.raises(ObservationError, match=r"observation\.state"):
        client.predict(observation_of(INPUTS) | {"observation.state": np.zeros(1, np.float32)})
    client.close()
    with pytest.raises(NotReadyError, match="closed"):
        client.predict(observation_of(INPUTS))


def test_the_error_of_float16_is_measured_per_action(checkpoint: Path, cache: Path) -> None:
    with create(checkpoint, precision="float16") as client:
        assert client.facts[PRECISION] == "float16"
        assert client.facts[PRECISION_ERROR].count("%") == client.spec.action_dim + 1
        assert any("float16 differs from float32 by at most" in note for note in client.notes)
    with create(checkpoint) as client:
        assert PRECISION_ERROR not in client.facts


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"providers": ["cuda"]}, r"provider cuda: this onnxruntime has cpu only; .*pip install onnxruntime-gpu$"),
        ({"providers": ["tensorrt", "cpu"]}, r"provider tensorrt: this onnxruntime has cpu only"),
        ({"providers": ["openvino"]}, r"provider openvino: .*pip install onnxruntime-openvino$"),
        ({"device": "cuda"}, r"provider cuda: this onnxruntime has cpu only"),
        ({"device": "mps"}, r"device 'mps': engine onnxruntime runs on auto, cpu, cuda or cuda:N$"),
        (
            {"device": "cuda", "providers": ["cpu"]},
            r"device cuda: expected cuda or tensorrt among the providers, got cpu$",
        ),
        ({"precision": "bfloat16"}, r"precision bfloat16: .*use engine torch, or precision float32$"),
        ({"precision": "bfloat16", "providers": ["cpu"]}, r"precision bfloat16: engine onnxruntime computes it with"),
        ({"precision": "float16"}, r"expected precision float16, it was exported in float32"),
        ({"compile": True}, r"compile: engine onnxruntime has nothing to compile; set compile to false$"),
    ],
)
def test_what_cannot_be_had_is_refused_in_one_line(repository: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as refusal:
        create(repository, **options)
    assert "\n" not in str(refusal.value)


def copied(repository: Path, directory: Path) -> Path:
    """A version's directory of its own."""
    (version,) = repository.glob("*/1")
    directory.mkdir()
    for name in ("model.onnx", "parity.json"):
        (directory / name).write_bytes((version / name).read_bytes())
    return directory


def test_a_graph_with_other_numbers_is_never_used(repository: Path, tmp_path: Path) -> None:
    version = copied(repository, tmp_path / "1")
    graph = onnx.load(version / "model.onnx")
    weights = max(graph.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    numbers = np.frombuffer(weights.raw_data, np.float32) * 1.5
    weights.raw_data = numbers.astype(np.float32).tobytes()
    onnx.save(graph, version / "model.onnx")
    with pytest.raises(ConfigurationError, match=r"computes something else than when it was exported: .* is allowed"):
        create(version)


def test_a_graph_that_states_another_policy_is_never_used(repository: Path, tmp_path: Path) -> None:
    version = copied(repository, tmp_path / "1")
    graph = onnx.load(version / "model.onnx")
    (stated,) = (tensor for tensor in graph.graph.initializer if tensor.name.endswith("/row"))
    stated.raw_data = bytes(32)
    onnx.save(graph, version / "model.onnx")
    with pytest.raises(
        ConfigurationError, match=r"expected policy \w+, as its parity.json says, the graph states 0000"
    ):
        create(version)


@pytest.mark.parametrize("content", [b"", b"no graph", b"\x08\x08" * 100])
def test_what_is_no_graph_is_said(repository: Path, tmp_path: Path, content: bytes) -> None:
    version = copied(repository, tmp_path / "1")
    (version / "model.onnx").write_bytes(content)
    with pytest.raises(ConfigurationError, match="onnxruntime cannot load it") as refusal:
        create(version)
    assert "\n" not in str(refusal.value)


def test_without_onnxruntime_it_says_what_to_install(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from act_inference_ros.errors import MissingDependencyError

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "act_inference_ros.inference.local.onnxruntime_engine", raising=False)
    with pytest.raises(MissingDependencyError, match=r"mode local needs onnxruntime: pip install onnxruntime$"):
        create(repository)
