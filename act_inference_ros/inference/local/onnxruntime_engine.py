"""Local mode: an exported graph in this process, with onnxruntime. Needs neither torch nor a checkpoint."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from act_inference_ros.errors import ConfigurationError, InferenceError, NotReadyError, first_line
from act_inference_ros.inference.backend import DEVICE, ENGINE, PRECISION, PRECISION_ERROR, PROVIDERS
from act_inference_ros.inference.images import as_pixels
from act_inference_ros.inference.local.export_once import cached_or_exported
from act_inference_ros.inference.local.exported_policy import ExportedPolicy, exported_policy, is_exported_repository
from act_inference_ros.inference.local.options import LocalOptions
from act_inference_ros.inference.local.processor_notes import processor_notes
from act_inference_ros.inference.local.providers import (
    ON_GPU,
    TENSORRT,
    Chosen,
    check_used,
    choose_providers,
    used_providers,
)
from act_inference_ros.interfaces import ONNXRUNTIME
from act_inference_ros.policy.precision_error import PrecisionError, precision_error
from act_inference_ros.policy.reference import PARITY_FILE, Reference
from act_inference_ros.program.cores import usable_cores
from act_inference_ros.spec import PolicySpec, shown_id

ACTIONS, POLICY_ID = "action", "policy_id"
"""The graph's outputs: float32 (batch, chunk_size, action_dim), and uint8 (batch, 32), the policy's id."""
POLICY_ID_BYTES = 32
CHECKED_FLOAT32, CHECKED = 1, 3
"""Number of the reference's observations that are computed at the start, in float32 and in fewer bits."""
TOLERANCES = {"bfloat16": 0.5, "float16": 0.1, TENSORRT: 1e-2}
"""Largest error that the self-check accepts, as a fraction of the action's range, if above the reference's tolerance.

With fewer bits the self-check only finds out whether something else is computed. The size of the error is measured and
shown, and a person decides. TensorRT computes float32 with the 10 bits of TF32 if the GPU supports it.
"""
_ERRORS_ONLY = 3
"""Level of onnxruntime's own log."""


class OnnxruntimeEngine:
    """An exported policy on one device, checked with observations whose chunks are known.

    A graph whose chunks differ from those at its export, on this machine with these providers, is never used.
    `exported` is the result of `find_export`, if the caller has it already.
    """

    model_version = ""
    takes_jpeg = False
    reconnects = 0

    def __init__(self, options: LocalOptions, exported: ExportedPolicy | None = None) -> None:
        options.check()
        if options.compile:
            raise ConfigurationError("compile: engine onnxruntime has nothing to compile; set compile to false")
        there = onnxruntime.get_available_providers()
        chosen = choose_providers(options.providers, options.device, options.precision, there)
        exported = exported or find_export(options)
        self._lock = threading.Lock()  # guards _session: one chunk at a time, because two would be slower
        self._spec = exported.reference.spec
        self._precision = options.precision
        self._session: Any = _session(exported, options.threads or usable_cores(), chosen, options.precision)
        self._used = used_providers(self._session)
        check_used(chosen, self._used, onnxruntime.__version__)
        self._device = chosen.device if ON_GPU.intersection(self._used) else "cpu"
        self._notes = tuple(
            f"provider {name} does not work here, {', '.join(self._used)} is used"
            for name in chosen.names
            if name not in self._used
        )
        _check_signature(self._session, self._spec, exported.graph)
        self._warm_up_s = 0.0
        self._error = self._check_itself(exported.reference)

    @property
    def spec(self) -> PolicySpec:
        """What the policy reads and writes."""
        return self._spec

    @property
    def source(self) -> str:
        """The device, for messages."""
        return f"the exported policy on {self._device}"

    @property
    def facts(self) -> Mapping[str, str]:
        """The engine with its version, what it really uses, the precision and its error."""
        facts = {
            ENGINE: f"onnxruntime {onnxruntime.__version__}",
            DEVICE: self._device,
            PROVIDERS: ", ".join(self._used),
            PRECISION: self._precision,
        }
        return facts if self._precision == "float32" else facts | {PRECISION_ERROR: str(self._error)}

    @property
    def notes(self) -> tuple[str, ...]:
        """The providers that do not work here, and the error of the precision."""
        on_cpu = processor_notes(self._precision, self._device, ONNXRUNTIME)
        return self._notes + (() if self._precision == "float32" else (self._error.note,)) + on_cpu

    @property
    def warm_up_s(self) -> float:
        """How long the slowest run of the self-check took, s."""
        return self._warm_up_s

    def infer(self, inputs: Mapping[str, npt.NDArray[Any] | bytes], request_id: str = "") -> npt.NDArray[np.float32]:
        """Checked inputs -> float32 (chunk_size, action_dim)."""
        images = {image.key: image for image in self._spec.images}
        arrays = {key: as_pixels(images[key], x) if key in images else np.asarray(x) for key, x in inputs.items()}
        feeds = {key: np.ascontiguousarray(array)[np.newaxis] for key, array in arrays.items()}
        with self._lock:
            if self._session is None:
                raise NotReadyError("the inference client is closed; create another one")
            try:
                chunk: npt.NDArray[np.float32] = self._session.run([ACTIONS], feeds)[0][0]
            except Exception as error:  # onnxruntime's exceptions have no common base
                raise InferenceError(f"{self.source} failed: {first_line(error)}") from error
        return chunk

    def accept_policy(self, policy_id: str) -> None:
        """Do nothing: the policy is loaded once and never changes."""

    def close(self) -> None:
        """Release the network, after the running chunk."""
        with self._lock:
            self._session = None

    def _check_itself(self, reference: Reference) -> PrecisionError:
        """Compute the reference's chunks, which also warms up. Raises ConfigurationError if the results differ."""
        rows = range(CHECKED_FLOAT32 if self._precision == "float32" else CHECKED)
        observations = list(reference.observations.values())
        chunks = []
        for row in rows:
            started = time.perf_counter()
            try:
                actions, policy_id = self._session.run([ACTIONS, POLICY_ID], observations[row])
            except Exception as failure:
                raise ConfigurationError(
                    f"the policy does not run on {', '.join(self._used)} in {self._precision}: {first_line(failure)}"
                ) from failure
            self._warm_up_s = max(self._warm_up_s, time.perf_counter() - started)
            if policy_id.tobytes().hex() != self._spec.policy_id:
                raise ConfigurationError(
                    f"{self.source}: expected policy {shown_id(self._spec.policy_id)}, as its {PARITY_FILE} says, the "
                    f"graph states {shown_id(policy_id.tobytes().hex())}; export the policy again"
                )
            chunks.append(actions[0])
        error = precision_error(reference, self._precision, np.stack(chunks), rows)
        allowed = max([reference.tolerance, *(TOLERANCES.get(each, 0.0) for each in (self._precision, *self._used))])
        if not error.fraction.max() <= allowed:
            raise ConfigurationError(
                f"{self.source} computes something else than when it was exported: {error.fraction.max():.1e} of an "
                f"action's range on {', '.join(self._used)} in {self._precision}, {allowed:.0e} is allowed; export "
                "the policy again, or choose other providers"
            )
        return error


def find_export(options: LocalOptions) -> ExportedPolicy:
    """Find the graph for `options`: in an exported repository, or in the cache of a checkpoint's exports."""
    # TensorRT and OpenVINO convert a float32 graph to bfloat16 themselves.
    precision = "float32" if options.precision == "bfloat16" else options.precision
    if is_exported_repository(options.checkpoint):
        return exported_policy(options.checkpoint, precision)
    return cached_or_exported(options.checkpoint, precision)


def _session(exported: ExportedPolicy, threads: int, chosen: Chosen, precision: str) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1  # the graph has no parallel branches
    # Idle threads that spin take the cores from all other programs on this machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = _ERRORS_ONLY
    arguments = chosen.arguments(precision, threads)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about unused providers; `check_used` reports them better
            return onnxruntime.InferenceSession(str(exported.graph), options, providers=arguments, enable_fallback=0)
    except Exception as error:  # onnxruntime's exceptions have no common base
        raise ConfigurationError(f"{exported.graph}: onnxruntime cannot load it: {first_line(error)}") from error


def _check_signature(session: Any, spec: PolicySpec, graph: Path) -> None:
    """Raise ConfigurationError unless the graph has the inputs and outputs in its parity.json."""
    shapes: dict[str, list[Any]] = {key: [dim] for key, dim in spec.vectors.items()}
    shapes |= {image.key: list(image.shape) for image in spec.images}
    expected = [(key, shapes[key]) for key in spec.keys]
    expected += [(ACTIONS, [spec.chunk_size, spec.action_dim]), (POLICY_ID, [POLICY_ID_BYTES])]
    got = [(tensor.name, tensor.shape[1:]) for tensor in (*session.get_inputs(), *session.get_outputs())]
    if got != expected:
        raise ConfigurationError(
            f"{graph}: expected a graph of {expected}, as its {PARITY_FILE} says, got {got}; export the policy again"
        )
