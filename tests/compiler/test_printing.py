"""Printed steps: golden pages for a few, and text that evaluates to the step for all."""

import re
from types import SimpleNamespace

import evaluator as oracle
import numpy as np
import pytest

from elman import cells
from elman.cells import catalogue, cell
from elman.cells.notation import R, W, tanh, u
from elman.compiler import format_latex, format_text

GRU_TEXT = """\
GRUResetAfter: inputs x (input); states h (hidden)
  parameters (hidden, input): W.r, W.z, W.n
  parameters (hidden, hidden): R.r, R.z, R.n
  parameters (hidden): b.r, b.z, b.n, u.n
  S  r = sigmoid(W.r @ x + R.r @ h + b.r)
  S  z = sigmoid(W.z @ x + R.z @ h + b.z)
  S  n = tanh(W.n @ x + b.n + r * (R.n @ h + u.n))
  S  h' = (1 - z) * n + z * h
"""

LSTM_LATEX = r"""
\begin{aligned}
  i_t &= \sigma(W_{i} x_t + R_{i} h_{t-1} + b_{i}) \\
  f_t &= \sigma(W_{f} x_t + R_{f} h_{t-1} + b_{f}) \\
  o_t &= \sigma(W_{o} x_t + R_{o} h_{t-1} + b_{o}) \\
  g_t &= \tanh(W_{g} x_t + R_{g} h_{t-1} + b_{g}) \\
  c_t &= f_t \odot c_{t-1} + i_t \odot g_t \\
  h_t &= o_t \odot \tanh(c_t)
\end{aligned}
"""

RGLRU_LATEX = r"""
\begin{aligned}
  r_t &= \sigma(W_{a} x_t + b_{a}) \\
  i_t &= \sigma(W_{x} x_t + b_{x}) \\
  \mathrm{loga}_t &= 8 \, r_t \odot \log \sigma(u_{\Lambda}) \\
  h_t &= \exp(\mathrm{loga}_t) \odot h_{t-1} + \sqrt{-\operatorname{expm1}(2 \, \mathrm{loga}_t)} \odot i_t \odot x_t
\end{aligned}
"""  # noqa: E501

SRU_TEXT = """\
SRU: inputs x (input); states c (hidden)
  parameters (hidden, input): W.f, W.r, W.c, W.skip
  parameters (hidden): u.f, b.f, u.r, b.r
  S  f = sigmoid(W.f @ x + u.f * c + b.f)
  S  r = sigmoid(W.r @ x + u.r * c + b.r)
  S  c' = f * c + (1 - f) * (W.c @ x)
  S  output = r * c' + (1 - r) * (W.skip @ x)
"""

RHN_LATEX = r"""
\begin{aligned}
  \mathrm{xh}_t &= W_{h} x_t \\
  \mathrm{xt}_t &= W_{t} x_t \\
  n_t^{(1)} &= \tanh(\mathrm{xh}_t + R_{h}^{(0)} s_{t-1} + b_{h}^{(0)}) \\
  g_t^{(1)} &= \sigma(\mathrm{xt}_t + R_{t}^{(0)} s_{t-1} + b_{t}^{(0)}) \\
  s_t^{(1)} &= g_t^{(1)} \odot n_t^{(1)} + (1 - g_t^{(1)}) \odot s_{t-1} \\
  n_t^{(2)} &= \tanh(R_{h}^{(1)} s_t^{(1)} + b_{h}^{(1)}) \\
  g_t^{(2)} &= \sigma(R_{t}^{(1)} s_t^{(1)} + b_{t}^{(1)}) \\
  s_t &= g_t^{(2)} \odot n_t^{(2)} + (1 - g_t^{(2)}) \odot s_t^{(1)}
\end{aligned}
"""


def test_golden_pages():
    assert format_text(cells.GRU.step()) == GRU_TEXT
    assert format_text(cells.SRU.step()) == SRU_TEXT
    assert format_latex(cells.LSTM.step()) == LSTM_LATEX.strip()
    assert format_latex(cells.RGLRU.step()) == RGLRU_LATEX.strip()
    assert format_latex(cells.RHN.step(depth=2)) == RHN_LATEX.strip()


def test_fractions_cases_and_starts():
    latex = format_latex(cells.PhasedLSTM.step())
    assert r"\begin{cases} v_t^{(2)} & \text{if } \phi_t < 0.025 \\" in latex
    assert r"\phi_t &= \frac{(t_t - u_{s}) \bmod v^{(1)}}{v^{(1)}}" in latex
    text = format_text(cells.sLSTM.step())
    assert "m (hidden) from -inf" in text
    assert r"h_t &= \frac{o_t \odot c_t}{n_t}" in format_latex(cells.sLSTM.step())


def test_states_that_are_passed_on():
    @cell
    def Delay(x, /, h, prev: "input", twin):
        h = tanh(W.h @ x + R.h @ twin + u.p * h + W.p @ prev)
        return h, x, h

    text = format_text(Delay.step())
    assert "  X  prev' = x\n" in text
    assert "  S  twin' = h'\n" in text


class Vectors(np.ndarray):
    """A batch of vectors: a matrix on the left of `@` multiplies each."""

    def __rmatmul__(self, matrix):
        return np.einsum("ij,...j->...i", np.asarray(matrix), np.asarray(self)).view(Vectors)


class Table(np.ndarray):
    """A matrix of parameters that leaves `@` with vectors to `Vectors`."""

    def __matmul__(self, other):
        if isinstance(other, Vectors):
            return NotImplemented
        return (np.asarray(self) @ np.asarray(other)).view(Table)


def _as_python(text):
    text = re.sub(r"(\w)'", r"\1_new", text)
    text = re.sub(r"\[([a-z0-9]+)\]", r"['\1']", text)
    return re.sub(r"\bR\.T\b", "R.T", text)


def _spaces(parameters):
    found = {}
    for name, value in parameters.items():
        space, _, rest = name.partition(".")
        value = value.view(Table if value.ndim == 2 else np.ndarray)
        base, *keys = re.findall(r"[^\[\]]+", rest)
        holder = found.setdefault(space, SimpleNamespace())
        if keys:
            if not hasattr(holder, base):
                setattr(holder, base, {})
            getattr(holder, base)[keys[0]] = value
        else:
            setattr(holder, base, value)
    return found


@pytest.mark.parametrize("name", list(catalogue()))
def test_the_text_evaluates_to_the_step(name):
    """The printed lines, run as Python on numpy arrays, give the step's values."""
    step = catalogue()[name].step()
    hidden = 8 if name == "ClockworkRNN" else 6
    parameters, inputs, states = oracle.random_values(step, 0, input_size=6, hidden_size=hidden)
    if "t" in inputs:
        inputs["t"] = np.arange(5.0)[:, None]
    functions = dict(oracle.OPERATIONS) | {"inf": np.inf}
    space = functions | _spaces(parameters)
    space |= {key: value.view(Vectors) for key, value in (inputs | states).items()}
    arrays = [e for e in step.equations if e.op == "const" and e.var.shape]
    for number, equation in enumerate(arrays, 1):
        value = np.array(dict(equation.attributes)["values"]).reshape(equation.var.shape)
        space[f"C{number}"] = value.view(Table if value.ndim == 2 else np.ndarray)
    for line in format_text(step).splitlines():
        if found := re.match(r"  [PXS]  (\S+) = (.*)", line):
            left, right = map(_as_python, found.groups())
            value = eval(right, space)
            space[left] = value if value.ndim < 2 else value.view(Vectors)
    want, new = oracle.evaluate(step, parameters, inputs, states)
    got = space.get("output", space[f"{step.states[0].name}_new"])
    np.testing.assert_allclose(got, want, rtol=1e-12)
    for state, value in zip(step.states, new, strict=True):
        np.testing.assert_allclose(space[f"{state.name}_new"], value, rtol=1e-12)


@pytest.mark.parametrize("name", list(catalogue()))
def test_latex_is_balanced(name):
    latex = format_latex(catalogue()[name].step())
    assert latex.count("{") == latex.count("}")
    assert latex.count(r"\left(") == latex.count(r"\right)")
    assert latex.count(r"\begin") == latex.count(r"\end")
    assert "None" not in latex
