"""Every cell of the catalogue against a step written by hand in numpy."""

import evaluator as oracle
import numpy as np
import pytest

from elman import cells
from elman.cells import catalogue
from elman.errors import CellError


def sig(x):
    return 1 / (1 + np.exp(-x))


tanh, exp = np.tanh, np.exp


def ln(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


class P:
    """Parameters by dotted name; `p("W.i", x)` multiplies, `p["b.i"]` is the value."""

    def __init__(self, values):
        self.values = values

    def __getitem__(self, name):
        return self.values[name]

    def __call__(self, name, x):
        return x @ self.values[name].T

    def gate(self, k, x, h):
        return self(f"W.{k}", x) + self(f"R.{k}", h) + self[f"b.{k}"]


def elman(p, x, h, act=tanh):
    h = act(p.gate("h", x, h))
    return h, [h]


def jordan(p, x, y):
    y = tanh(p("R.y", tanh(p.gate("h", x, y))) + p["b.y"])
    return y, [y]


def irnn(p, x, h):
    return elman(p, x, h, lambda v: np.maximum(v, 0))


def indrnn(p, x, h):
    h = np.maximum(p("W.h", x) + p["u.h"] * h + p["b.h"], 0)
    return h, [h]


def antisymmetric(p, x, h):
    r = p["R.h"]
    h = h + 0.01 * tanh(p("W.h", x) + h @ (r - r.T - 0.01 * np.eye(len(r))).T + p["b.h"])
    return h, [h]


def lstm(p, x, h, c):
    i, f, o = (sig(p.gate(k, x, h)) for k in "ifo")
    c = f * c + i * tanh(p.gate("g", x, h))
    return o * tanh(c), [o * tanh(c), c]


def peephole(p, x, h, c):
    i, f = (sig(p.gate(k, x, h) + p[f"p.{k}"] * c) for k in "if")
    c = f * c + i * tanh(p.gate("g", x, h))
    o = sig(p.gate("o", x, h) + p["p.o"] * c)
    return o * tanh(c), [o * tanh(c), c]


def coupled(p, x, h, c):
    f, o = sig(p.gate("f", x, h)), sig(p.gate("o", x, h))
    c = f * c + (1 - f) * tanh(p.gate("g", x, h))
    return o * tanh(c), [o * tanh(c), c]


def lstmp(p, x, h, c):
    i, f, o = (sig(p.gate(k, x, h)) for k in "ifo")
    c = f * c + i * tanh(p.gate("g", x, h))
    h = p("U.h", o * tanh(c))
    return h, [h, c]


def mlstm(p, x, h, c):
    return lstm(p, x, p("W.m", x) * p("R.m", h), c)


def layer_norm_lstm(p, x, h, c):
    def pre(k):
        a, b = ln(p(f"W.z[{k}]", x)), ln(p(f"R.z[{k}]", h))
        return p[f"u.w[{k}]"] * a + p[f"u.r[{k}]"] * b + p[f"b.z[{k}]"]

    c = sig(pre("f")) * c + sig(pre("i")) * tanh(pre("g"))
    h = sig(pre("o")) * tanh(p["u.c"] * ln(c) + p["b.c"])
    return h, [h, c]


def slstm(p, x, h, c, n, m):
    log_i = p.gate("i", x, h)
    log_f = np.log(sig(p.gate("f", x, h)))
    # Unstabilised: the true c and n are exp(m) times the stored ones (Beck et al. 2024, eq. 8-10).
    true_c = exp(log_f) * c * exp(m) + exp(log_i) * tanh(p.gate("z", x, h))
    true_n = exp(log_f) * n * exp(m) + exp(log_i)
    new = np.maximum(log_f + m, log_i)
    h = sig(p.gate("o", x, h)) * true_c / true_n
    return h, [h, true_c * exp(-new), true_n * exp(-new), new]


def phased(p, x, t, h, c, r=0.05, leak=0.001):
    tau = exp(p["u.logtau"])
    phi = np.fmod(np.fmod(t - p["u.s"], tau) + tau, tau) / tau
    k = np.select([phi < r / 2, phi < r], [2 * phi / r, 2 - 2 * phi / r], leak * phi)
    i, f = (sig(p.gate(g, x, h) + p[f"p.{g}"] * c) for g in "if")
    d = f * c + i * tanh(p.gate("g", x, h))
    o = sig(p.gate("o", x, h) + p["p.o"] * d)
    new = k * (o * tanh(d)) + (1 - k) * h
    return new, [new, k * d + (1 - k) * c]


def gru(p, x, h):
    r, z = sig(p.gate("r", x, h)), sig(p.gate("z", x, h))
    n = tanh(p("W.n", x) + p["b.n"] + r * (p("R.n", h) + p["u.n"]))
    return n + z * (h - n), [n + z * (h - n)]


def gru_before(p, x, h):
    r, z = sig(p.gate("r", x, h)), sig(p.gate("z", x, h))
    n = tanh(p.gate("n", x, 0 * h) + p("R.n", r * h))
    return n + z * (h - n), [n + z * (h - n)]


def zoneout_gru(p, x, keep, h):
    new, _ = gru(p, x, h)
    new = new + keep * (h - new)
    return new, [new]


def mgu(p, x, h):
    f = sig(p.gate("f", x, h))
    new = h + f * (tanh(p.gate("h", x, f * h)) - h)
    return new, [new]


def janet(p, x, c):
    s = p.gate("f", x, c)
    c = sig(s) * c + (1 - sig(s - 1.0)) * tanh(p.gate("c", x, c))
    return c, [c]


def fast_grnn(p, x, h):
    pre = p("W.h", x) + h @ (p["R.out"] @ p["R.inn"]).T
    z, n = sig(pre + p["b.z"]), tanh(pre + p["b.h"])
    h = (sig(p["u.zeta"]) * (1 - z) + sig(p["u.nu"])) * n + z * h
    return h, [h]


def rhn(p, x, s):
    for layer in range(3):
        first = float(layer == 0)
        n = tanh(first * p("W.h", x) + p(f"R.h[{layer}]", s) + p[f"b.h[{layer}]"])
        t = sig(first * p("W.t", x) + p(f"R.t[{layer}]", s) + p[f"b.t[{layer}]"])
        s = n * t + s * (1 - t)
    return s, [s]


def min_gru(p, x, h):
    z = sig(p("W.z", x) + p["b.z"])
    h = h + z * (p("W.h", x) + p["b.h"] - h)
    return h, [h]


def min_lstm(p, x, h):
    f, i = sig(p("W.f", x) + p["b.f"]), sig(p("W.i", x) + p["b.i"])
    h = (f * h + i * (p("W.h", x) + p["b.h"])) / (f + i)
    return h, [h]


def rglru(p, x, h):
    r, i = sig(p("W.a", x) + p["b.a"]), sig(p("W.x", x) + p["b.x"])
    decay = sig(p["u.Lambda"]) ** (8 * r)
    h = decay * h + np.sqrt(1 - decay**2) * (i * x)
    return h, [h]


def qrnn(p, x, c):
    z, f, o = tanh(p("W.z", x) + p["b.z"]), *(sig(p(f"W.{k}", x) + p[f"b.{k}"]) for k in "fo")
    c = f * c + (1 - f) * z
    return o * c, [c]


def sru(p, x, c):
    f, r = (sig(p(f"W.{k}", x) + p[f"u.{k}"] * c + p[f"b.{k}"]) for k in "fr")
    c = f * c + (1 - f) * p("W.c", x)
    return r * c + (1 - r) * p("W.skip", x), [c]


def complex_lru(p, x, re, im):
    lam = exp(-exp(p["u.nu"]) + 1j * exp(p["u.theta"]))
    drive = np.sqrt(1 - abs(lam) ** 2) * (p("W.re", x) + 1j * p("W.im", x))
    state = lam * (re + 1j * im) + drive
    return state.real, [state.real, state.imag]


def cornn(p, x, y, z):
    pre = tanh(p("W.z", x) + p("R.y", y) + p("R.z", z) + p["b.z"])
    z = z + 0.05 * (pre - y - z)
    return y + 0.05 * z, [y + 0.05 * z, z]


def unicornn(p, x, y, z):
    step = 0.05 * (0.5 + 0.5 * tanh(p["u.c"] / 2))
    z = z - step * (tanh(p("W.z", x) + p["u.y"] * y + p["b.z"]) + y)
    return y + step * z, [y + step * z, z]


def lem(p, x, y, z):
    dz, dy = sig(p.gate("a", x, y)), sig(p.gate("c", x, y))
    z = z + dz * (tanh(p.gate("z", x, y)) - z)
    y = y + dy * (tanh(p.gate("y", x, z)) - y)
    return y, [y, z]


def lmu(p, x, h, m):
    from scipy.linalg import expm

    d, theta = 16, 64.0
    i = np.arange(d)
    a = np.array([[(2 * r + 1) * (-1.0 if r < k else (-1.0) ** (r - k + 1)) for k in i] for r in i])
    block = np.zeros((d + 1, d + 1))
    block[:d, :d], block[:d, d] = a / theta, (2 * i + 1) * (-1.0) ** i / theta
    block = expm(block)
    s = p("W.s", x) + p("R.s", h) + p("U.s", m)
    m = m @ block[:d, :d].T + s * block[:d, d]
    h = tanh(p("W.h", x) + p("R.h", h) + p("U.h", m))
    return h, [h, m]


def clockwork(p, x, t, h):
    periods = np.repeat([1, 2, 4, 8], 2)
    full = p["R.h"].copy()
    for own in range(8):
        for other in range(8):
            if periods[other] < periods[own]:
                full[own, other] = 0
    new = tanh(p("W.h", x) + h @ full.T + p["b.h"])
    new = np.where(np.mod(t, periods) == 0, new, h)
    return new, [new]


HAND = {
    "Elman": elman,
    "Jordan": jordan,
    "IRNN": irnn,
    "IndRNN": indrnn,
    "AntisymmetricRNN": antisymmetric,
    "LSTM": lstm,
    "PeepholeLSTM": peephole,
    "CoupledLSTM": coupled,
    "LSTMP": lstmp,
    "MultiplicativeLSTM": mlstm,
    "LayerNormLSTM": layer_norm_lstm,
    "sLSTM": slstm,
    "PhasedLSTM": phased,
    "GRUResetAfter": gru,
    "GRUResetBefore": gru_before,
    "ZoneoutGRU": zoneout_gru,
    "MGU": mgu,
    "JANET": janet,
    "FastGRNN": fast_grnn,
    "RHN": rhn,
    "minGRU": min_gru,
    "minLSTM": min_lstm,
    "RGLRU": rglru,
    "QRNN": qrnn,
    "SRU": sru,
    "ComplexLRU": complex_lru,
    "coRNN": cornn,
    "UnICORNN": unicornn,
    "LEM": lem,
    "LMU": lmu,
    "ClockworkRNN": clockwork,
}


def draw(step, seed):
    sizes = {"input_size": 3, "hidden_size": 6}
    if step.name == "RGLRU":
        sizes["input_size"] = 6
    if step.name == "ClockworkRNN":
        sizes["hidden_size"] = 8
    parameters, inputs, states = oracle.random_values(step, seed, **sizes)
    if "t" in inputs:
        inputs["t"] = np.array([[0.0], [1.0], [2.0], [7.0], [8.0]])
    return P(parameters), inputs, states


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", list(HAND))
def test_a_cell_equals_the_step_written_by_hand(name, seed):
    step = catalogue()[name].step()
    p, inputs, states = draw(step, seed)
    output, new = oracle.evaluate(step, p.values, inputs, states)
    want_output, want_new = HAND[name](p, *inputs.values(), *states.values())
    np.testing.assert_allclose(output, want_output, rtol=1e-12, atol=1e-13)
    for got, want in zip(new, want_new, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13)


def test_the_whole_catalogue_has_an_oracle():
    assert set(HAND) == set(catalogue())


def test_slstm_starts_from_minus_infinity():
    step = cells.sLSTM.step()
    p, inputs, states = draw(step, 3)
    start = {name: np.zeros_like(value) for name, value in states.items()}
    start["m"] -= np.inf
    output, (_, c, n, m) = oracle.evaluate(step, p.values, inputs, start)
    zero = np.zeros_like(start["h"])
    np.testing.assert_allclose(n, 1.0)
    np.testing.assert_allclose(m, p.gate("i", inputs["x"], zero))
    np.testing.assert_allclose(c, tanh(p.gate("z", inputs["x"], zero)))
    assert np.isfinite(output).all()


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("tanh", np.tanh),
        ("relu", lambda v: np.maximum(v, 0)),
        ("leaky_relu", lambda v: np.where(v > 0, v, 0.01 * v)),
        ("sigmoid", sig),
        ("identity", lambda v: v),
    ],
)
def test_elman_with_any_activation(activation, function):
    step = cells.Elman.step(activation=activation)
    p, inputs, states = draw(step, 4)
    output, _ = oracle.evaluate(step, p.values, inputs, states)
    want, _ = elman(p, inputs["x"], states["h"], function)
    np.testing.assert_allclose(output, want, rtol=1e-12)


def test_an_unknown_activation_offers_the_nearest():
    with pytest.raises(CellError, match='Did you mean "tanh"'):
        cells.Elman.step(activation="tanhh")


def test_lmu_remembers_its_window():
    """The sum of the memory decodes the input of theta steps ago."""
    from elman.cells.memory import legendre

    transition, written = (np.array(value) for value in legendre(12, 40.0))
    signal = np.sin(np.arange(200) * 2 * np.pi / 80)
    memory, decoded = np.zeros(12), []
    for value in signal:
        memory = transition @ memory + written * value
        decoded.append(memory.sum())  # shifted Legendre polynomials at 1: the oldest value
    np.testing.assert_allclose(decoded[100:], signal[60:160], atol=0.05)
