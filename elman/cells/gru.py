"""Gated recurrent units and smaller gated cells."""

# Annotations in a cell are sizes, not types.
# pyright: reportMissingParameterType=false, reportUndefinedVariable=false

from __future__ import annotations

from elman.cells.notation import R, W, b, cell, sigmoid, tanh, u

INIT = {"R.*": "orthogonal", "b.*": 0.0}


@cell(init=INIT)
def GRUResetBefore(x, /, h):
    """Gated recurrent unit, the reset gate before the product.

    Source: Cho et al. 2014, arXiv:1406.1078, eqs. 5-8.
    Convention: that paper's z keeps the old state, as here; Chung et al. 2014 exchange z and 1 - z.
    ONNX: linear_before_reset = 0.
    """
    r = sigmoid(W.r @ x + R.r @ h + b.r)
    z = sigmoid(W.z @ x + R.z @ h + b.z)
    n = tanh(W.n @ x + R.n @ (r * h) + b.n)
    return (1 - z) * n + z * h


@cell(init={**INIT, "u.n": 0.0})
def GRUResetAfter(x, /, h):
    """Gated recurrent unit, the reset gate after the product: all three products at once.

    Source: cuDNN (CUDNN_GRU), torch.nn.GRU; after Cho et al. 2014, arXiv:1406.1078.
    Convention: torch stacks r, z, n; b.r and b.z are b_ih + b_hh, b.n is b_ih's part and u.n
    b_hh's. ONNX: linear_before_reset = 1.
    """
    r = sigmoid(W.r @ x + R.r @ h + b.r)
    z = sigmoid(W.z @ x + R.z @ h + b.z)
    n = tanh(W.n @ x + b.n + r * (R.n @ h + u.n))
    return (1 - z) * n + z * h


@cell(init={**INIT, "u.n": 0.0})
def ZoneoutGRU(x, keep, /, h):
    """A GRU some of whose units keep their state for a step.

    Source: Krueger et al. 2016, arXiv:1606.01305, on the GRU of cuDNN.
    Convention: `keep` is a stream, 1 where the unit keeps its old value; at inference its mean.
    """
    r = sigmoid(W.r @ x + R.r @ h + b.r)
    z = sigmoid(W.z @ x + R.z @ h + b.z)
    n = tanh(W.n @ x + b.n + r * (R.n @ h + u.n))
    return keep * h + (1 - keep) * ((1 - z) * n + z * h)


@cell(init=INIT)
def MGU(x, /, h):
    """Minimal gated unit: one gate resets and updates.

    Source: Zhou et al. 2016, arXiv:1603.09420.
    """
    f = sigmoid(W.f @ x + R.f @ h + b.f)
    return (1 - f) * h + f * tanh(W.h @ x + R.h @ (f * h) + b.h)


@cell(init={**INIT, "b.f": 1.0})
def JANET(x, /, c, *, beta=1.0):
    """An LSTM with nothing but the forget gate.

    Source: van der Westhuizen and Lasenby 2018, arXiv:1804.04849.
    Convention: the state c is the output; the paper starts b.f by chrono initialisation.
    """
    s = W.f @ x + R.f @ c + b.f
    return sigmoid(s) * c + (1 - sigmoid(s - beta)) * tanh(W.c @ x + R.c @ c + b.c)


@cell(init={"b.*": 1.0, "u.zeta": 1.0, "u.nu": -4.0})
def FastGRNN(x, /, h, *, rank=4):
    """A residual unit with one gate that shares its matrices, of low rank in the state.

    Source: Kusupati et al. 2018, arXiv:1901.02358, section 3.2.2.
    Convention: U = R.out R.inn of the given rank; W.h has full rank (the paper factors it too).
    zeta and nu are scalars in [0, 1] written as sigmoids, started at sigmoid(1) and sigmoid(-4),
    the biases at 1, as in the authors' code.
    """
    a = W.h @ x + R.out @ (R[rank].inn @ h)
    z, n = sigmoid(a + b.z), tanh(a + b.h)
    zeta, nu = sigmoid(u[1].zeta), sigmoid(u[1].nu)
    return (zeta * (1 - z) + nu) * n + z * h


@cell(init={"R.*": "orthogonal", "b.*": 0.0, "b.t*": -2.0})
def RHN(x, /, s, *, depth=3):
    """Recurrent highway network: several highway layers in each step.

    Source: Zilly et al. 2017, arXiv:1607.03474, eqs. 6-9, with the carry gate coupled, c = 1 - t.
    Convention: R.h[l], R.t[l] belong to the layer l; the input enters the first. The transform
    bias starts at -2, so that the network starts by carrying.
    """
    for layer in range(depth):
        xh, xt = (W.h @ x, W.t @ x) if layer == 0 else (0.0, 0.0)
        n = tanh(xh + R.h[layer] @ s + b.h[layer])
        g = sigmoid(xt + R.t[layer] @ s + b.t[layer])
        s = g * n + (1 - g) * s
    return s
