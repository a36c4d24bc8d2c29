"""check_server on a real Triton: only right exports pass, and a user's mistake is answered with one line."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from safetensors.numpy import load_file, save_file

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.policy.reference import read_reference, reference_observations
from act_inference_ros.serving.check_server import main
from act_inference_ros.serving.export import export_policy
from act_inference_ros.serving.model_config import ServingOptions
from act_inference_ros.serving.triton_process import TritonProcess
from test.inference.triton_process import free_port
from test.serving.references import SPEC, written
from test.serving.serving_helpers import DEADLINE_S, camera_checkpoint, needs_triton, serve_otherwise, small_checkpoint

LARGEST_BATCH = 3
IMAGES_SHA256 = "20f4b0fca93529e2fa58c2c720654826e48d5111687400636eb372a543e8e8bc"
OTHER_WEIGHTS = "model.action_head.weight"
WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; from act_inference_ros.serving.check_server import main; "


@dataclass
class Servers:
    """`right` serves what was exported, `wrong` other weights under the same config.pbtxt.

    `wrong`'s act_policy says that it is another policy, its act_jpeg says that it is the right one.
    """

    checkpoint: str
    other_checkpoint: str
    parity: Path
    right: TritonProcess
    wrong: TritonProcess


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    root: Path = tmp_path_factory.mktemp("check_server")
    checkpoint, other = (camera_checkpoint(root / name) for name in ("checkpoint", "other"))
    weights = load_file(root / "other" / "model.safetensors")
    weights[OTHER_WEIGHTS] = weights[OTHER_WEIGHTS] * np.float32(1.01)
    save_file(weights, root / "other" / "model.safetensors")
    raw = ServingOptions(max_batch_size=LARGEST_BATCH, instances=2)
    jpeg = ServingOptions(name="act_jpeg", image_encoding="jpeg", max_batch_size=LARGEST_BATCH)
    version = export_policy(checkpoint, root / "right", raw).published.directory
    others = export_policy(other, root / "others", raw).published.directory
    parity = version / "parity.json"
    spec = read_reference(parity).spec
    serve_otherwise(version, root / "right", spec, jpeg)
    shutil.copytree(root / "right", root / "wrong")
    shutil.copy(others / "model.onnx", root / "wrong" / "act_policy" / "1" / "model.onnx")
    liar = onnx.load(others / "model.onnx")
    [stated] = [tensor for tensor in liar.graph.initializer if tensor.name == "stated_identity/row"]
    stated.raw_data = bytes.fromhex(read_reference(parity).policy_id)
    onnx.save(liar, root / "wrong" / "act_jpeg" / "1" / "model.onnx")
    with TritonProcess(root / "right") as right, TritonProcess(root / "wrong") as wrong:
        right.wait_ready(DEADLINE_S)
        wrong.wait_ready(DEADLINE_S)
        yield Servers(checkpoint, other, parity, right, wrong)


def executed_batches(server: TritonProcess, model: str) -> set[int]:
    import tritonclient.grpc as grpc

    with grpc.InferenceServerClient(server.address) as client:
        [statistics] = client.get_inference_statistics(model).model_stats
    return {batch.batch_size for batch in statistics.batch_stats}


@needs_triton
def test_a_right_export_passes_without_torch(servers: Servers) -> None:
    arguments = ["--parity", str(servers.parity), "--server", servers.right.address, "--requests", "6"]
    program = WITHOUT_TORCH + f"sys.exit(main({arguments!r}))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=DEADLINE_S)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-1].startswith(f"OK: act_policy on {servers.right.address} ")
    policy_id = json.loads(servers.parity.read_text())["policy_id"]
    assert f"policy       {policy_id[:16]}; the reference: {policy_id[:16]}" in result.stdout
    assert "act_policy version 1 on " in result.stdout
    assert f"compared     8 of 8 observations, in batches of 1 to {LARGEST_BATCH}" in result.stdout
    assert len(re.findall(r"action \d +error \S+e-0\d of its range .*, 1e-04 allowed", result.stdout)) == 4
    assert re.findall(r"p50 [\d.]+ ms, p95 [\d.]+ ms, (.*)", result.stdout) == ["1 client", "3 clients at once"]
    assert executed_batches(servers.right, "act_policy") >= set(range(1, LARGEST_BATCH + 1))


@needs_triton
def test_a_right_export_passes_beside_its_checkpoint(servers: Servers, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--checkpoint", servers.checkpoint, "--server", servers.right.address, "--requests", "2"]
    assert main(arguments) == 0
    assert "OK: " in capsys.readouterr().out


def test_a_checkpoint_without_torch_is_one_line_that_names_the_other_way(tmp_path: Path) -> None:
    arguments = ["--checkpoint", small_checkpoint(tmp_path), "--server", "127.0.0.1:1"]
    program = WITHOUT_TORCH + f"sys.exit(main({arguments!r}))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=DEADLINE_S)
    assert result.returncode == 2
    [line] = result.stderr.splitlines()
    assert "needs torch: pip install torch" in line
    assert line.endswith("or give --parity FILE")


@needs_triton
@pytest.mark.parametrize(("model", "compared"), [("act_policy", 8), ("act_jpeg", 3)])  # JPEG changes the others
def test_other_weights_of_the_same_shapes_do_not_pass(
    model: str, compared: int, servers: Servers, capsys: pytest.CaptureFixture[str]
) -> None:
    right, wrong = servers.right.address, servers.wrong.address
    options = ["--parity", str(servers.parity), "--model", model, "--requests", "1"]
    assert main([*options, "--server", right]) == 0
    assert main([*options, "--server", f"{right},{wrong}"]) == 1
    said = capsys.readouterr()
    assert f"NOT OK: {model} on {wrong}: it computes other actions: action " in said.err
    assert ("it says it serves policy" in said.err) is (model == "act_policy")
    assert right not in said.err
    assert said.out.count("OK: ") == 1
    assert said.out.count(f"compared     {compared} of 8 observations") == 3


@needs_triton
def test_another_policys_checkpoint_does_not_pass(servers: Servers, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--checkpoint", servers.other_checkpoint, "--server", servers.right.address, "--requests", "1"]
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert "it says it serves policy " in said.err
    assert "OK: " not in said.out


@needs_triton
def test_a_policy_of_other_shapes_is_not_asked_and_does_not_pass(
    servers: Servers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = small_checkpoint(tmp_path, chunk_size=9)
    assert main(["--checkpoint", other, "--server", servers.right.address]) == 1
    assert "another policy: chunk_size 9 and 8" in capsys.readouterr().err


@needs_triton
def test_a_tolerance_of_ones_own_is_what_decides(servers: Servers, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--parity", str(servers.parity), "--requests", "1"]
    assert main([*options, "--tolerance", "1e-12", "--server", servers.right.address]) == 1
    assert "1e-12 is allowed" in capsys.readouterr().err


@needs_triton
def test_a_server_that_does_not_answer_is_not_the_last_one_to_be_asked(
    servers: Servers, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--parity", str(servers.parity), "--requests", "1", "--wait-s", "0.5"]
    nobody = f"127.0.0.1:{free_port()}"
    assert main([*options, "--server", f"{nobody},{servers.right.address}"]) == 1
    said = capsys.readouterr()
    [line] = said.err.splitlines()
    assert line.startswith("check_server: NOT OK: ")
    assert nobody in line
    assert f"act_policy version 1 on {servers.right.address}" in said.out
    assert "OK: " not in said.out


@needs_triton
def test_a_model_that_is_not_there_is_one_line(servers: Servers, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--parity", str(servers.parity), "--server", servers.right.address]
    assert main([*options, "--model", "nothing", "--wait-s", "0.2"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("check_server: NOT OK: ")
    assert "no model nothing" in line


def test_a_reference_is_read_as_it_was_written(tmp_path: Path) -> None:
    read = read_reference(written(tmp_path / "parity.json"))
    again = reference_observations(SPEC, *2 * ({"observation.state": np.arange(3.0)},))
    assert (read.spec, read.policy_id, read.tolerance) == (SPEC, "a" * 64, 1e-4)
    assert list(read.observations) == list(again)
    for name, inputs in again.items():
        for key, rows in inputs.items():
            np.testing.assert_array_equal(read.observations[name][key], rows, strict=True)
    assert read.errors(read.actions, range(8)).max() == 0
    assert read.errors(np.full((1, 6, 2), np.nan), [3]).min() == np.inf


def test_the_images_are_the_same_on_every_machine(tmp_path: Path) -> None:
    fields = json.loads(written(tmp_path / "parity.json").read_text())
    assert fields["reference"]["images_sha256"] == IMAGES_SHA256


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reference": None}, "there is no 'reference' in it"),  # written by an earlier version
        ({"policy_id": None}, "there is no 'policy_id' in it"),
        ({"policy_id": ""}, "expected a policy_id of 64"),
        ({"tolerance": 2.0}, "a tolerance between 0 and 1"),
        ({"ranges": [1.0]}, "2 ranges above 0"),
        ({"observations": ["one"]}, "its observations are"),
        ({"reference": []}, "cannot judge a server by it"),
    ],
)
def test_a_reference_by_which_nothing_can_be_judged_is_a_mistake(
    changes: dict[str, Any], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "parity.json", **changes)
    assert main(["--parity", str(path), "--server", "localhost:1"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert words in line
    assert str(path) in line


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("seed", 1, "the images made here are not those"),
        ("actions", "AAAA", "cannot judge"),
        ("spec", {}, "not a PolicySpec"),
        ("actions", None, "cannot judge"),
    ],
)
def test_a_damaged_reference_is_refused(field: str, value: Any, words: str, tmp_path: Path) -> None:
    path = written(tmp_path / "parity.json")
    fields = json.loads(path.read_text())
    fields["reference"][field] = value
    path.write_text(json.dumps(fields))
    with pytest.raises(ConfigurationError, match=words):
        read_reference(path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--parity", "/nonexistent"], "No such file"),
        (["--parity", __file__], "got no JSON"),
        (["--parity", "x", "--server", "localhost"], "host:port"),
        (["--parity", "x", "--version", "one"], "a whole number"),
        (["--checkpoint", "/nonexistent"], "/nonexistent"),
    ],
)
def test_a_mistake_is_answered_with_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert words in line
