"""Cells with a memory of their own kind: clocks, Legendre polynomials, exponential gates."""

# Annotations in a cell are sizes, not types.
# pyright: reportMissingParameterType=false, reportUndefinedVariable=false

from __future__ import annotations

import math
from operator import mul

from elman.cells.notation import (
    R,
    U,
    W,
    b,
    cell,
    const,
    exp,
    logsigmoid,
    maximum,
    p,
    sigmoid,
    tanh,
    u,
    where,
)


@cell(init={"R.*": "orthogonal", "b.*": 0.0, "b.f": 3.0})
def sLSTM(x, /, h, c, n, m=-math.inf):
    """Scalar LSTM with exponential input gate, a normaliser n and a stabiliser m.

    Source: Beck et al. 2024, xLSTM, arXiv:2405.04517, eqs. 8-17, with the sigmoid forget gate.
    Convention: i and f are logarithms of the gates. m starts at minus infinity, so that the first
    step takes its input gate as the scale (the authors' code treats n = 0 so). heads=k gives
    the paper's block-diagonal R.
    """
    i = W.i @ x + R.i @ h + b.i
    f = logsigmoid(W.f @ x + R.f @ h + b.f) + m
    z = tanh(W.z @ x + R.z @ h + b.z)
    o = sigmoid(W.o @ x + R.o @ h + b.o)
    m = maximum(f, i)
    c = exp(f - m) * c + exp(i - m) * z
    n = exp(f - m) * n + exp(i - m)
    return o * c / n, c, n, m


Matrix = list[list[float]]


def legendre(order: int, theta: float) -> tuple[Matrix, list[float]]:
    """The matrices (order, order) and (order,) of a delay of theta steps, discretised.

    Voelker et al. 2019, section 2; zero-order hold with a step of 1: the exponential of the
    augmented matrix [[A, B], [0, 0]], by scaling and squaring of its Taylor series.
    """
    augmented = [
        [(2 * i + 1) / theta * (-1.0 if i < j else (-1.0) ** (i - j + 1)) for j in range(order)]
        + [(2 * i + 1) / theta * (-1.0) ** i]
        for i in range(order)
    ]
    augmented.append([0.0] * (order + 1))
    size = max(math.fsum(map(abs, row)) for row in augmented)  # of the largest row
    halvings = max(0, math.ceil(math.log2(size)) + 1)
    scaled = [[value / 2.0**halvings for value in row] for row in augmented]
    unit = [[float(i == j) for j in range(order + 1)] for i in range(order + 1)]
    total = unit
    for k in range(20, 0, -1):  # Horner: 1 + M (1 + M / 2 (1 + M / 3 ...))
        product = _product(scaled, total)
        total = [
            [one + value / k for one, value in zip(row, other, strict=True)]
            for row, other in zip(unit, product, strict=True)
        ]
    for _ in range(halvings):
        total = _product(total, total)
    return [row[:order] for row in total[:order]], [row[order] for row in total[:order]]


def _product(left: Matrix, right: Matrix) -> Matrix:
    columns = list(zip(*right, strict=True))
    return [[math.fsum(map(mul, row, column)) for column in columns] for row in left]


@cell(init={"U.s": 0.0})
def LMU(x, /, h, m: order, *, order=16, theta=64.0):  # noqa: F821 - a hyper-parameter's name
    """Legendre memory unit: a state that spans a sliding window of theta steps.

    Source: Voelker, Kajic and Eliasmith 2019, NeurIPS, section 2.
    Convention: W.s, R.s, U.s are the encoders e_x, e_h, e_m (one row each); no biases, as in the
    paper.
    """
    transition, written = legendre(order, theta)
    s = W[1].s @ x + R[1].s @ h + U[1].s @ m
    m = const(transition) @ m + const(written) * s
    return tanh(W.h @ x + R.h @ h + U.h @ m), m


@cell(
    init={
        "R.*": "orthogonal",
        "b.*": 0.0,
        "b.f": 1.0,
        "u.logtau": "uniform:0:3",
        "u.s": "within:u.logtau",
    }
)
def PhasedLSTM(x, t: 1, /, h, c, *, r=0.05, leak=0.001):  # type: ignore[valid-type]
    """An LSTM whose units open for a share r of their own period.

    Source: Neil, Pfeiffer and Liu 2016, arXiv:1610.09513, section 2.
    Convention: t is the time of the step, a stream of size 1; u.s the shift, exp(u.logtau) the
    period. As in the paper periods start as exp(U(0, 3)), between 1 and 20 steps, and shifts
    anywhere within them. With peepholes; the output gate sees the proposed cell. The leak is the
    training value of the paper's alpha; set leak=0 at inference.
    """
    phi = ((t - u.s) % exp(u.logtau)) / exp(u.logtau)
    k = where(phi < r / 2, 2 * phi / r, where(phi < r, 2 - 2 * phi / r, leak * phi))
    i = sigmoid(W.i @ x + R.i @ h + p.i * c + b.i)
    f = sigmoid(W.f @ x + R.f @ h + p.f * c + b.f)
    d = f * c + i * tanh(W.g @ x + R.g @ h + b.g)
    o = sigmoid(W.o @ x + R.o @ h + p.o * d + b.o)
    return k * o * tanh(d) + (1 - k) * h, k * d + (1 - k) * c


@cell
def ClockworkRNN(x, t: 1, /, h, *, periods=(1, 2, 4, 8), width=2):  # type: ignore[valid-type]
    """Groups of units that run at periods of their own and hear only equal and slower groups.

    Source: Koutnik et al. 2014, arXiv:1402.3511, section 3.
    Convention: t is the number of the step, a stream of size 1; the hidden size is
    len(periods) * width. Written as a mask: skipped groups are computed and not taken.
    """
    clock = [float(period) for period in periods for _ in range(width)]
    mask = const([[own <= other for other in clock] for own in clock])
    new = tanh(W.h @ x + (mask * R.h) @ h + b.h)
    return where(t % const(clock) == 0, new, h)
