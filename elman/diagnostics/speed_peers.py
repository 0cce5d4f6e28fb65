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


def jax_layer(layer: Any, x: Tensor, owed: Tensor) -> dict[str, Callable[[], object]]:
    """One LSTM, GRU or RNN of torch as a compiled scan of JAX on `x`, `(T, B, F)`.

    "jax f" gives the output, "jax f+b" also the gradients of weights and input from `owed`; nothing
    where JAX is not installed. JAX decides itself how many threads it uses.
    """
    if find_spec("jax") is None:
        return {}
    jax: Any = import_module("jax")
    weights = {name: jax.numpy.asarray(p.detach().numpy()) for name, p in layer.named_parameters()}
    given = jax.numpy.asarray(x.detach().numpy())
    amounts = jax.numpy.asarray(owed.detach().numpy())
    step, hidden, rows = _JAX_STEPS[type(layer).__name__], layer.hidden_size, x.shape[1]

    def run(w: Any, values: Any) -> Any:
        pre = values @ w["weight_ih_l0"].T + w["bias_ih_l0"]
        zero = jax.numpy.zeros((rows, hidden))

        def once(state: Any, gates: Any) -> Any:
            own = state[0] @ w["weight_hh_l0"].T + w["bias_hh_l0"]
            state = step(jax, gates, own, state)
            return state, state[0]

        return jax.lax.scan(once, (zero, zero), pre)[1]

    def both(w: Any, values: Any, g: Any) -> Any:
        y, back = jax.vjp(run, w, values)
        return y, back(g)

    forward, backward = jax.jit(run), jax.jit(both)
    return {
        "jax f": lambda: jax.block_until_ready(forward(weights, given)),
        "jax f+b": lambda: jax.block_until_ready(backward(weights, given, amounts)),
    }


def _jax_lstm(jax: Any, gates: Any, own: Any, state: Any) -> Any:
    i, f, g, o = jax.numpy.split(gates + own, 4, axis=1)
    sigmoid, tanh = jax.nn.sigmoid, jax.numpy.tanh
    c = sigmoid(f) * state[1] + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


def _jax_gru(jax: Any, gates: Any, own: Any, state: Any) -> Any:
    (r, z, n), (own_r, own_z, own_n) = (jax.numpy.split(v, 3, axis=1) for v in (gates, own))
    z = jax.nn.sigmoid(z + own_z)
    n = jax.numpy.tanh(n + jax.nn.sigmoid(r + own_r) * own_n)
    return n + z * (state[0] - n), state[1]


def _jax_rnn(jax: Any, gates: Any, own: Any, state: Any) -> Any:
    return jax.numpy.tanh(gates + own), state[1]


_JAX_STEPS = {"LSTM": _jax_lstm, "GRU": _jax_gru, "RNN": _jax_rnn}


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
