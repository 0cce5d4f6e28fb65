"""Simple recurrent networks: one equation, no gates."""

# Annotations in a cell are sizes, not types.
# pyright: reportMissingParameterType=false, reportUndefinedVariable=false

from __future__ import annotations

from elman.cells.notation import R, W, activate, b, cell, relu, tanh, u


@cell(init={"R.*": "orthogonal"})
def Elman(x, /, h, *, activation="tanh"):
    """The simple recurrent network.

    Source: Elman 1990, Finding structure in time, Cognitive Science 14.
    Convention: torch.nn.RNN with b_ih + b_hh = b.h; `activation` is tanh, relu, leaky_relu,
    sigmoid, identity, silu, softplus or sin (Elman used the sigmoid).
    """
    return activate(activation, W.h @ x + R.h @ h + b.h)


@cell(init={"R.*": "orthogonal"})
def Jordan(x, /, y, *, activation="tanh"):
    """The output, not the hidden layer, is fed back.

    Source: Jordan 1986, Serial order: a parallel distributed processing approach.
    Convention: the output y has the hidden size; Jordan's decaying context units (weight mu on
    themselves) are left out, as is common since.
    """
    h = activate(activation, W.h @ x + R.h @ y + b.h)
    return activate(activation, R.y @ h + b.y)


@cell(init={"R.*": "identity", "b.*": 0.0})
def IRNN(x, /, h):
    """Rectified linear units that start as a memory: R.h is the identity.

    Source: Le, Jaitly and Hinton 2015, arXiv:1504.00941.
    Convention: torch.nn.RNN(nonlinearity="relu") with that initialisation; the paper draws W.h
    from N(0, 0.001).
    """
    return relu(W.h @ x + R.h @ h + b.h)


@cell(init={"u.h": 1.0})
def IndRNN(x, /, h):
    """Each unit hears only itself: the recurrent weight is a vector.

    Source: Li et al. 2018, arXiv:1803.04831, section 3.
    Convention: u.h is the paper's u; it clips |u| to 2 ** (1 / T), which is a training matter.
    """
    return relu(W.h @ x + u.h * h + b.h)


@cell(init={"R.*": "orthogonal"})
def AntisymmetricRNN(x, /, h, *, eps=0.01, gamma=0.01):
    """An Euler step of an equation whose Jacobian has imaginary eigenvalues.

    Source: Chang et al. 2019, arXiv:1902.09689, section 3.
    Convention: W.h is the paper's V_h and R.h its W_h; eps is the step, gamma the diffusion.
    """
    return h + eps * tanh(W.h @ x + (R.h - R.h.T) @ h - gamma * h + b.h)
