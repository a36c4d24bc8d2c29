"""export_policy: what it writes, and that it writes nothing that it has not compared."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.numpy import load_file, save_file

from act_inference_ros import InferenceClient
from act_inference_ros.errors import ConfigurationError
from act_inference_ros.policy.load import LoadedPolicy
from act_inference_ros.serving import export, exporting
from act_inference_ros.serving.export import PYTHON_SOURCES, export_policy
from act_inference_ros.serving.model_config import ServingOptions, config_pbtxt, read_versions
from test.checkpoints import golden_checkpoint, write_checkpoint
from test.serving.serving_helpers import CAMERAS, ENVIRONMENT, observation, small_checkpoint

PROJECT = Path(__file__).parents[2]

ONE_CAMERA = dict(list(CAMERAS.items())[1:])

VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "no state, pre_norm, gelu": (
        ENVIRONMENT,
        {"pre_norm": True, "feedforward_activation": "gelu", "n_decoder_layers": 2},
    ),
    "dilation": (ONE_CAMERA, {"vision_backbone": "resnet50", "replace_final_stride_with_dilation": True}),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_kind_of_policy_exports_and_computes_what_local_mode_computes(variant: str, tmp_path: Path) -> None:
    inputs, fields = VARIANTS[variant]
    write_checkpoint(tmp_path, inputs, **fields)
    exported = export_policy(str(tmp_path), tmp_path / "repository")
    session = onnxruntime.InferenceSession(exported.published.directory / "model.onnx")
    with InferenceClient.create(mode="local", checkpoint=tmp_path, device="cpu") as client:
        observations = [observation(client.spec, seed) for seed in range(3)]
        wanted = np.stack([client.predict(one) for one in observations])
        assert [i.name for i in session.get_inputs()] == list(client.spec.keys)
    batch = {key: np.stack([one[key] for one in observations]) for key in observations[0]}
    np.testing.assert_allclose(session.run(["action"], batch)[0], wanted, rtol=1e-4, atol=1e-4)


def test_a_checkpoint_of_lerobots_exports_with_its_parity_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exported = export_policy(str(golden_checkpoint("c_old_format")), tmp_path)
    version = tmp_path / "act_policy" / "1"
    assert sorted(path.name for path in version.iterdir()) == [
        "jpeg_header.py",
        "model.onnx",
        "model.py",
        "parity.json",
    ]
    assert [path.name for path in (tmp_path / "act_policy").iterdir() if path.name.startswith(".")] == []
    spec = exporting.load_policy(golden_checkpoint("c_old_format")).spec
    config = (tmp_path / "act_policy" / "config.pbtxt").read_text()
    assert config.startswith(config_pbtxt(spec, ServingOptions()))
    assert read_versions(config)["1"]["policy_id"] == spec.policy_id
    for name, source in PYTHON_SOURCES.items():
        assert (version / name).read_bytes() == source.read_bytes()
    model = onnx.load(version / "model.onnx")
    assert (model.ir_version, model.opset_import[0].version) == (8, 18)  # what older servers load, too
    report = json.loads((version / "parity.json").read_text())
    assert report["passed"] is True
    assert report["policy_id"] == spec.policy_id
    assert report["exported_by"].startswith("act_inference_ros")
    assert [batch["batch_size"] for batch in report["batches"]] == [1, 8]
    assert 0 < report["error"] < 1e-4
    assert exported.parity.table() in capsys.readouterr().out


def test_the_graph_tells_nothing_of_the_machine_that_exported_it(tmp_path: Path) -> None:
    exported = export_policy(small_checkpoint(tmp_path / "checkpoint"), tmp_path / "repository")
    model = onnx.load(exported.published.directory / "model.onnx")
    for weights in model.graph.initializer:
        weights.ClearField("raw_data")  # any bytes may be in there
    text = str(model)
    for trace in (str(PROJECT), str(Path(torch.__file__).parents[1]), ".py", "File ", "/home", "/tmp", "\\\\"):  # noqa: S108
        assert trace not in text, trace
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert model.doc_string.startswith("ACT policy, float32")  # what we say of it ourselves stays


def test_float16_is_the_networks_only_and_has_a_parity_of_its_own(tmp_path: Path) -> None:
    options = ServingOptions(backend="onnxruntime", device="gpu")
    exported = export_policy(small_checkpoint(tmp_path / "checkpoint"), tmp_path, options, precision="float16")
    model = onnx.load(exported.published.directory / "model.onnx")
    weights = [
        tensor
        for tensor in model.graph.initializer
        if len(tensor.dims) == 2 and tensor.data_type != onnx.TensorProto.UINT8
    ]
    assert {tensor.data_type for tensor in weights} == {onnx.TensorProto.FLOAT16}
    action, policy_id = model.graph.output
    assert {i.type.tensor_type.elem_type for i in (*model.graph.input, action)} == {onnx.TensorProto.FLOAT}
    assert policy_id.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert exported.parity.precision == "float16"
    assert 1e-5 < exported.parity.error < 2e-2
    assert sorted(p.name for p in exported.published.directory.iterdir()) == ["model.onnx", "parity.json"]


def test_a_failed_parity_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def shifted(policy: LoadedPolicy, precision: str) -> Any:  # a thousandth of the first action's standard deviation
        policy.graph.unnormalize.offset[0] += 1e-3 * policy.graph.unnormalize.scale[0]
        return onnx_graph(policy, precision)

    onnx_graph = exporting.onnx_graph
    monkeypatch.setattr(exporting, "onnx_graph", shifted)
    repository = tmp_path / "repository"
    status = export.main(["--checkpoint", small_checkpoint(tmp_path / "c"), "--repository", str(repository)])
    assert status == 2
    assert "parity failed" in capsys.readouterr().err
    assert not repository.exists()


def with_a_still_joint(directory: Path) -> str:
    """A policy in whose data one joint of the state did not move."""
    checkpoint = small_checkpoint(directory)
    statistics = load_file(directory / "pre_step_3.safetensors")
    statistics["observation.state.std"][3] = 0.0
    save_file(statistics, directory / "pre_step_3.safetensors")
    return checkpoint


def test_a_joint_that_did_not_move_is_tried_off_its_place(tmp_path: Path) -> None:
    checkpoint = with_a_still_joint(tmp_path / "checkpoint")
    exported = export_policy(checkpoint, tmp_path / "float32")
    assert exported.parity.passed
    with pytest.raises(ConfigurationError, match=r"parity failed: .* float16; .*observation\.state\[3\] did not move"):
        export_policy(checkpoint, tmp_path / "float16", precision="float16")
    assert not (tmp_path / "float16").exists()


def test_another_policy_is_not_served_under_the_old_ones_config(tmp_path: Path) -> None:
    first = small_checkpoint(tmp_path / "first")
    export_policy(first, tmp_path)
    before = sorted(tmp_path.glob("act_policy/*"))
    other = small_checkpoint(tmp_path / "other", chunk_size=9)
    with pytest.raises(ConfigurationError, match=r"serves another model \(spec.*another --name"):
        export_policy(other, tmp_path)
    with pytest.raises(ConfigurationError, match=r"serves another model \(backend"):
        export_policy(first, tmp_path, ServingOptions(backend="onnxruntime"))
    assert sorted(tmp_path.glob("act_policy/*")) == before


def test_the_committed_model_is_what_the_exporter_writes(tmp_path: Path) -> None:
    pytest.importorskip("mujoco", reason="the committed model is the demo's policy")
    from act_inference_ros.policy.network import ActNetwork
    from act_inference_ros.simulation.checkpoint import write_checkpoint as write_demo
    from act_inference_ros.simulation.learner import NormalizationStatistics, TrainedPolicy, small_act

    config = small_act(96, 96)
    ones = {f.key: np.ones((3, 1, 1) if f.kind == "VISUAL" else f.shape, np.float32) for f in config.inputs}
    ones["action"] = np.ones(config.action_dim, np.float32)
    statistics = {key: NormalizationStatistics(mean=one, std=one, min=-one, max=one) for key, one in ones.items()}
    write_demo(TrainedPolicy(ActNetwork(config), config, statistics), tmp_path)
    committed = PROJECT / "model_repository" / "act_policy"
    spec = exporting.load_policy(tmp_path).spec
    assert (committed / "config.pbtxt").read_text() == config_pbtxt(spec, ServingOptions())
    for name, source in PYTHON_SOURCES.items():
        assert (committed / "1" / name).read_bytes() == source.read_bytes()


def test_jpeg_images_need_the_python_backend(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--checkpoint", "unused", "--repository", str(tmp_path), "--backend", "onnxruntime"]
    assert export.main([*arguments, "--image-encoding", "jpeg"]) == 2
    assert "an ONNX graph cannot decode JPEG; use --backend python" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (["--checkpoint", "/nonexistent"], "/nonexistent"),
        (["--name", "a/b"], "name 'a/b'"),
        (["--max-batch-size", "0"], "max batch size: expected at least 1"),
    ],
)
def test_a_mistake_is_answered_with_one_line(
    mistake: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export.main(["--checkpoint", str(tmp_path), "--repository", str(tmp_path / "r"), *mistake]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "r").exists()
