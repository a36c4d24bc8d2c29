"""The parts of exporting that need torch, onnx and onnxruntime, in one module that is imported only when needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.policy.load import load_policy
from act_inference_ros.policy.reference import Actions, Arrays, Reference
from act_inference_ros.serving.local_reference import local_reference
from act_inference_ros.serving.onnx_graph import OUTPUT, onnx_graph, put_weights_beside
from act_inference_ros.serving.parity import ParityReport, parity
from act_inference_ros.serving.stated_identity import state_identity

__all__ = ["compare", "load_policy", "local_reference", "onnx_graph", "put_weights_beside", "state_identity"]


def compare(reference: Reference, model: Path) -> ParityReport:
    """Run the exported graph with onnxruntime on this machine's CPU, and compare it with the reference."""
    session = _session(model)

    def exported(inputs: Arrays) -> Actions:
        actions: Actions = session.run([OUTPUT], inputs)[0]
        return actions

    return parity(reference, exported)


def _session(model: Path) -> Any:
    options = onnxruntime.SessionOptions()
    # As in the server: idle threads that spin take the cores from all other programs on this machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no common base
        raise ConfigurationError(f"onnxruntime cannot load the exported graph: {error}") from error
