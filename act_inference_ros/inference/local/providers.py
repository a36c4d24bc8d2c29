"""Chooses onnxruntime's providers: `auto` takes the best that works; a named provider works or is an error.

`onnxruntime.get_available_providers()` tells what was compiled in, not what works on this machine; a session's
`get_providers()` tells what it really uses. Both are checked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.interfaces import AUTO

TENSORRT, CUDA, OPENVINO, CPU = "tensorrt", "cuda", "openvino", "cpu"
FULL_NAMES = {
    TENSORRT: "TensorrtExecutionProvider",
    CUDA: "CUDAExecutionProvider",
    OPENVINO: "OpenVINOExecutionProvider",
    CPU: "CPUExecutionProvider",
}
"""Our name -> onnxruntime's."""
PACKAGES = {TENSORRT: "onnxruntime-gpu tensorrt", CUDA: "onnxruntime-gpu", OPENVINO: "onnxruntime-openvino"}
"""The package that contains a provider; each replaces the package onnxruntime."""
AUTO_ORDER = (CUDA, OPENVINO)
"""What `auto` tries before the CPU. TensorRT takes minutes to build an engine, so it must be named explicitly."""
ON_GPU = frozenset({TENSORRT, CUDA})
BFLOAT16 = frozenset({TENSORRT, OPENVINO})
"""Providers that can compute a float32 graph in bfloat16."""


@dataclass(frozen=True)
class Chosen:
    """Providers in the order in which onnxruntime tries them for each part of the graph.

    `named`: providers that a person asked for, which have to work; `index`: the GPU's number.
    """

    names: tuple[str, ...]
    named: frozenset[str] = field(default=frozenset())
    index: int = 0

    @property
    def device(self) -> str:
        """The device of the first provider: `cuda:N` or `cpu`."""
        return f"cuda:{self.index}" if self.names[0] in ON_GPU else "cpu"

    def arguments(self, precision: str, threads: int) -> list[tuple[str, dict[str, Any]]]:
        """Return the provider argument of onnxruntime's InferenceSession: each provider's full name and options."""
        return [(FULL_NAMES[name], _options(name, self.index, precision, threads)) for name in self.names]


def choose_providers(providers: Sequence[str], device: str, precision: str, compiled_in: Sequence[str]) -> Chosen:
    """Choose by the options `providers`, `device` (auto, cpu, cuda or cuda:N) and `precision`.

    `compiled_in` has onnxruntime's own names. Raises ConfigurationError if a named provider is not available, or if the
    options contradict each other.
    """
    kind, _, index = device.partition(":")
    if device not in (AUTO, "cpu", "cuda") and not (kind == "cuda" and index.isdecimal()):
        raise ConfigurationError(f"device {device!r}: engine onnxruntime runs on auto, cpu, cuda or cuda:N")
    there = [name for name, full_name in FULL_NAMES.items() if full_name in compiled_in]
    if tuple(providers) == (AUTO,):
        if kind == "cuda":
            named: tuple[str, ...] = (CUDA,)
        elif precision == "bfloat16":
            named = tuple(name for name in (OPENVINO,) if name in there) or _no_bfloat16(there)
        else:
            named = ()
        allowed = [name for name in AUTO_ORDER if name in there and (device == AUTO or name not in ON_GPU)]
        names = named or (*allowed, CPU)
    else:
        named = names = tuple(providers)
    absent = [name for name in named if name not in there]
    if absent:
        raise ConfigurationError(
            f"provider {absent[0]}: this onnxruntime has {', '.join(there)} only; install it with "
            f"pip uninstall onnxruntime, then pip install {PACKAGES.get(absent[0], 'onnxruntime')}"
        )
    if kind == "cuda" and not ON_GPU.intersection(names):
        raise ConfigurationError(
            f"device {device}: expected cuda or tensorrt among the providers, got {', '.join(names)}"
        )
    if device == "cpu" and ON_GPU.intersection(names):
        raise ConfigurationError(f"device cpu: expected openvino or cpu as providers, got {', '.join(names)}")
    if precision == "bfloat16" and names[0] not in BFLOAT16:
        _no_bfloat16(there)
    return Chosen(names, frozenset(named), int(index or 0))


def used_providers(session: Any) -> tuple[str, ...]:
    """Return our names of the providers that a session uses, in its order."""
    ours = {full_name: name for name, full_name in FULL_NAMES.items()}
    return tuple(ours.get(name, name) for name in session.get_providers())


def check_used(chosen: Chosen, used: Sequence[str], onnxruntime_version: str) -> None:
    """Raise ConfigurationError if a named provider is not used: onnxruntime itself only logs that."""
    dropped = [name for name in chosen.names if name in chosen.named and name not in used]
    if dropped:
        needs = {CUDA: "the driver, and the CUDA and cuDNN", TENSORRT: "the driver, and the CUDA, cuDNN and TensorRT"}
        remedy = f"check {needs[dropped[0]]} that it needs" if dropped[0] in needs else "check its installation"
        raise ConfigurationError(
            f"provider {dropped[0]} does not work on this machine: onnxruntime {onnxruntime_version} runs on "
            f"{', '.join(used)} instead; {remedy}, or set providers to auto"
        )


def _no_bfloat16(there: Sequence[str]) -> tuple[str, ...]:
    raise ConfigurationError(
        "precision bfloat16: engine onnxruntime computes it with openvino or tensorrt as the first of the providers, "
        f"this onnxruntime has {', '.join(there)}; use engine torch, or precision float32"
    )


def _options(name: str, index: int, precision: str, threads: int) -> dict[str, Any]:
    """A provider's own options, so that it computes in `precision` and not in the fastest one."""
    if name == CUDA:
        return {"device_id": index, "use_tf32": 0}
    if name == TENSORRT:
        half = {"float16": {"trt_fp16_enable": True}, "bfloat16": {"trt_bf16_enable": True}}
        return {"device_id": index, **half.get(precision, {})}
    if name == OPENVINO:
        settings: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads}
        if precision != "float16":  # for float16 the graph itself says which parts are float16
            settings["INFERENCE_PRECISION_HINT"] = "bf16" if precision == "bfloat16" else "f32"
        return {"device_type": "CPU", "load_config": json.dumps({"CPU": settings})}
    return {}
