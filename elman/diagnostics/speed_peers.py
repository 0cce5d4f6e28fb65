"""Other people's layers to stand beside, where they are installed."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

_ORDER = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2)}  # ONNX's iofc and zrh from torch's gates
_OPSET = 17


def onnx_layer(layer: Any, x: Tensor) -> Callable[[], object] | None:
    """One LSTM or GRU of torch as an onnxruntime session on `x`, `(T, B, F)`.

    None where onnx or onnxruntime is not installed.
    """
    if find_spec("onnx") is None or find_spec("onnxruntime") is None:
        return None
    onnxruntime: Any = import_module("onnxruntime")
    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    # Its threads would go on spinning while the others are measured.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session: Any = onnxruntime.InferenceSession(
        _model(layer), options, providers=["CPUExecutionProvider"]
    )
    given = {"x": x.numpy()}
    return lambda: session.run(None, given)


def _model(layer: Any) -> bytes:
    onnx: Any = import_module("onnx")
    helper, numpy_helper = import_module("onnx.helper"), import_module("onnx.numpy_helper")
    kind = type(layer).__name__
    hidden = layer.hidden_size

    def stacked(value: Tensor) -> Tensor:
        gates = value.detach().chunk(len(_ORDER[kind]))
        return torch.cat([gates[k] for k in _ORDER[kind]])[None]

    bias = torch.cat([stacked(layer.bias_ih_l0), stacked(layer.bias_hh_l0)], dim=1)
    weights = {"w": stacked(layer.weight_ih_l0), "r": stacked(layer.weight_hh_l0), "b": bias}
    attributes: dict[str, Any] = {"linear_before_reset": 1} if kind == "GRU" else {}
    node = helper.make_node(kind, ["x", "w", "r", "b"], ["y"], hidden_size=hidden, **attributes)
    number = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [node],
        kind,
        [helper.make_tensor_value_info("x", number, ["t", "n", layer.input_size])],
        [helper.make_tensor_value_info("y", number, ["t", 1, "n", hidden])],
        [numpy_helper.from_array(value.numpy(), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)])
    model.ir_version = 8
    return model.SerializeToString()
