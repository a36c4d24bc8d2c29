"""InferenceClient: modes and their settings, what predict takes and refuses, and its end of life."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from act_inference_ros.errors import ConfigurationError, MissingDependencyError, NotReadyError, ObservationError
from act_inference_ros.inference import client as client_module
from act_inference_ros.inference.client import InferenceClient
from test.checkpoints import golden_arrays, golden_checkpoint

CASE = "a_small_1cam"
VARIABLES = ("INFERENCE_MODE", "CHECKPOINT_DIR", "TRITON_URL", "MODEL_NAME", "MODEL_VERSION")


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def client() -> Iterator[InferenceClient]:
    with InferenceClient.create("local", checkpoint=golden_checkpoint(CASE), device="cpu") as client:
        yield client


@pytest.fixture
def observation(client: InferenceClient) -> dict[str, npt.NDArray[Any]]:
    arrays = golden_arrays(CASE, "observation")
    return {key: arrays[key] for key in client.spec.keys}


class RecordingBackend:
    """Stands in for a server."""

    spec = None
    source = "nowhere"

    def __init__(self, options: Any) -> None:
        self.options = options

    def close(self) -> None:
        pass


@pytest.fixture
def triton(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Options that a triton backend was opened with."""
    opened = []
    modes = {**client_module.BACKENDS, "triton": lambda options: opened.append(options) or RecordingBackend(options)}  # type: ignore[func-returns-value]  # append gives None: the backend counts
    monkeypatch.setattr(client_module, "BACKENDS", modes)
    return opened


def test_predict_gives_lerobots_chunk(client: InferenceClient, observation: dict[str, npt.NDArray[Any]]) -> None:
    chunk = client.predict(observation)
    assert chunk.dtype == np.float32
    np.testing.assert_allclose(chunk, golden_arrays(CASE, "expected")["chunk"][0], rtol=1e-4, atol=2e-4)


def test_predict_is_stateless(client: InferenceClient, observation: dict[str, npt.NDArray[Any]]) -> None:
    first = client.predict(observation)
    client.predict({key: np.zeros_like(array) for key, array in observation.items()})
    np.testing.assert_array_equal(client.predict(observation), first)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda o: o.pop("observation.state"), ["missing", "observation.state"]),
        (lambda o: o.update(extra=o["observation.state"]), ["unknown", "extra"]),
        (lambda o: o.update({"observation.state": np.zeros(6)}), ["observation.state", "float32 (6,)", "float64"]),
        (lambda o: o.update({"observation.state": np.full(6, np.nan, np.float32)}), ["finite", "nan"]),
        (lambda o: o.update({"observation.images.front": np.zeros((3, 96, 128), np.uint8)}), ["(96, 128, 3)"]),
    ],
)
def test_a_wrong_observation_is_refused(
    client: InferenceClient, observation: dict[str, npt.NDArray[Any]], change: Callable[..., Any], words: list[str]
) -> None:
    change(observation)
    with pytest.raises(ObservationError) as caught:
        client.predict(observation)
    for word in words:
        assert word in str(caught.value)


def test_everything_can_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, observation: dict[str, npt.NDArray[Any]]
) -> None:
    monkeypatch.setenv("INFERENCE_MODE", "local")
    monkeypatch.setenv("CHECKPOINT_DIR", str(golden_checkpoint(CASE)))
    with InferenceClient.create(device="cpu") as client:
        assert client.predict(observation).shape == (20, 6)


def test_local_is_the_default_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHECKPOINT_DIR", str(golden_checkpoint(CASE)))
    with InferenceClient.create(mode="", device="cpu") as client:
        assert client.spec.chunk_size == 20


def test_the_server_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, triton: list[Any]) -> None:
    values = ("triton", "", "gpu:8001", "pick", "3")
    for name, value in zip(VARIABLES, values, strict=True):
        monkeypatch.setenv(name, value)
    InferenceClient.create()
    assert (triton[0].triton.server, triton[0].triton.model, triton[0].triton.version) == ("gpu:8001", "pick", "3")


def test_arguments_win_over_the_environment(monkeypatch: pytest.MonkeyPatch, triton: list[Any]) -> None:
    monkeypatch.setenv("INFERENCE_MODE", "local")
    monkeypatch.setenv("TRITON_URL", "gpu:8001")
    InferenceClient.create("triton", server="other:8001", version=2, timeout_s=0.5)
    assert (triton[0].triton.server, triton[0].triton.model, triton[0].triton.version) == (
        "other:8001",
        "act_policy",
        "2",
    )
    assert triton[0].triton.timeout_s == 0.5


def test_an_unknown_mode_lists_the_modes() -> None:
    with pytest.raises(ConfigurationError, match=r"'remote'.*local, triton"):
        InferenceClient.create("remote")


def test_local_mode_without_a_checkpoint_says_how_to_give_one() -> None:
    with pytest.raises(ConfigurationError, match="CHECKPOINT_DIR"):
        InferenceClient.create("local")


def test_missing_torch_is_named_with_its_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "act_inference_ros.inference.local.torch_engine", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependencyError, match="pip install torch safetensors"):
        InferenceClient.create("local", checkpoint=golden_checkpoint(CASE))


def test_importing_the_client_imports_neither_torch_nor_tritonclient() -> None:
    code = "import sys, act_inference_ros.inference.client; print({'torch', 'tritonclient'} & set(sys.modules))"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == "set()"


def test_after_close_it_is_not_ready(observation: dict[str, npt.NDArray[Any]]) -> None:
    client = InferenceClient.create("local", checkpoint=golden_checkpoint(CASE), device="cpu")
    client.close()
    client.close()
    with pytest.raises(NotReadyError, match="closed"):
        client.predict(observation)
