"""Local mode: the policy in this process, with PyTorch."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from act_inference_ros.errors import BadOutputError, ConfigurationError, InferenceError, NotReadyError, first_line
from act_inference_ros.inference.backend import DEVICE, ENGINE, PRECISION, PRECISION_ERROR
from act_inference_ros.inference.images import as_pixels
from act_inference_ros.inference.local.options import LocalOptions
from act_inference_ros.inference.local.processor_notes import processor_notes
from act_inference_ros.interfaces import TORCH
from act_inference_ros.policy.graph import PolicyGraph
from act_inference_ros.policy.kernels import POINTWISE
from act_inference_ros.policy.load import LoadedPolicy, load_policy
from act_inference_ros.policy.precision_error import PrecisionError, precision_error
from act_inference_ros.policy.reference import Arrays, Reference, make_reference, reference_observations
from act_inference_ros.spec import PolicySpec

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
MEASURED = 3
"""Number of observations for measuring the error of a precision."""
_WARM_UPS = 2


class TorchEngine:
    """A checkpoint on one device, warmed up: the first chunk takes no longer than later chunks."""

    def __init__(self, options: LocalOptions) -> None:
        options.check()
        self._device = choose_device(options.device)
        dtype = PRECISIONS[options.precision]
        self._precision, self._compiled = options.precision, options.compile
        if options.threads is not None:
            torch.set_num_threads(options.threads)
        policy = load_policy(options.checkpoint)
        self._spec = policy.spec
        self._lock = threading.Lock()  # guards _run: one chunk at a time, because two would be slower
        self._run: Any = None
        self._warm_up_s = 0.0
        graph = policy.graph.to(self._device)
        self._error: PrecisionError | None = None
        exact = None if dtype == torch.float32 else self._exactly(policy)
        graph.set_precision(dtype)
        typical = graph.typical_inputs()
        if options.compile:
            self._run = _compiled(graph, typical)
        else:
            self._run = graph
        self._warm_up(typical, options.precision)
        if exact is not None:
            chunks = np.stack([self._of_reference(one) for one in exact.observations.values()])
            self._error = precision_error(exact, options.precision, chunks, range(len(chunks)))

    @property
    def spec(self) -> PolicySpec:
        """What the policy reads and writes."""
        return self._spec

    @property
    def source(self) -> str:
        """The device, for messages."""
        return f"the policy on {self._device}"

    @property
    def model_version(self) -> str:
        """Empty, because there is no server."""
        return ""

    @property
    def takes_jpeg(self) -> bool:
        """False, because the network takes pixels."""
        return False

    @property
    def facts(self) -> Mapping[str, str]:
        """The engine with its version, the device, the precision and its error."""
        compiled = ", compiled" if self._compiled else ""
        facts = {
            ENGINE: f"torch {torch.__version__}{compiled}",
            DEVICE: str(self._device),
            PRECISION: self._precision,
        }
        return facts if self._error is None else facts | {PRECISION_ERROR: str(self._error)}

    @property
    def notes(self) -> tuple[str, ...]:
        """The error of the precision, and a faster precision for this processor."""
        on_cpu = processor_notes(self._precision, self._device.type, TORCH)
        return on_cpu if self._error is None else (self._error.note, *on_cpu)

    @property
    def reconnects(self) -> int:
        """Always 0, because there is no connection."""
        return 0

    @property
    def warm_up_s(self) -> float:
        """Time of the last warm-up, s."""
        return self._warm_up_s

    def infer(self, inputs: Mapping[str, npt.NDArray[Any] | bytes], request_id: str = "") -> npt.NDArray[np.float32]:
        """Checked inputs -> float32 (chunk_size, action_dim)."""
        images = {image.key: image for image in self._spec.images}
        arrays = [as_pixels(images[key], x) if key in images else np.asarray(x) for key, x in inputs.items()]
        tensors = [_tensor(array).unsqueeze(0) for array in arrays]
        with self._lock:
            if self._run is None:
                raise NotReadyError("the inference client is closed; create another one")
            try:
                return self._chunk(tensors)
            except RuntimeError as error:
                raise InferenceError(f"{self.source} failed: {first_line(error)}") from error

    def accept_policy(self, policy_id: str) -> None:
        """Do nothing: the policy is loaded once and never changes."""

    def close(self) -> None:
        """Release the network, after the running chunk."""
        with self._lock:
            self._run = None

    def _chunk(self, tensors: list[Tensor]) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            actions: Tensor = self._run(*(tensor.to(self._device) for tensor in tensors))
            return np.asarray(actions[0].cpu().numpy(), np.float32)

    def _exactly(self, policy: LoadedPolicy) -> Reference:
        """The policy's float32 results for a few observations."""
        self._run = policy.graph
        everything = reference_observations(policy.spec, *policy.description.vector_data())
        few = dict(list(everything.items())[:MEASURED])
        spread = policy.description.action_spread()
        return make_reference(policy.spec, "float32", few, lambda one: self._of_reference(one)[np.newaxis], spread)

    def _of_reference(self, inputs: Arrays) -> npt.NDArray[np.float32]:
        return self._chunk([_tensor(rows) for rows in inputs.values()])

    def _warm_up(self, typical: list[Tensor], precision: str) -> None:
        try:
            for _ in range(_WARM_UPS):
                started = time.perf_counter()
                chunk = self._chunk(typical)
                self._warm_up_s = time.perf_counter() - started  # of the last one: the first includes the set-up
        except (RuntimeError, NotImplementedError) as error:
            raise ConfigurationError(
                f"the policy does not run on {self._device} in {precision}: {first_line(error)}"
            ) from error
        try:
            self._spec.check_chunk(chunk, self.source)
        except BadOutputError as error:
            raise ConfigurationError(f"{error} (at the warm-up in {precision}); try another precision") from error


def choose_device(name: str) -> torch.device:
    """`auto` is cuda, else mps, else cpu. Raises ConfigurationError if the device is unknown or not available."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu")
    kind, _, index = name.partition(":")
    if name not in ("cpu", "cuda", "mps") and not (kind == "cuda" and index.isdecimal()):
        raise ConfigurationError(f"device {name!r}: expected auto, cpu, cuda, cuda:N or mps")
    if kind == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError(f"device {name}: torch {torch.__version__} finds no CUDA device on this machine")
    if kind == "cuda" and index and int(index) >= torch.cuda.device_count():
        raise ConfigurationError(f"device {name}: this machine has {torch.cuda.device_count()} CUDA device(s)")
    if kind == "mps" and not _has_mps():
        raise ConfigurationError(f"device {name}: torch {torch.__version__} finds no Apple GPU on this machine")
    return torch.device(name)


def _has_mps() -> bool:
    return torch.backends.mps.is_available()


def _compiled(graph: PolicyGraph, typical: list[Tensor]) -> Any:
    """The graph compiled for one observation, with constant parameters; it compiles now, not at the first chunk."""
    from torch._inductor import config as inductor_config  # takes a second to import

    if typical[0].device.type == "cpu":
        graph.network.use_kernels(POINTWISE)
    compiled = torch.compile(graph, fullgraph=True, dynamic=False)
    try:
        # Not an option of torch.compile: when it reads its options, it has already decided how to compile.
        with torch.inference_mode(), inductor_config.patch(freezing=True):
            compiled(*typical)
    except Exception as error:  # a failing compiler can raise many kinds of exceptions
        raise ConfigurationError(
            f"compile: torch.compile failed (it needs a C++ compiler, such as g++); set compile to false: "
            f"{first_line(error)}"
        ) from error
    return compiled


def _tensor(array: npt.NDArray[Any]) -> Tensor:
    """A tensor with the array's numbers; it shares the array's memory if torch can."""
    contiguous = np.ascontiguousarray(array)  # torch does not support negative strides
    return torch.from_numpy(contiguous if contiguous.flags.writeable else contiguous.copy())
