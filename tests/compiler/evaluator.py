"""A small evaluator of steps in numpy, float64, that shares nothing with elman."""

import numpy as np


def _sigmoid(x):
    return np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), 1 - 1 / (1 + np.exp(-np.abs(x))))


def _softplus(x):
    return np.logaddexp(0.0, x)


def _norm(x, eps):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps)


def _matmul(a, b):
    # Vectors are rows of a batch (..., size); matrices are parameters without a batch.
    if a.ndim == 2 and isinstance(b, Matrix):
        return Matrix(a.view(np.ndarray) @ b.view(np.ndarray))
    return np.einsum("ij,...j->...i", a.view(np.ndarray), b)


class Matrix(np.ndarray):
    """Marks parameters and constants of rank 2, so that a batch of vectors is not taken for one."""

    def __new__(cls, value):
        return np.asarray(value, dtype=np.float64).view(cls)


OPERATIONS = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "mod": lambda a, b: a - b * np.floor(a / b),
    "neg": np.negative,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "lt": lambda a, b: (a < b) * 1.0,
    "le": lambda a, b: (a <= b) * 1.0,
    "gt": lambda a, b: (a > b) * 1.0,
    "ge": lambda a, b: (a >= b) * 1.0,
    "eq": lambda a, b: (a == b) * 1.0,
    "ne": lambda a, b: (a != b) * 1.0,
    "where": lambda c, a, b: np.where(c != 0, a, b),
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x, slope: np.where(x > 0, x, slope * x),
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "square": np.square,
    "softplus": _softplus,
    "logsigmoid": lambda x: -_softplus(-x),
    "silu": lambda x: x * _sigmoid(x),
    "abs": np.abs,
    "cos": np.cos,
    "sin": np.sin,
    "matmul": _matmul,
    "transpose": lambda x: Matrix(x.view(np.ndarray).T),
    "norm": _norm,
    "mean": lambda x: x.mean(-1, keepdims=True),
    "sum": lambda x: x.sum(-1, keepdims=True),
}


def evaluate(step, parameters, inputs, states):
    """Output and new states of one step: inputs and states by name, shaped (batch, size)."""
    values = {}
    for item in step.inputs:
        values[item.var] = np.asarray(inputs[item.name], dtype=np.float64)
    for item in step.states:
        values[item.var] = np.asarray(states[item.name], dtype=np.float64)
    for item in step.parameters:
        value = np.asarray(parameters[item.name], dtype=np.float64)
        values[item.var] = Matrix(value) if value.ndim == 2 else value
    with np.errstate(all="ignore"):
        for equation in step.equations:
            attributes = dict(equation.attributes)
            if equation.op == "const":
                value = np.array(attributes["values"]).reshape(equation.var.shape)
                values[equation.var] = Matrix(value) if value.ndim == 2 else value
            else:
                args = [values[arg] for arg in equation.args]
                values[equation.var] = OPERATIONS[equation.op](*args, **attributes)
    return values[step.output], [values[var] for var in step.new_states]


def random_values(step, seed, *, input_size=3, hidden_size=4, batch=5):
    """Parameters, inputs and states of the right shapes; infinite starts stay infinite."""
    rng = np.random.default_rng(seed)
    sizes = {"input": input_size, "hidden": hidden_size}

    def draw(shape, *before):
        numbers = (sizes[size] if isinstance(size, str) else size for size in shape)
        return rng.normal(size=(*before, *numbers)) * 0.7

    parameters = {item.name: draw(item.var.shape) for item in step.parameters}
    inputs = {item.name: draw(item.var.shape, batch) for item in step.inputs}
    states = {item.name: draw(item.var.shape, batch) for item in step.states}
    return parameters, inputs, states
