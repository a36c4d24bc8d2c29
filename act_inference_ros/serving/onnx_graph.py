"""The policy as one ONNX graph: raw uint8 images and raw states in, un-normalised actions out, any batch size."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import onnxscript.optimizer
import torch
from google.protobuf.message import Message

from act_inference_ros.errors import ConfigurationError, first_line
from act_inference_ros.inference.local.export_cache import OPSET

if TYPE_CHECKING:
    from act_inference_ros.policy.load import LoadedPolicy

OUTPUT = "action"
BATCH = "batch"
PRECISIONS = {"float32": torch.float32, "float16": torch.float16}

IR_VERSION = 8
"""The oldest IR version that supports opset 18; older onnxruntimes refuse the exporter's newer one, which is not
needed."""

_KEPT_BYTES = 1024
"""Smaller tensors stay in the graph's own file, bytes."""
_FOLD_UP_TO_BYTES = 2**31


def onnx_graph(policy: LoadedPolicy, precision: str = "float32") -> onnx.ModelProto:
    """Export the policy's graph, constants folded.

    Inputs are named and ordered as `policy.spec.keys`: vectors float32 (batch, dim), images uint8 (batch, height,
    width, 3); the output is `action`, float32 (batch, chunk_size, action_dim). `precision` applies to the network only;
    inputs, outputs and normalisation do not depend on it. The function changes the policy: its graph gets that
    precision.

    Raises ConfigurationError for an unknown precision or a policy that PyTorch cannot export.
    """
    if precision not in PRECISIONS:
        raise ConfigurationError(f"precision {precision!r}: expected one of {', '.join(PRECISIONS)}")
    policy.graph.set_precision(PRECISIONS[precision])
    # Two rows, because the exporter treats a size of one as a constant.
    examples = tuple(torch.cat([row, row]) for row in policy.graph.typical_inputs())
    batch = torch.export.Dim(BATCH, min=1)
    shapes = (tuple({0: batch} for _ in examples),)  # a tuple inside a tuple, because forward takes *inputs
    try:
        with _quiet_exporter():
            program = torch.onnx.export(
                policy.graph,
                examples,
                dynamo=True,
                input_names=list(policy.spec.keys),
                output_names=[OUTPUT],
                opset_version=OPSET,
                dynamic_shapes=shapes,
                verbose=False,
            )
    except Exception as error:  # many kinds of errors, pages long
        raise ConfigurationError(f"PyTorch cannot export this policy: {first_line(error)}") from error
    if program is None:
        raise ConfigurationError("PyTorch returned no ONNX graph")
    # The exporter itself folds only small tensors and would leave the slicing of the attention's weights to the server.
    limits = {"input_size_limit": _FOLD_UP_TO_BYTES, "output_size_limit": _FOLD_UP_TO_BYTES}
    onnxscript.optimizer.fold_constants(program.model, onnx_shape_inference=True, **limits)
    onnxscript.optimizer.remove_unused_nodes(program.model)
    model = program.model_proto
    model.ir_version = IR_VERSION
    _forget_origin(model)
    model.doc_string = f"ACT policy, {precision}; raw observation in, actions in the data set's units out"
    onnx.checker.check_model(model)
    return model


def put_weights_beside(graph: Path, name: str) -> None:
    """Move the weights of the graph in a file to another file, `name` in the same directory."""
    model = onnx.load(graph)
    onnx.save_model(model, graph, save_as_external_data=True, location=name, size_threshold=_KEPT_BYTES)


def _forget_origin(model: onnx.ModelProto) -> None:
    """Remove the exporter's notes on each part of the graph: stack traces, which name files of this machine."""
    del model.metadata_props[:]
    for graph in (model.graph, *model.functions):
        _strip(graph)


def _strip(part: Message) -> None:
    for name in ("doc_string", "metadata_props"):
        if name in part.DESCRIPTOR.fields_by_name:
            part.ClearField(name)
    for field, value in part.ListFields():
        if field.message_type is not None:
            for child in [value] if isinstance(value, Message) else value:
                _strip(child)


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silences the exporter's messages about itself (deprecations, optional packages) while it works."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
