"""Chooses the engine that computes a policy on this machine; each engine imports its packages only when it is used."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from act_inference_ros.errors import ConfigurationError, MissingDependencyError
from act_inference_ros.inference.backend import Backend
from act_inference_ros.inference.local.export_once import find_cached
from act_inference_ros.inference.local.exported_policy import ExportedPolicy, is_exported_repository
from act_inference_ros.inference.local.options import LocalOptions
from act_inference_ros.interfaces import AUTO, ONNXRUNTIME, TORCH


class _Engine(NamedTuple):
    """The module and class, the packages that it imports, and how to install them."""

    module: str
    name: str
    needs: tuple[str, ...]
    install: str


_ENGINES: Mapping[str, _Engine] = {
    TORCH: _Engine("torch_engine", "TorchEngine", ("torch", "safetensors"), "torch safetensors"),
    ONNXRUNTIME: _Engine("onnxruntime_engine", "OnnxruntimeEngine", ("onnxruntime",), "onnxruntime"),
}


_GPU_DEVICES = (Path("/dev/nvidiactl"), Path("/dev/nvhost-gpu"))
"""These files exist on a machine with an NVIDIA GPU and its driver, and on a Jetson."""


def open_engine(options: LocalOptions) -> Backend:
    """Open the engine that `options` name, in this process, ready for its first inference.

    Raises ConfigurationError, CheckpointError or MissingDependencyError, as described at `InferenceClient.create`.
    """
    options.check()
    if options.engine == TORCH and is_exported_repository(options.checkpoint):
        raise ConfigurationError(
            f"engine torch computes a checkpoint, but {options.checkpoint} is an exported repository; set engine to "
            f"{ONNXRUNTIME} or {AUTO}"
        )
    name, found = _choose(options)
    engine = _engine_class(_ENGINES[name])
    backend: Backend = engine(options) if found is None else engine(options, found)
    return backend


def _choose(options: LocalOptions) -> tuple[str, ExportedPolicy | None]:
    """Return the engine's name, and the export that decided the choice, so that it is not searched and verified again.

    `auto` means onnxruntime if an export is available or torch is not installed, otherwise torch. Raises
    CheckpointError for a checkpoint that cannot be read.
    """
    if options.engine != AUTO:
        return options.engine, None
    if is_exported_repository(options.checkpoint) or not _is_installed("torch"):
        return ONNXRUNTIME, None
    if options.compile or options.precision == "bfloat16" or not _onnxruntime_has(options.device):
        return TORCH, None
    cached = find_cached(options.checkpoint, options.precision)
    return (TORCH if cached is None else ONNXRUNTIME), cached


def _is_installed(package: str) -> bool:
    """Whether a package can be imported; it is only searched, because importing takes long."""
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def _onnxruntime_has(device: str) -> bool:
    """Whether onnxruntime is installed, and supports this machine's GPU if the GPU is wanted."""
    if not _is_installed("onnxruntime") or device == "mps":
        return False
    gpu = device.startswith("cuda") or (device == AUTO and any(path.exists() for path in _GPU_DEVICES))
    if not gpu:
        return True
    available: list[str] = importlib.import_module("onnxruntime").get_available_providers()
    return "CUDAExecutionProvider" in available


def _engine_class(engine: _Engine) -> Any:
    name = f"act_inference_ros.inference.local.{engine.module}"
    try:
        module: Any = importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in engine.needs:
            raise MissingDependencyError(f"mode local needs {missing}: pip install {engine.install}") from error
        raise
    return getattr(module, engine.name)
