"""Every cell of the catalogue once more, in numpy, for one row and one step: the tests' oracle.

Written from the papers' equations with torch-free code; shares nothing with elman. Each function
takes the inputs, the states and the parameters (by name) and gives the output and the new states.
"""

import math

import numpy as np


def s(x):
    return 1 / (1 + np.exp(-x))


def normal(x):
    return (x - x.mean()) / np.sqrt(((x - x.mean()) ** 2).mean() + 1e-5)


def gate(P, k, x, h):
    return P[f"W.{k}"] @ x + P[f"R.{k}"] @ h + P[f"b.{k}"]


def elman(x, h, P):
    h = np.tanh(gate(P, "h", x, h))
    return h, (h,)


def jordan(x, y, P):
    h = np.tanh(P["W.h"] @ x + P["R.h"] @ y + P["b.h"])
    y = np.tanh(P["R.y"] @ h + P["b.y"])
    return y, (y,)


def irnn(x, h, P):
    h = np.maximum(gate(P, "h", x, h), 0)
    return h, (h,)


def indrnn(x, h, P):
    h = np.maximum(P["W.h"] @ x + P["u.h"] * h + P["b.h"], 0)
    return h, (h,)


def antisymmetric(x, h, P):
    R = P["R.h"]
    h = h + 0.01 * np.tanh(P["W.h"] @ x + R @ h - R.T @ h - 0.01 * h + P["b.h"])
    return h, (h,)


def lstm(x, h, c, P):
    i, f, o = (s(gate(P, k, x, h)) for k in "ifo")
    c = f * c + i * np.tanh(gate(P, "g", x, h))
    h = o * np.tanh(c)
    return h, (h, c)


def peephole(x, h, c, P):
    i = s(gate(P, "i", x, h) + P["p.i"] * c)
    f = s(gate(P, "f", x, h) + P["p.f"] * c)
    c = f * c + i * np.tanh(gate(P, "g", x, h))
    h = s(gate(P, "o", x, h) + P["p.o"] * c) * np.tanh(c)
    return h, (h, c)


def coupled(x, h, c, P):
    f = s(gate(P, "f", x, h))
    c = f * c + (1 - f) * np.tanh(gate(P, "g", x, h))
    h = s(gate(P, "o", x, h)) * np.tanh(c)
    return h, (h, c)


def lstmp(x, h, c, P):
    full, (_, c) = lstm(x, h, c, P)
    h = P["U.h"] @ full
    return h, (h, c)


def multiplicative(x, h, c, P):
    return lstm(x, (P["W.m"] @ x) * (P["R.m"] @ h), c, P)


def layer_norm_lstm(x, h, c, P):
    def pre(k):
        left = P[f"u.w[{k}]"] * normal(P[f"W.z[{k}]"] @ x)
        return left + P[f"u.r[{k}]"] * normal(P[f"R.z[{k}]"] @ h) + P[f"b.z[{k}]"]

    c = s(pre("f")) * c + s(pre("i")) * np.tanh(pre("g"))
    h = s(pre("o")) * np.tanh(P["u.c"] * normal(c) + P["b.c"])
    return h, (h, c)


def slstm(x, h, c, n, m, P):
    i, z, o = gate(P, "i", x, h), np.tanh(gate(P, "z", x, h)), s(gate(P, "o", x, h))
    f = np.log(s(gate(P, "f", x, h)))
    new = np.maximum(f + m, i)
    keep, write = np.exp(f + m - new), np.exp(i - new)
    c, n = keep * c + write * z, keep * n + write
    h = o * c / n
    return h, (h, c, n, new)


def phased(x, t, h, c, P):
    tau = np.exp(P["u.logtau"])
    phi = ((t - P["u.s"]) / tau) % 1.0
    k = np.empty_like(phi)
    for j, value in enumerate(phi):
        k[j] = 2 * value / 0.05 if value < 0.025 else 0.001 * value
        if 0.025 <= value < 0.05:
            k[j] = 2 - 2 * value / 0.05
    new_h, (_, new_c) = peephole(x, h, c, P)
    h = k * new_h + (1 - k) * h
    return h, (h, k * new_c + (1 - k) * c)


def gru_after(x, h, P):
    r, z = s(gate(P, "r", x, h)), s(gate(P, "z", x, h))
    n = np.tanh(P["W.n"] @ x + P["b.n"] + r * (P["R.n"] @ h + P["u.n"]))
    h = (1 - z) * n + z * h
    return h, (h,)


def gru_before(x, h, P):
    r, z = s(gate(P, "r", x, h)), s(gate(P, "z", x, h))
    h = (1 - z) * np.tanh(gate(P, "n", x, r * h)) + z * h
    return h, (h,)


def zoneout_gru(x, keep, h, P):
    new, _ = gru_after(x, h, P)
    h = keep * h + (1 - keep) * new
    return h, (h,)


def mgu(x, h, P):
    f = s(gate(P, "f", x, h))
    h = (1 - f) * h + f * np.tanh(gate(P, "h", x, f * h))
    return h, (h,)


def janet(x, c, P):
    pre = gate(P, "f", x, c)
    c = s(pre) * c + (1 - s(pre - 1)) * np.tanh(gate(P, "c", x, c))
    return c, (c,)


def fastgrnn(x, h, P):
    a = P["W.h"] @ x + P["R.out"] @ P["R.inn"] @ h
    z = s(a + P["b.z"])
    h = (s(P["u.zeta"]) * (1 - z) + s(P["u.nu"])) * np.tanh(a + P["b.h"]) + z * h
    return h, (h,)


def rhn(x, y, P):
    for k in range(3):
        first = 1.0 if k == 0 else 0.0
        n = np.tanh(first * (P["W.h"] @ x) + P[f"R.h[{k}]"] @ y + P[f"b.h[{k}]"])
        t = s(first * (P["W.t"] @ x) + P[f"R.t[{k}]"] @ y + P[f"b.t[{k}]"])
        y = n * t + y * (1 - t)
    return y, (y,)


def min_gru(x, h, P):
    z = s(P["W.z"] @ x + P["b.z"])
    h = (1 - z) * h + z * (P["W.h"] @ x + P["b.h"])
    return h, (h,)


def min_lstm(x, h, P):
    f, i = s(P["W.f"] @ x + P["b.f"]), s(P["W.i"] @ x + P["b.i"])
    h = (f * h + i * (P["W.h"] @ x + P["b.h"])) / (f + i)
    return h, (h,)


def rglru(x, h, P):
    r, i = s(P["W.a"] @ x + P["b.a"]), s(P["W.x"] @ x + P["b.x"])
    a = s(P["u.Lambda"]) ** (8 * r)
    h = a * h + np.sqrt(1 - a**2) * (i * x)
    return h, (h,)


def qrnn(x, c, P):
    z = np.tanh(P["W.z"] @ x + P["b.z"])
    f, o = s(P["W.f"] @ x + P["b.f"]), s(P["W.o"] @ x + P["b.o"])
    c = f * c + (1 - f) * z
    return o * c, (c,)


def sru(x, c, P):
    f = s(P["W.f"] @ x + P["u.f"] * c + P["b.f"])
    r = s(P["W.r"] @ x + P["u.r"] * c + P["b.r"])
    c = f * c + (1 - f) * (P["W.c"] @ x)
    return r * c + (1 - r) * (P["W.skip"] @ x), (c,)


def complex_lru(x, re, im, P):
    eigen = np.exp(-np.exp(P["u.nu"]) + 1j * np.exp(P["u.theta"]))
    gamma = np.sqrt(1 - np.abs(eigen) ** 2)
    z = eigen * (re + 1j * im) + gamma * ((P["W.re"] + 1j * P["W.im"]) @ x)
    return z.real, (z.real, z.imag)


def cornn(x, y, z, P):
    inside = np.tanh(P["W.z"] @ x + P["R.y"] @ y + P["R.z"] @ z + P["b.z"])
    z = z + 0.05 * (inside - y - z)
    return y + 0.05 * z, (y + 0.05 * z, z)


def unicornn(x, y, z, P):
    dt = 0.05 * (0.5 + 0.5 * np.tanh(P["u.c"] / 2))
    z = z - dt * (np.tanh(P["u.y"] * y + P["W.z"] @ x + P["b.z"]) + y)
    return y + dt * z, (y + dt * z, z)


def lem(x, y, z, P):
    dz, dy = s(gate(P, "a", x, y)), s(gate(P, "c", x, y))
    z = (1 - dz) * z + dz * np.tanh(gate(P, "z", x, y))
    y = (1 - dy) * y + dy * np.tanh(gate(P, "y", x, z))
    return y, (y, z)


def lmu(x, h, m, P):
    order, theta = 16, 64.0
    A, B = np.zeros((order, order)), np.zeros(order)
    for i in range(order):
        B[i] = (2 * i + 1) / theta * (-1) ** i
        for j in range(order):
            A[i, j] = (2 * i + 1) / theta * (-1 if i < j else (-1) ** (i - j + 1))
    # One step of dm/dt = A m + B u for a u that stands still, in 2000 Runge-Kutta steps.
    u = float((P["W.s"] @ x + P["R.s"] @ h + P["U.s"] @ m)[0])
    dt = 1 / 200
    for _ in range(200):
        k1 = A @ m + B * u
        k2 = A @ (m + dt / 2 * k1) + B * u
        k3 = A @ (m + dt / 2 * k2) + B * u
        k4 = A @ (m + dt * k3) + B * u
        m = m + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    h = np.tanh(P["W.h"] @ x + P["R.h"] @ h + P["U.h"] @ m)
    return h, (h, m)


def clockwork(x, t, h, P):
    new = h.copy()
    for group, period in enumerate((1, 2, 4, 8)):
        rows = slice(2 * group, 2 * group + 2)
        if t[0] % period == 0:
            heard = P["R.h"][rows, 2 * group :] @ h[2 * group :]
            new[rows] = np.tanh(P["W.h"][rows] @ x + heard + P["b.h"][rows])
    return new, (new,)


CELLS = {
    "Elman": elman, "Jordan": jordan, "IRNN": irnn, "IndRNN": indrnn,
    "AntisymmetricRNN": antisymmetric, "LSTM": lstm, "PeepholeLSTM": peephole,
    "CoupledLSTM": coupled, "LSTMP": lstmp, "MultiplicativeLSTM": multiplicative,
    "LayerNormLSTM": layer_norm_lstm, "sLSTM": slstm, "PhasedLSTM": phased,
    "GRUResetAfter": gru_after, "GRUResetBefore": gru_before, "ZoneoutGRU": zoneout_gru,
    "MGU": mgu, "JANET": janet, "FastGRNN": fastgrnn, "RHN": rhn, "minGRU": min_gru,
    "minLSTM": min_lstm, "RGLRU": rglru, "QRNN": qrnn, "SRU": sru, "ComplexLRU": complex_lru,
    "coRNN": cornn, "UnICORNN": unicornn, "LEM": lem, "LMU": lmu, "ClockworkRNN": clockwork,
}  # fmt: skip
INITIAL = {("sLSTM", 3): -math.inf}


def run(name, xs, parameters, states, streams=(), resets=None, reverse=False):
    """One row `(T, F)` through a cell: outputs `(T, O)` and the final states."""
    step = CELLS[name]
    fresh = [np.full_like(v, INITIAL.get((name, k), 0.0)) for k, v in enumerate(states)]
    outputs = [None] * len(xs)
    times = range(len(xs))
    for t in reversed(times) if reverse else times:
        cut = t + 1 if reverse else t
        if resets is not None and cut < len(xs) and resets[cut]:
            states = fresh
        extra = [stream[t] for stream in streams]
        outputs[t], states = step(xs[t], *extra, *states, parameters)
    return outputs, states
