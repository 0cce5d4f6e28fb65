"""Cells that are discretised differential equations with two states."""

# Annotations in a cell are sizes, not types.
# pyright: reportMissingParameterType=false, reportUndefinedVariable=false

from __future__ import annotations

from elman.cells.notation import R, W, b, cell, sigmoid, tanh, u


@cell(init={"R.*": "orthogonal"})
def coRNN(x, /, y, z, *, dt=0.05, gamma=1.0, eps=1.0):
    """Coupled, driven and damped oscillators: position y, velocity z.

    Source: Rusch and Mishra 2021, arXiv:2010.00951, eq. 3.
    Convention: the damping takes the old velocity (the paper's explicit form, and its code); the
    position takes the new one. The output is y.
    """
    z = z + dt * (tanh(W.z @ x + R.y @ y + R.z @ z + b.z) - gamma * y - eps * z)
    return y + dt * z, z


@cell(init={"u.c": 0.0})
def UnICORNN(x, /, y, z, *, dt=0.05, alpha=1.0):
    """Undamped independent oscillators with a learned step size for each.

    Source: Rusch and Mishra 2021, arXiv:2103.05487, the discretised form.
    Convention: u.y is the paper's vector w (some libraries use a full matrix); its
    sigma-hat(c) = 0.5 + 0.5 tanh(c / 2) is the sigmoid.
    """
    d = dt * sigmoid(u.c)
    z = z - d * (tanh(W.z @ x + u.y * y + b.z) + alpha * y)
    return y + d * z, z


@cell(init={"R.*": "orthogonal"})
def LEM(x, /, y, z, *, dt=1.0):
    """Long expressive memory: two states with learned time scales.

    Source: Rusch et al. 2022, arXiv:2110.04744, eq. 3.
    Convention: W.a, R.a give the paper's step of z and W.c, R.c that of y. The output is y, which
    sees the new z.
    """
    dz = dt * sigmoid(W.a @ x + R.a @ y + b.a)
    dy = dt * sigmoid(W.c @ x + R.c @ y + b.c)
    z = (1 - dz) * z + dz * tanh(W.z @ x + R.z @ y + b.z)
    y = (1 - dy) * y + dy * tanh(W.y @ x + R.y @ z + b.y)
    return y, z
