"""What model.py does with requests that cannot be had on demand from a real server: Triton's module is stood in for."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from act_inference_ros.serving.export import MODEL_SOURCE

CANCELLED, INTERNAL, INVALID_ARG = 1, 2, 3


class _Error:
    CANCELLED, INTERNAL, INVALID_ARG = CANCELLED, INTERNAL, INVALID_ARG

    def __init__(self, message: str, code: int) -> None:
        self.message, self.code = message, code


class _Request:
    def __init__(self, state: npt.NDArray[Any], cancelled: bool = False) -> None:
        self.inputs, self.cancelled = {"observation.state": state}, cancelled

    def is_cancelled(self) -> bool:
        return self.cancelled


class _Session:
    """Actions that tell which state they are for; counts runs."""

    def __init__(self) -> None:
        self.runs: list[int]
        self.fault: Exception | None
        self.runs, self.fault = [], None

    def run(self, names: list[str], inputs: dict[str, Any]) -> list[npt.NDArray[Any]]:
        if self.fault is not None:
            raise self.fault
        state = inputs["observation.state"]
        self.runs.append(len(state))
        return [np.repeat(state[:, :1, np.newaxis], 4, axis=1)]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    backend: Any = ModuleType("triton_python_backend_utils")
    backend.TritonError = _Error
    backend.InferenceResponse = lambda tensors=None, error=None: SimpleNamespace(tensors=tensors, error=error)
    backend.Tensor = lambda name, array: SimpleNamespace(name=name, array=array)
    backend.get_input_tensor_by_name = lambda request, name: SimpleNamespace(as_numpy=lambda: request.inputs[name])
    monkeypatch.setitem(sys.modules, backend.__name__, backend)
    spec = importlib.util.spec_from_file_location("served_model", MODEL_SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def model(module: ModuleType) -> Any:
    model = module.TritonPythonModel()
    model.session, model.vectors, model.images, model.decodes = _Session(), ["observation.state"], [], False
    model.policy_id = np.zeros((1, 32), np.uint8)
    return model


def state(value: float, rows: int = 1, dim: int = 3) -> npt.NDArray[Any]:
    return np.full((rows, dim), value, np.float32)


def test_a_cancelled_request_is_not_computed(model: Any) -> None:
    responses = model.execute([_Request(state(1)), _Request(state(2), cancelled=True), _Request(state(3))])
    assert model.session.runs == [2]
    assert responses[1].error.code == CANCELLED
    assert [responses[i].tensors[0].array[0, 0, 0] for i in (0, 2)] == [1, 3]


def test_when_all_are_cancelled_nothing_runs(model: Any) -> None:
    model.execute([_Request(state(1), cancelled=True)])
    assert model.session.runs == []


def test_requests_of_several_rows_get_their_own_rows_back(model: Any) -> None:
    responses = model.execute([_Request(state(1, rows=2)), _Request(state(2)), _Request(state(3, rows=3))])
    assert model.session.runs == [6]
    assert [r.tensors[0].array.shape for r in responses] == [(2, 4, 1), (1, 4, 1), (3, 4, 1)]
    assert [set(r.tensors[0].array.flat) for r in responses] == [{1.0}, {2.0}, {3.0}]


def test_requests_of_unlike_shapes_are_run_apart(model: Any) -> None:
    responses = model.execute([_Request(state(1, dim=3)), _Request(state(2, dim=5)), _Request(state(3, dim=3))])
    assert model.session.runs == [2, 1]
    assert [r.tensors[0].array[0, 0, 0] for r in responses] == [1, 2, 3]


def test_its_own_fault_is_answered_with_a_message_not_with_silence(model: Any) -> None:
    model.session.fault = MemoryError("out of memory")
    responses = model.execute([_Request(state(1)), _Request(np.full((1, 3), np.inf, np.float32))])
    assert (responses[0].error.code, responses[0].error.message) == (
        INTERNAL,
        "the policy failed: MemoryError: out of memory",
    )
    assert responses[1].error.code == INVALID_ARG


@pytest.mark.parametrize(("instances", "parameter", "threads"), [(1, "0", 6), (2, "0", 3), (12, "0", 1), (2, "5", 5)])
def test_the_cores_are_shared_out_among_the_instances(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch, instances: int, parameter: str, threads: int
) -> None:
    monkeypatch.setattr(module, "_cores", lambda: 6)
    config = {"instance_group": [{"count": instances}]}
    options = module._session_options(config, {"intra_op_threads": parameter})
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (threads, 1)


def test_it_imports_nothing_but_numpy_onnxruntime_and_opencv() -> None:
    imported = {
        line.split()[1].partition(".")[0]
        for line in map(str.strip, Path(MODEL_SOURCE).read_text().splitlines())
        if line.startswith(("import ", "from "))
    }
    others = imported - set(sys.stdlib_module_names)
    assert others == {"numpy", "onnxruntime", "triton_python_backend_utils", "cv2"}


def test_the_size_in_a_jpegs_header_is_read_past_other_segments(module: ModuleType) -> None:
    cv2 = pytest.importorskip("cv2")
    for parameters in ([], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]):
        data = cv2.imencode(".jpg", np.zeros((30, 50, 3), np.uint8), parameters)[1].tobytes()
        comment = b"\xff\xfe\x00\x06\xff\xd9ab"  # holds an end marker of its own
        assert module._jpeg_size(data[:2] + comment + data[2:]) == (30, 50)
        assert module._jpeg_size(data[:-2]) is None
    assert module._jpeg_size(b"\xff\xd8") is None
