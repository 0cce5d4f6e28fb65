"""Recognising a recurrence that was written differently, and telling variants apart."""

import itertools

import evaluator as oracle
import numpy as np
import pytest

from elman import cells
from elman.cells import catalogue, cell, params
from elman.cells.notation import R, U, W, b, exp, p, relu, sigmoid, tanh, u
from elman.compiler import match

A, B, d = params("A"), params("B"), params("d")


@cell
def MyLSTM(inputs, /, out, memory):
    keep = sigmoid(d.one + (B.one @ out + A.one @ inputs))
    write = sigmoid(A.two @ inputs + d.two + B.two @ out)
    new = tanh(B.three @ out + d.three + A.three @ inputs)
    show = sigmoid(A.four @ inputs + B.four @ out + d.four)
    memory = new * write + memory * keep
    return tanh(memory) * show, memory


@cell
def MyGRU(v, /, s):
    reset = sigmoid(b.x + W.x @ v + R.x @ s)
    update = sigmoid(R.y @ s + b.y + W.y @ v)
    new = tanh((u.k + R.k @ s) * reset + (b.k + W.k @ v))
    return new + update * (s - new)


def test_a_rewritten_lstm_is_the_lstm():
    step, pattern = MyLSTM.step(), cells.LSTM.step()
    names = match(step, pattern)
    assert names == {
        "W.i": "A.two", "R.i": "B.two", "b.i": "d.two",
        "W.f": "A.one", "R.f": "B.one", "b.f": "d.one",
        "W.o": "A.four", "R.o": "B.four", "b.o": "d.four",
        "W.g": "A.three", "R.g": "B.three", "b.g": "d.three",
    }  # fmt: skip
    parameters, inputs, states = oracle.random_values(step, 0)
    got, _ = oracle.evaluate(step, parameters, inputs, states)
    renamed = {name: parameters[names[name]] for name in names}
    want, _ = oracle.evaluate(
        pattern, renamed, {"x": inputs["inputs"]}, {"h": states["out"], "c": states["memory"]}
    )
    np.testing.assert_allclose(got, want, rtol=1e-13)


def test_a_rewritten_gru_is_the_gru():
    names = match(MyGRU.step(), cells.GRU.step())
    assert names is not None
    assert (names["u.n"], names["b.n"], names["W.z"]) == ("u.k", "b.k", "W.y")


@pytest.mark.parametrize(
    ("one", "other"), list(itertools.permutations(sorted(catalogue()), 2))[::7]
)
def test_cells_of_the_catalogue_differ(one, other):
    assert match(catalogue()[one].step(), catalogue()[other].step()) is None


@pytest.mark.parametrize("name", list(catalogue()))
def test_every_cell_is_itself(name):
    step = catalogue()[name].step()
    assert match(step, step) == {item.name: item.name for item in step.parameters}


def gates(x, h, c):
    i, f, o = (sigmoid(getattr(W, k) @ x + getattr(R, k) @ h + getattr(b, k)) for k in "ifo")
    return i, f, o, tanh(W.g @ x + R.g @ h + b.g)


def peephole(x, /, h, c):
    i, f, o, g = gates(x, h, c)
    f = sigmoid(W.f @ x + R.f @ h + p.f * c + b.f)
    c = f * c + i * g
    return o * tanh(c), c


def coupled(x, /, h, c):
    i, f, o, g = gates(x, h, c)
    c = f * c + (1 - f) * g + 0 * i
    return o * tanh(c), c


def shared_gate(x, /, h, c):
    i, f, _, g = gates(x, h, c)
    c = f * c + i * g
    return i * tanh(c), c


def exchanged_states(x, /, c, h):
    i, f, o, g = gates(x, h, c)
    c = f * c + i * g
    return o * tanh(c), c, o * tanh(c)


def scaled(x, /, h, c):
    i, f, o, g = gates(x, h, c)
    c = f * c + 0.5 * i * g
    return o * tanh(c), c


def subtracted(x, /, h, c):
    i, f, o, g = gates(x, h, c)
    c = f * c - i * g
    return o * tanh(c), c


def old_cell_out(x, /, h, c):
    i, f, o, g = gates(x, h, c)
    return o * tanh(c), f * c + i * g


def other_function(x, /, h, c):
    i, f, o, g = gates(x, h, c)
    c = f * c + i * g
    return o * relu(c), c


def tied(x, /, h, c):
    i, f, o, _ = gates(x, h, c)
    c = f * c + i * tanh(W.i @ x + R.g @ h + b.g)
    return o * tanh(c), c


def no_bias(x, /, h, c):
    i, f, o, _ = gates(x, h, c)
    c = f * c + i * tanh(W.g @ x + R.g @ h)
    return o * tanh(c), c


def projected(x, /, h, c):
    i, f, o, g = gates(x, h, c)
    c = f * c + i * g
    return U.h @ (o * tanh(c)), c


VARIANTS = [peephole, coupled, shared_gate, exchanged_states, scaled, subtracted, old_cell_out,
            other_function, tied, no_bias, projected]  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.__name__)
def test_variants_of_the_lstm_are_not_the_lstm(variant):
    assert match(cell(variant).step(), cells.LSTM.step()) is None


def test_the_two_resets_differ():
    assert match(cells.GRUResetBefore.step(), cells.GRUResetAfter.step()) is None
    assert match(cells.GRUResetAfter.step(), cells.GRUResetBefore.step()) is None

    @cell
    def Swapped(x, /, h):  # z and 1 - z exchanged (Chung et al. 2014)
        r, z = sigmoid(W.r @ x + R.r @ h + b.r), sigmoid(W.z @ x + R.z @ h + b.z)
        n = tanh(W.n @ x + b.n + r * (R.n @ h + u.n))
        return z * n + (1 - z) * h

    assert match(Swapped.step(), cells.GRUResetAfter.step()) is None


def test_sizes_are_part_of_the_match():
    projected = cells.LSTMP.step(proj=3)
    assert match(projected, cells.LSTMP.step(proj=5)) is not None
    # A projection to the hidden size itself is another thing than one to a size of its own.
    assert match(cell(VARIANTS[-1]).step(), projected) is None
    assert match(projected, cell(VARIANTS[-1]).step()) is None


def test_hyperparameters_are_part_of_the_match():
    assert match(cells.JANET.step(beta=2.0), cells.JANET.step()) is None
    assert match(cells.Elman.step(activation="relu"), cells.IRNN.step()) is not None
    assert match(cells.Elman.step(), cells.IRNN.step()) is None


def test_distribution_division_and_comparison():
    @cell
    def One(x, /, h):
        v = exp(W.h @ x)
        return (v + h) * (v - h) / (2 * v)

    @cell
    def Other(x, /, h):
        v = exp(U.h @ x)
        return 0.5 * v - 0.5 * h * h / v

    assert match(One.step(), Other.step()) == {"U.h": "W.h"}


def test_order_among_equal_looking_gates_is_found():
    """All gates look alike until the place where they are used tells them apart."""

    @cell
    def One(x, /, h):
        first, second = sigmoid(W.i @ x), sigmoid(W.j @ x)
        return first * second + first * h

    @cell
    def Other(x, /, h):
        first, second = sigmoid(W.a @ x), sigmoid(W.b @ x)
        return second * h + first * second

    assert match(One.step(), Other.step()) == {"W.a": "W.j", "W.b": "W.i"}


def test_deep_sums_stay_cheap():
    @cell
    def Deep(x, /, h):
        for _ in range(40):
            h = h + h
        return h + W.h @ x

    assert match(Deep.step(), Deep.step()) == {"W.h": "W.h"}
