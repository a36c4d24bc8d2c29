"""What model.py does with requests that a real server does not send on demand; a stand-in replaces Triton's module."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from act_inference_ros.serving.export import MODEL_SOURCE, PYTHON_SOURCES
from act_inference_ros.serving.model_config import PYTHON_FILE

CANCELLED, INTERNAL, INVALID_ARG = 1, 2, 3


class _Error:
    CANCELLED, INTERNAL, INVALID_ARG = CANCELLED, INTERNAL, INVALID_ARG

    def __init__(self, message: str, code: int) -> None:
        self.message, self.code = message, code


class _Refused(Exception):
    """Stands for TritonModelException: the model is not loaded."""


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
    backend.TritonModelException = _Refused
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


def _imports(source: Path) -> set[str]:
    lines = map(str.strip, source.read_text().splitlines())
    return {line.split()[1].partition(".")[0] for line in lines if line.startswith(("import ", "from "))}


def test_it_imports_nothing_of_this_package_but_the_file_beside_it() -> None:
    others = _imports(MODEL_SOURCE) - set(sys.stdlib_module_names)
    assert others == {"numpy", "onnxruntime", "triton_python_backend_utils", "cv2", "jpeg_header"}
    beside = [source for name, source in PYTHON_SOURCES.items() if name != PYTHON_FILE]
    assert [source.stem for source in beside] == ["jpeg_header"]
    assert _imports(beside[0]) <= set(sys.stdlib_module_names)


@pytest.fixture
def graph(tmp_path: Path) -> str:
    """A graph that hands its state on, as the session's options do not matter to it."""
    onnx = pytest.importorskip("onnx")
    value = onnx.helper.make_tensor_value_info("observation.state", onnx.TensorProto.FLOAT, ["batch", 3])
    action = onnx.helper.make_tensor_value_info("action", onnx.TensorProto.FLOAT, ["batch", 3])
    identity = onnx.helper.make_tensor_value_info("policy_id", onnx.TensorProto.UINT8, [1, 32])
    row = onnx.numpy_helper.from_array(np.zeros((1, 32), np.uint8))
    nodes = [
        onnx.helper.make_node("Identity", ["observation.state"], ["action"]),
        onnx.helper.make_node("Constant", [], ["policy_id"], value=row),
    ]
    model = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "graph", [value], [action, identity]),
        opset_imports=[onnx.helper.make_opsetid("", 18)],
        ir_version=8,
    )
    (tmp_path / "1").mkdir()
    onnx.save(model, tmp_path / "1" / "model.onnx")
    return str(tmp_path)


def initialize(model: Any, graph: str, kind: str) -> None:
    config = {
        "input": [{"name": "observation.state", "data_type": "TYPE_FP32"}],
        "parameters": {"policy_spec": {"string_value": '{"images": []}'}},
    }
    arguments = {"model_repository": graph, "model_version": "1", "model_config": json.dumps(config)}
    model.initialize({**arguments, "model_instance_kind": kind, "model_instance_device_id": "0"})


def test_on_a_cpu_it_loads(model: Any, graph: str) -> None:
    initialize(model, graph, "CPU")
    assert model.session.get_providers() == ["CPUExecutionProvider"]


def test_where_onnxruntime_has_no_cuda_a_gpu_is_refused(module: ModuleType, model: Any, graph: str) -> None:
    if "CUDAExecutionProvider" in module.onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime was compiled with CUDA")
    with pytest.raises(_Refused, match=r"runs on CPUExecutionProvider; it was compiled without CUDA.*--device cpu"):
        initialize(model, graph, "GPU")


class _OnnxruntimeWithoutADriver:
    """Compiled with CUDA, which does not work: the session that it makes says that it runs on the CPU."""

    __version__ = "1.99.0"

    def __init__(self, onnxruntime: Any, used: list[str]) -> None:
        self.SessionOptions = onnxruntime.SessionOptions
        self._onnxruntime, self._used = onnxruntime, used
        self.wanted: list[Any] = []

    def get_available_providers(self) -> list[str]:
        return ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]

    def InferenceSession(self, path: str, options: Any, providers: list[Any], **_: Any) -> Any:
        session = self._onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        self.wanted = providers
        session.get_providers = lambda: self._used
        return session


def test_a_gpu_that_does_not_work_is_refused_instead_of_computing_on_the_cpu(
    module: ModuleType, model: Any, graph: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = _OnnxruntimeWithoutADriver(module.onnxruntime, ["CPUExecutionProvider"])
    monkeypatch.setattr(module, "onnxruntime", fake)
    message = r"wants a GPU, but onnxruntime 1\.99\.0 runs on CPUExecutionProvider; CUDA does not work here"
    with pytest.raises(_Refused, match=message):
        initialize(model, graph, "GPU")


def test_a_gpu_that_works_is_used(module: ModuleType, model: Any, graph: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = _OnnxruntimeWithoutADriver(module.onnxruntime, ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(module, "onnxruntime", fake)
    initialize(model, graph, "GPU")
    assert fake.wanted == [("CUDAExecutionProvider", {"device_id": 0}), "CPUExecutionProvider"]
