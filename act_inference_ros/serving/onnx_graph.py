"""The policy as one ONNX graph: raw uint8 images and raw states in, un-normalised actions out, any batch size."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import onnx
import onnxscript.optimizer
import torch
from google.protobuf.message import Message

from act_inference_ros.errors import ConfigurationError

if TYPE_CHECKING:
    from act_inference_ros.policy.load import LoadedPolicy

OUTPUT = "action"
BATCH = "batch"
PRECISIONS = {"float32": torch.float32, "float16": torch.float16}

OPSET = 18
"""Of every onnxruntime since 1.14, so of the Triton containers since 23.03."""
IR_VERSION = 8
"""The oldest that carries opset 18; older onnxruntimes refuse the exporter's own, which the graph has no need of."""

_FOLD_UP_TO_BYTES = 2**31


def onnx_graph(policy: LoadedPolicy, precision: str = "float32") -> onnx.ModelProto:
    """Export the policy's graph, constants folded.

    Inputs are named and ordered as `policy.spec.keys`: vectors float32 (batch, dim), images uint8 (batch, height,
    width, 3); the output is `action`, float32 (batch, chunk_size, action_dim). `precision` is the network's; what is
    read and written, and normalisation, do not depend on it. Takes the policy over: its graph gets that precision.

    Raises ConfigurationError for an unknown precision or a policy that PyTorch cannot export.
    """
    if precision not in PRECISIONS:
        raise ConfigurationError(f"precision {precision!r}: expected one of {', '.join(PRECISIONS)}")
    policy.graph.set_precision(PRECISIONS[precision])
    # Two rows: the exporter takes a size of one for a constant.
    examples = tuple(torch.cat([row, row]) for row in policy.graph.typical_inputs())
    batch = torch.export.Dim(BATCH, min=1)
    shapes = (tuple({0: batch} for _ in examples),)  # one tuple within another: forward takes *inputs
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
    except Exception as error:  # of many kinds, pages long
        raise ConfigurationError(f"PyTorch cannot export this policy: {_first_line(error)}") from error
    if program is None:
        raise ConfigurationError("PyTorch returned no ONNX graph")
    # The exporter itself folds small tensors only and would leave the slicing of the attention's weights to the server.
    limits = {"input_size_limit": _FOLD_UP_TO_BYTES, "output_size_limit": _FOLD_UP_TO_BYTES}
    onnxscript.optimizer.fold_constants(program.model, onnx_shape_inference=True, **limits)
    onnxscript.optimizer.remove_unused_nodes(program.model)
    model = program.model_proto
    model.ir_version = IR_VERSION
    _forget_origin(model)
    model.doc_string = f"ACT policy, {precision}; raw observation in, actions in the data set's units out"
    onnx.checker.check_model(model)
    return model


def _forget_origin(model: onnx.ModelProto) -> None:
    """Remove what the exporter notes on each part of the graph: stack traces, which name this machine's files."""
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
    """Silences what the exporter says about itself (deprecations, packages it could use) while it works."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
