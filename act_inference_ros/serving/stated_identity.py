"""Makes the exported graph state with each chunk which policy computed it: a second, constant output."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from act_inference_ros.serving.model_config import POLICY_ID_BYTES, POLICY_ID_OUTPUT

_PREFIX = "stated_identity/"


def state_identity(model: onnx.ModelProto, policy_id: str) -> None:
    """Give the graph the output `policy_id`, uint8 (batch, 32): the bytes of the hexadecimal `policy_id` (64 digits).

    The configuration of a Triton model is the same for all of its versions, and may not belong to the loaded weights.
    An output of the graph itself always belongs to the weights.
    """
    (action,) = model.graph.output
    batch = action.type.tensor_type.shape.dim[0].dim_param
    names = {part: f"{_PREFIX}{part}" for part in ("row", "size", "shape", "batch")}
    row = np.frombuffer(bytes.fromhex(policy_id), np.uint8)[np.newaxis]
    size = np.array([POLICY_ID_BYTES], np.int64)
    model.graph.initializer.append(numpy_helper.from_array(row, names["row"]))
    model.graph.initializer.append(numpy_helper.from_array(size, names["size"]))
    model.graph.node.extend(
        [
            helper.make_node("Shape", [action.name], [names["shape"]], start=0, end=1),
            helper.make_node("Concat", [names["shape"], names["size"]], [names["batch"]], axis=0),
            helper.make_node("Expand", [names["row"], names["batch"]], [POLICY_ID_OUTPUT]),
        ]
    )
    stated = helper.make_tensor_value_info(POLICY_ID_OUTPUT, TensorProto.UINT8, [batch, POLICY_ID_BYTES])
    model.graph.output.append(stated)
    onnx.checker.check_model(model)
