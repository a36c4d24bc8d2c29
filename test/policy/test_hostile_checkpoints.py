"""Damaged and hostile files: a CheckpointError and nothing else, before they cost much memory or time."""

import json
import os
import resource
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from act_inference_ros.errors import CheckpointError
from act_inference_ros.policy import bounds
from act_inference_ros.policy.config import read_config
from act_inference_ros.policy.load import load_policy
from act_inference_ros.policy.network import ActNetwork
from test.checkpoints import CAMERA, STATE, edit_json, write_checkpoint

HUGE = 2**40
ENVIRONMENT = {"observation.environment_state": {"type": "ENV", "shape": [7]}}
TOP = "observation.images.top_cam"
STATISTICS = ("pre_step_3.safetensors", "post_step_0.safetensors")
GIGABYTES = 3 * 2**30


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """Limit the memory of this process, so that too large a request fails instead of stopping the machine."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + GIGABYTES, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("small")
    write_checkpoint(directory)
    return directory


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint without a camera, which loads quickly."""
    directory = tmp_path_factory.mktemp("tiny")
    modes = dict.fromkeys(("STATE", "ENV", "ACTION"), "MEAN_STD")
    write_checkpoint(directory, inputs={**STATE, **ENVIRONMENT}, normalization_mapping=modes)
    return directory


@pytest.fixture
def copy(small: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small, tmp_path / "checkpoint"))


def refusal(directory: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_policy(directory)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 1500
    message.encode()  # it can be printed
    return message


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def cameras(number: int, shape: list[int]) -> dict[str, Any]:
    return {f"observation.images.c{i}": {"type": "VISUAL", "shape": shape} for i in range(number)}


CONFIGS: dict[str, tuple[dict[str, Any], str]] = {
    "image of a terapixel": ({"input_features": cameras(1, [3, HUGE, HUGE])}, "at most 8192"),
    "very many pixels": ({"input_features": cameras(200, [3, 4000, 4000])}, "pixels"),
    "very many cameras": ({"input_features": cameras(300, [3, 64, 96])}, "256"),
    "image without height": ({"input_features": cameras(1, [3, 0, 96])}, "shape"),
    "image without shape": ({"input_features": cameras(1, [])}, "(3, height, width)"),
    "state of 2^40": ({"input_features": {**CAMERA, "observation.state": {"type": "STATE", "shape": [HUGE]}}}, "4096"),
    "state without shape": (
        {"input_features": {**CAMERA, "observation.state": {"type": "STATE", "shape": []}}},
        "vector",
    ),
    "goal of 2^40": (
        {"input_features": {"observation.environment_state": {"type": "ENV", "shape": [HUGE]}}},
        "observation.environment_state",
    ),
    "action of 2^40": ({"output_features": {"action": {"type": "ACTION", "shape": [HUGE]}}}, "4096"),
    "name that cannot be printed": ({"input_features": {**CAMERA, "\ud800": STATE["observation.state"]}}, "\\ud800"),
    "name with a new line": ({"input_features": {**CAMERA, "a\nb": STATE["observation.state"]}}, "printable"),
    **{f"{name} of 2^40": ({name: HUGE}, name) for name in bounds.COUNTS},
    **{f"{name} of 10^400": ({name: 10**400}, name) for name in bounds.COUNTS},
    "20,000 layers": ({"n_encoder_layers": 20_000}, "n_encoder_layers"),
    "a network of terabytes": ({"dim_model": 65_536, "dim_feedforward": 262_144}, "expected floating-point numbers"),
    "coefficient of 10^400": ({"temporal_ensemble_coeff": 10**400, "n_action_steps": 1}, "temporal_ensemble_coeff"),
    "coefficient that overflows": ({"temporal_ensemble_coeff": -200.0, "n_action_steps": 1}, "from -87.5 to 700"),
    "deep": ({"type": nested(500)}, "32 levels"),
    "very deep": ({"vision_backbone": nested(900)}, "32 levels"),
    "long": ({"type": "x" * 100_000}, "(100002 characters)"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_a_config_that_asks_for_too_much_is_refused(copy: Path, case: str) -> None:
    fields, word = CONFIGS[case]
    edit_json(copy / "config.json", lambda config: config.update(fields))
    message = refusal(copy)
    assert word in message
    assert str(copy) in message


TEXTS: dict[str, tuple[bytes, str]] = {
    "NaN": (b'{"type": NaN}', "NaN"),
    "Infinity": (b'{"dropout": -Infinity}', "-Infinity"),
    "1e400": (b'{"dropout": 1e400}', "1e400"),
    "5000 digits": (b'{"dropout": ' + b"9" * 5000 + b"}", "JSON"),
    "a key twice": (b'{"chunk_size": 8, "a": {"type": 1, "type": 2}}', "type more than once"),
    "100,000 levels": (b"[" * 100_000, "32 levels"),
    "100,000 levels of objects": (b'{"a":' * 100_000, "32 levels"),
    "UTF-16": ('{"type": "act"}'.encode("utf-16"), "JSON"),
    "Latin-1": ('{"type": "äct"}'.encode("latin-1"), "JSON"),
    "empty": (b"", "JSON"),
    "zeros": (bytes(100), "JSON"),
}


@pytest.mark.parametrize("name", ["config.json", "policy_preprocessor.json", "policy_postprocessor.json"])
@pytest.mark.parametrize("case", TEXTS)
def test_a_text_that_is_no_plain_json_is_refused(copy: Path, name: str, case: str) -> None:
    content, word = TEXTS[case]
    (copy / name).write_bytes(content)
    message = refusal(copy)
    assert word in message
    assert str(copy / name) in message


FILES = ("config.json", "policy_preprocessor.json", "model.safetensors", *STATISTICS)


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_gigabytes_is_not_read(copy: Path, name: str) -> None:
    with (copy / name).open("wb") as file:
        file.truncate(9 * 2**30)  # a hole, which takes no space
    assert str(copy / name) in refusal(copy)


@pytest.mark.parametrize("name", FILES)
def test_anything_but_a_regular_file_is_refused(copy: Path, name: str) -> None:
    path = copy / name
    path.unlink()
    path.mkdir()
    assert "found a directory" in refusal(copy)
    path.rmdir()
    os.mkfifo(path)  # would be waited on for ever
    assert "a pipe or a device" in refusal(copy)
    path.unlink()
    path.symlink_to(path)
    assert f"{path}: " in refusal(copy)


@pytest.mark.parametrize("name", FILES)
def test_a_file_without_permission_is_refused(copy: Path, name: str) -> None:
    (copy / name).chmod(0)
    if os.access(copy / name, os.R_OK):
        pytest.skip("root may read everything")
    assert "Permission denied" in refusal(copy)


PROCESSORS: dict[str, tuple[Callable[[Any], object], str]] = {
    "eps of 10^400": (lambda step: step["config"].update(eps=10**400), "eps"),
    "eps below 0": (lambda step: step["config"].update(eps=-1e-8), "eps"),
    "eps that is no number": (lambda step: step["config"].update(eps=True), "eps"),
    "a config that is none": (lambda step: step.update(config=[1]), "config"),
    "state_file that is a list": (lambda step: step.update(state_file=["a"]), "state_file"),
    "state_file that is a directory": (lambda step: step.update(state_file="."), "found a directory"),
    "state_file with a null": (lambda step: step.update(state_file="a\0b"), "state_file"),
    "state_file of 10,000 letters": (lambda step: step.update(state_file="a" * 10_000), "state_file"),
    "mode that is a list": (lambda step: step["config"]["norm_map"].update(STATE=["MEAN_STD"]), "norm_map"),
}


@pytest.mark.parametrize("case", PROCESSORS)
def test_a_hostile_step_is_refused(copy: Path, case: str) -> None:
    change, word = PROCESSORS[case]
    edit_json(copy / "policy_preprocessor.json", lambda pipeline: change(pipeline["steps"][3]))
    assert word in refusal(copy)


def test_a_directory_without_permission_is_refused(copy: Path) -> None:
    copy.chmod(0)
    if os.access(copy, os.X_OK):
        pytest.skip("root may read everything")
    message = refusal(copy)
    copy.chmod(0o700)
    assert "Permission denied" in message


def test_a_rename_to_a_name_that_cannot_be_printed_is_refused(copy: Path) -> None:
    rename = {"\ud800": "observation.state"}
    edit_json(copy / "policy_preprocessor.json", lambda p: p["steps"][0]["config"].update(rename_map=rename))
    assert "rename_map" in refusal(copy)


TENSORS: dict[str, tuple[dict[str, Any], str]] = {
    "negative std": ({"observation.state.std": np.array([1, 1, -0.5, 1, 1], np.float32)}, "at least 0, at index 2"),
    "std of bool": ({"observation.state.std": np.ones(5, bool)}, "BOOL (5,)"),
    "std of int": ({"observation.state.std": np.ones(5, np.int32)}, "I32 (5,)"),
    "mean without dimensions": ({"observation.state.mean": np.array(0.0, np.float32)}, "()"),
    "mean of 1e38": ({"observation.state.mean": np.full(5, 1e38, np.float32)}, "1e+30"),
    "mean of NaN": ({f"{TOP}.mean": np.full((3, 1, 1), np.nan, np.float32)}, "finite"),
    "float64 beyond float32": ({"observation.state.mean": np.full(5, 1e300)}, "finite"),
}


@pytest.mark.parametrize("case", TENSORS)
def test_invalid_statistics_are_refused(copy: Path, case: str) -> None:
    change, word = TENSORS[case]
    save_file({**load_file(copy / STATISTICS[0]), **change}, copy / STATISTICS[0])
    assert word in refusal(copy)


@pytest.mark.parametrize("mode", ["MIN_MAX", "QUANTILES", "QUANTILE10"])
def test_a_range_upside_down_is_refused(copy: Path, mode: str) -> None:
    for name in ("pre", "post"):
        edit_json(
            copy / f"policy_{name}processor.json",
            lambda p: [step["config"].get("norm_map", {}).update(STATE=mode) for step in p["steps"]],
        )
    statistics = load_file(copy / STATISTICS[0])
    for upper in ("max", "q99", "q90"):
        statistics[f"observation.state.{upper}"][3] = -5.0
    save_file(statistics, copy / STATISTICS[0])
    assert "at index 3" in refusal(copy)


def test_a_spread_of_zero_without_eps_is_refused(copy: Path) -> None:
    statistics = load_file(copy / STATISTICS[0])
    statistics["observation.state.std"][1] = 0.0
    save_file(statistics, copy / STATISTICS[0])
    edit_json(copy / "policy_preprocessor.json", lambda p: p["steps"][3]["config"].update(eps=0))
    assert "at index 1" in refusal(copy)


def safetensors_bytes(header: object, contents: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + contents


def entry(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


HEADERS: dict[str, bytes] = {
    "length of 2^63": safetensors_bytes({}, length=2**63),
    "length of 90 MB": safetensors_bytes(b"{}".ljust(90_000_000)),
    "length beyond the file": safetensors_bytes({}, length=1000),
    "no JSON": safetensors_bytes(b"\xff" * 64),
    "deep": safetensors_bytes(b"[" * 100_000),
    "a list": safetensors_bytes([1, 2]),
    "beyond the file": safetensors_bytes({"model.a": entry([4], 0, 16)}, bytes(8)),
    "backwards": safetensors_bytes({"model.a": entry([4], 16, 0)}, bytes(16)),
    "overlapping": safetensors_bytes({"a": entry([4], 0, 16), "b": entry([4], 8, 24)}, bytes(24)),
    "shape that overflows": safetensors_bytes({"a": entry([2**40, 2**40], 0, 16)}, bytes(16)),
    "shape that lies": safetensors_bytes({"a": entry([5], 0, 16)}, bytes(16)),
    "negative shape": safetensors_bytes({"a": entry([-4], 0, 16)}, bytes(16)),
    "unknown type": safetensors_bytes({"a": entry([4], 0, 16, "F99")}, bytes(16)),
    "bytes after the end": safetensors_bytes({"a": entry([4], 0, 16)}, bytes(99)),
}


@pytest.mark.parametrize("name", ["model.safetensors", STATISTICS[0]])
@pytest.mark.parametrize("case", HEADERS)
def test_a_header_that_lies_is_refused(copy: Path, name: str, case: str) -> None:
    (copy / name).write_bytes(HEADERS[case])
    assert str(copy / name) in refusal(copy)


@pytest.mark.parametrize("dtype", ["BOOL", "I32", "U8", "F8_E4M3", "F8_E5M2"])
def test_weights_of_another_type_are_refused(tiny: Path, tmp_path: Path, dtype: str) -> None:
    copy = Path(shutil.copytree(tiny, tmp_path / "checkpoint"))
    path = copy / "model.safetensors"
    tensors = load_file(path)
    size = {"I32": 4}.get(dtype, 1)
    header, contents, begin = {}, b"", 0
    for name, array in tensors.items():
        end = begin + array.size * size
        header[name] = entry(list(array.shape), begin, end, dtype)
        contents, begin = contents + bytes(end - begin), end
    path.write_bytes(safetensors_bytes(header, contents))
    assert f"found {dtype}" in refusal(copy)


@pytest.mark.parametrize(
    ("dim_model", "dtype", "word"),
    [(65_536, "F32", "bytes"), (8192, "F16", f"at most {bounds.NETWORK_NUMBERS} numbers")],
)
def test_a_network_of_gigabytes_is_not_made(tiny: Path, tmp_path: Path, dim_model: int, dtype: str, word: str) -> None:
    # Config and header agree, so that only the size can be the reason; the contents are a hole.
    directory = Path(shutil.copytree(tiny, tmp_path / "checkpoint"))
    edit_json(directory / "config.json", lambda c: c.update(dim_model=dim_model, dim_feedforward=4 * dim_model))
    with torch.device("meta"):
        shapes = {f"model.{k}": list(t.shape) for k, t in ActNetwork(read_config(directory)).state_dict().items()}
    header, begin = {}, 0
    for name, shape in shapes.items():
        end = begin + {"F32": 4, "F16": 2}[dtype] * int(np.prod(shape, dtype=np.int64))
        header[name], begin = entry(shape, begin, end, dtype), end
    path = directory / "model.safetensors"
    path.write_bytes(safetensors_bytes(header))
    resource.setrlimit(resource.RLIMIT_AS, (-1, resource.getrlimit(resource.RLIMIT_AS)[1]))  # the file is mapped
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + begin)
    assert word in refusal(directory)


ODD_PLACES = ["a\0b", "a" * 5000, "~no_such_user/x", "/dev/null", "/proc/self/mem", "\ud800/x", "/" + "a/" * 3000]


@pytest.mark.parametrize("place", ODD_PLACES)
def test_an_odd_place_is_refused(place: str) -> None:
    refusal(Path(place) if "\0" not in place else place)  # type: ignore[arg-type]  # a string is fine, too


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value."""
    if path:
        yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from paths_of(value[key], (*path, key))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), name=st.sampled_from(["config.json", "policy_preprocessor.json", "policy_postprocessor.json"]))
def test_whatever_a_json_file_says_only_our_error_escapes(tiny: Path, tmp_path: Path, data: Any, name: str) -> None:
    directory = Path(shutil.copytree(tiny, tmp_path / "checkpoint", dirs_exist_ok=True))
    content = json.loads((tiny / name).read_text())
    path = data.draw(st.sampled_from(list(paths_of(content))))
    parent = content
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = data.draw(json_values)
    (directory / name).write_text(json.dumps(content))
    loads_or_refuses(directory)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), name=st.sampled_from(["model.safetensors", *STATISTICS]))
def test_whatever_a_tensor_file_holds_only_our_error_escapes(tiny: Path, tmp_path: Path, data: Any, name: str) -> None:
    directory = Path(shutil.copytree(tiny, tmp_path / "checkpoint", dirs_exist_ok=True))
    content = bytearray((tiny / name).read_bytes())
    end = 8 + int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, end - 1))] = data.draw(st.integers(0, 255))
    kept = data.draw(st.integers(0, len(content)) | st.just(len(content)))
    (directory / name).write_bytes(content[:kept])
    loads_or_refuses(directory)


def loads_or_refuses(directory: Path) -> None:
    try:
        load_policy(directory)
    except CheckpointError as error:
        str(error).encode()
        assert "\n" not in str(error)  # noqa: PT017  # either is right
