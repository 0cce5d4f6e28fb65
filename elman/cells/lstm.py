"""Long short-term memory and its variants."""

# Annotations in a cell are sizes, not types.
# pyright: reportMissingParameterType=false, reportUndefinedVariable=false

from __future__ import annotations

from elman.cells.notation import R, U, W, b, cell, norm, p, sigmoid, tanh, u

INIT = {"R.*": "orthogonal", "b.*": 0.0, "b.f": 1.0}


@cell(init=INIT)
def LSTM(x, /, h, c):
    """Long short-term memory with a forget gate.

    Source: Hochreiter and Schmidhuber 1997; forget gate: Gers, Schmidhuber and Cummins 2000.
    Convention: torch.nn.LSTM stacks the gates i, f, g, o; b.k = b_ih + b_hh. The forget bias
    starts at 1 (Gers et al. 2000; Jozefowicz et al. 2015).
    """
    i = sigmoid(W.i @ x + R.i @ h + b.i)
    f = sigmoid(W.f @ x + R.f @ h + b.f)
    o = sigmoid(W.o @ x + R.o @ h + b.o)
    g = tanh(W.g @ x + R.g @ h + b.g)
    c = f * c + i * g
    return o * tanh(c), c


@cell(init=INIT)
def PeepholeLSTM(x, /, h, c):
    """The gates see the cell; the output gate sees the new one.

    Source: Gers and Schmidhuber 2000, Recurrent nets that time and count; Graves 2013,
    arXiv:1308.0850, eqs. 7-11.
    Convention: ONNX stacks the peepholes p as i, o, f.
    """
    i = sigmoid(W.i @ x + R.i @ h + p.i * c + b.i)
    f = sigmoid(W.f @ x + R.f @ h + p.f * c + b.f)
    g = tanh(W.g @ x + R.g @ h + b.g)
    c = f * c + i * g
    o = sigmoid(W.o @ x + R.o @ h + p.o * c + b.o)
    return o * tanh(c), c


@cell(init=INIT)
def CoupledLSTM(x, /, h, c):
    """Coupled input and forget gate: what is forgotten is written anew.

    Source: Greff et al. 2017, arXiv:1503.04069, appendix A, variant CIFG (i = 1 - f).
    Convention: without the peepholes of that paper's base network.
    """
    f = sigmoid(W.f @ x + R.f @ h + b.f)
    o = sigmoid(W.o @ x + R.o @ h + b.o)
    g = tanh(W.g @ x + R.g @ h + b.g)
    c = f * c + (1 - f) * g
    return o * tanh(c), c


@cell(init=INIT)
def LSTMP(x, /, h: proj, c, *, proj=4):  # noqa: F821 - the size is a hyper-parameter's name
    """LSTM with a projected output: the matrices R are (hidden, proj).

    Source: Sak, Senior and Beaufays 2014, arXiv:1402.1128, section 2.
    Convention: torch.nn.LSTM(proj_size=proj), U.h = weight_hr; without the paper's peepholes and
    without its non-recurrent projection.
    """
    i = sigmoid(W.i @ x + R.i @ h + b.i)
    f = sigmoid(W.f @ x + R.f @ h + b.f)
    o = sigmoid(W.o @ x + R.o @ h + b.o)
    c = f * c + i * tanh(W.g @ x + R.g @ h + b.g)
    return U[proj].h @ (o * tanh(c)), c


@cell(init=INIT)
def MultiplicativeLSTM(x, /, h, c):
    """The input chooses the recurrent matrix, by a product in an intermediate state.

    Source: Krause et al. 2016, arXiv:1609.07959, section 3.
    Convention: the paper's h-hat is g before its tanh; biases added.
    """
    m = (W.m @ x) * (R.m @ h)
    i = sigmoid(W.i @ x + R.i @ m + b.i)
    f = sigmoid(W.f @ x + R.f @ m + b.f)
    o = sigmoid(W.o @ x + R.o @ m + b.o)
    g = tanh(W.g @ x + R.g @ m + b.g)
    c = f * c + i * g
    return o * tanh(c), c


@cell(init={"R.*": "orthogonal", "u.*": 1.0, "b.*": 0.0, "b.z[f]": 1.0})
def LayerNormLSTM(x, /, h, c):
    """Normalised over the features: the input's part, the state's part and the cell.

    Source: Ba, Kiros and Hinton 2016, arXiv:1607.06450, section 5 and appendix.
    Convention: the gains are u, the two biases of a gate are one, b.z[k].
    """

    def pre(k):
        return u.w[k] * norm(W.z[k] @ x) + u.r[k] * norm(R.z[k] @ h) + b.z[k]

    i, f, o, g = sigmoid(pre("i")), sigmoid(pre("f")), sigmoid(pre("o")), tanh(pre("g"))
    c = f * c + i * g
    return o * tanh(u.c * norm(c) + b.c), c
