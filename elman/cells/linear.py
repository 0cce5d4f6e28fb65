"""Linear and nearly linear recurrences: no matrix meets the state; most run as a scan."""

# Annotations in a cell are sizes, not types.
# pyright: reportMissingParameterType=false, reportUndefinedVariable=false

from __future__ import annotations

from elman.cells.notation import (
    W,
    b,
    cell,
    cos,
    exp,
    expm1,
    logsigmoid,
    sigmoid,
    sin,
    sqrt,
    tanh,
    u,
)


@cell
def minGRU(x, /, h):
    """A GRU whose gate and candidate do not see the state.

    Source: Feng et al. 2024, Were RNNs all we needed?, arXiv:2410.01201, section 3.1.
    """
    z = sigmoid(W.z @ x + b.z)
    return (1 - z) * h + z * (W.h @ x + b.h)


@cell(init={"b.f": 1.0})
def minLSTM(x, /, h):
    """An LSTM whose gates do not see the state, scaled to sum to one.

    Source: Feng et al. 2024, Were RNNs all we needed?, arXiv:2410.01201, section 3.2.
    """
    f, i = sigmoid(W.f @ x + b.f), sigmoid(W.i @ x + b.i)
    return f / (f + i) * h + i / (f + i) * (W.h @ x + b.h)


@cell(init={"u.Lambda": 5.0})
def RGLRU(x, /, h, *, c=8.0):
    """The real-gated linear recurrent unit of Griffin; the input has the hidden size.

    Source: De et al. 2024, arXiv:2402.19427, eqs. 1-4 with a = sigmoid(Lambda).
    Convention: a ** (c r) is computed in logarithms, and 1 - a ** 2 by expm1. The paper draws
    a ** c from [0.9, 0.999]; Lambda = 5 is a ** c = 0.948. Its gates are block-diagonal, here
    they are full.
    """
    r = sigmoid(W.a @ x + b.a)
    i = sigmoid(W.x @ x + b.x)
    loga = c * r * logsigmoid(u.Lambda)
    return exp(loga) * h + sqrt(-expm1(2 * loga)) * (i * x)


@cell(init={"b.f": 1.0})
def QRNN(x, /, c):
    """Quasi-recurrent network, fo-pooling, over windows of one step.

    Source: Bradbury et al. 2017, arXiv:1611.01576, section 2.
    Convention: a wider window is a convolution of the input, done before the layer. The output is
    o * c; the state is c.
    """
    z = tanh(W.z @ x + b.z)
    f = sigmoid(W.f @ x + b.f)
    o = sigmoid(W.o @ x + b.o)
    c = f * c + (1 - f) * z
    return o * c, c


@cell
def SRU(x, /, c):
    """Simple recurrent unit: gates see the state through vectors; the output is a highway.

    Source: Lei et al. 2018, arXiv:1709.02755, eqs. 1-4.
    Convention: u is the paper's v; the skipped x goes through W.skip, so that the input may have
    any size (the paper does so where the sizes differ); its constant alpha is left out. The
    output is h, the state c.
    """
    f = sigmoid(W.f @ x + u.f * c + b.f)
    r = sigmoid(W.r @ x + u.r * c + b.r)
    new = f * c + (1 - f) * (W.c @ x)
    return r * new + (1 - r) * (W.skip @ x), new


@cell(init={"u.nu": -3.0, "u.theta": "uniform:1"})
def ComplexLRU(x, /, re, im):
    """Linear recurrent unit: a diagonal complex recurrence, as two real states.

    Source: Orvieto et al. 2023, arXiv:2303.06349, section 3.3 (exponential parametrisation) and 3.4
    (normalisation).
    Convention: lambda = exp(-exp(nu) + i exp(theta)), B = W.re + i W.im. The output is the real
    part: the paper's Re(C x) + D u is a layer after it. gamma = sqrt(1 - |lambda| ** 2) is tied to
    nu; the paper learns it from that start. exp(-exp(-3)) = 0.951 lies in its ring [0.9, 0.999],
    the phases start between exp(-1) and exp(1).
    """
    magnitude, phase = exp(-exp(u.nu)), exp(u.theta)
    gamma = sqrt(-expm1(-2 * exp(u.nu)))
    real, imaginary = magnitude * cos(phase), magnitude * sin(phase)
    return (
        real * re - imaginary * im + gamma * (W.re @ x),
        real * im + imaginary * re + gamma * (W.im @ x),
    )
