"""The rules of the notation, one by one."""

import copy
import pickle
import subprocess
import sys

import evaluator as oracle
import numpy as np
import pytest

from elman import cells
from elman.cells import catalogue, cell, find, params
from elman.cells.notation import R, U, V, W, a, b, const, mean, norm, p, sigmoid, tanh, u, where
from elman.compiler import format_text, match, trace, verify
from elman.errors import CellError


def shapes(step):
    return {item.name: item.var.shape for item in step.parameters}


def test_sizes_are_inferred():
    @cell
    def Case(x, t: 1, /, h, m: "order", *, order=5):  # noqa: F821
        s = W[1].s @ x + U[1].s @ m
        m = const(np.eye(order)) @ m + s + V[order].m @ t
        return tanh(W.h @ x + R.h @ h + U.h @ m + u.q * (t + b.t)), m

    step = Case.step()
    assert shapes(step) == {
        "W.s": (1, "input"),
        "U.s": (1, 5),
        "V.m": (5, 1),
        "W.h": ("hidden", "input"),
        "R.h": ("hidden", "hidden"),
        "U.h": ("hidden", 5),
        "u.q": ("hidden",),
        "b.t": ("hidden",),
    }
    assert [item.var.shape for item in step.inputs] == [("input",), (1,)]
    assert [item.var.shape for item in step.states] == [("hidden",), (5,)]
    assert shapes(Case.step(order=7))["U.h"] == ("hidden", 7)


def test_vectors_take_the_size_of_what_they_meet():
    @cell
    def Case(x, /, h, prev: "input"):
        return tanh(W.h @ (x * u.x + prev * u.p) + R[3].i.T @ sigmoid(R[3].i @ h + b.i)), x

    assert shapes(Case.step()) == {
        "u.x": ("input",),
        "u.p": ("input",),
        "W.h": ("hidden", "input"),
        "R.i": (3, "hidden"),
        "b.i": (3,),
    }


def test_expressions_of_parameters_are_matrices():
    @cell
    def Case(x, /, h):
        skew = R.a - R.a.T
        return tanh(W.h @ x + (0.5 * skew + R.b @ R.c) @ h)

    assert set(shapes(Case.step()).values()) == {("hidden", "hidden"), ("hidden", "input")}


def test_families_and_own_namespaces():
    Q = params("Q")

    @cell
    def Case(x, /, h):
        for k in range(2):
            h = tanh(W.h @ x + R.h[k] @ h + u.w["i"] * h + Q.x[k, "a"] * h)
        return h

    assert list(shapes(Case.step())) == [
        "W.h", "R.h[0]", "u.w[i]", "Q.x[(0, 'a')]", "R.h[1]", "Q.x[(1, 'a')]",
    ]  # fmt: skip


def test_the_sugar_gives_the_same_graph():
    @cell
    def LSTM(x, /, h, c):
        i, f, o = sigmoid(a.i(x, h)), sigmoid(a.f(x, h)), sigmoid(a.o(x, h))
        c = f * c + i * tanh(a.g(x, h))
        return o * tanh(c), c

    assert match(LSTM.step(), cells.LSTM.step()) == {
        name: name for name in shapes(cells.LSTM.step())
    }

    @cell
    def Sized(x, /, h, m: 3):
        return tanh(a.h(x, h, m)), tanh(a[3].m(x))

    assert shapes(Sized.step())["U.h"] == ("hidden", 3)
    assert shapes(Sized.step())["b.m"] == (3,)


def test_one_value_more_than_states_is_the_output():
    step = cells.SRU.step()
    assert step.output not in step.new_states
    assert step.states[0].name == "c"


def test_states_start_where_their_default_says():
    step = cells.sLSTM.step()
    assert [(item.name, item.initial) for item in step.states] == [
        ("h", 0.0), ("c", 0.0), ("n", 0.0), ("m", -np.inf),
    ]  # fmt: skip


def test_numpy_arrays_are_constants():
    scale = np.array([1.0, 2.0, 3.0])

    @cell
    def Case(x, /, h):
        return scale * h + np.float64(2.0) * (W.h @ x) + np.eye(3) @ h + h * np.array([1, 0, 1])

    step = Case.step()
    assert step.constraints == (("hidden", 3),)
    with pytest.raises(CellError, match="hidden size"):
        step.resolve(input_size=2, hidden_size=4)


def test_helpers_inline_and_cells_too():
    @cell
    def Twice(x, /, h):
        return cells.Elman(x, cells.Elman(x, h), activation="relu")

    step = Twice.step()
    assert [e.op for e in step.equations].count("tanh") == 1
    assert [e.op for e in step.equations].count("matmul") == 3


def test_conditions_and_powers():
    @cell
    def Case(x, /, h):
        v = W.h @ x
        inside = (v > -0.5) & ~(v > 0.5) | (v == 0.25)
        return where(inside, v**3, h**-2) + abs(v) ** 0.5 + +(h**0) - (-v) % 2 + h**5

    step = Case.step()
    parameters, inputs, states = oracle.random_values(step, 0)
    v, h = inputs["x"] @ parameters["W.h"].T, states["h"]
    want = np.where((v > -0.5) & (v <= 0.5), v**3, h**-2.0)
    want = want + np.sqrt(abs(v)) + 1 - np.mod(-v, 2) + h**5
    np.testing.assert_allclose(oracle.evaluate(step, parameters, inputs, states)[0], want)


def test_reductions_have_size_one():
    @cell
    def Case(x, /, h):
        return norm(W.h @ x) * mean(h) + R.h @ h

    step = Case.step()
    parameters, inputs, states = oracle.random_values(step, 0)
    v, h = inputs["x"] @ parameters["W.h"].T, states["h"]
    normal = (v - v.mean(1, keepdims=True)) / np.sqrt(v.var(1, keepdims=True) + 1e-5)
    want = normal * h.mean(1, keepdims=True) + h @ parameters["R.h"].T
    np.testing.assert_allclose(oracle.evaluate(step, parameters, inputs, states)[0], want)


def test_names_and_lines_are_kept():
    step = cells.LSTM.step()
    names = {e.where.name for e in step.equations if e.where.name}
    assert names == {"i", "f", "o", "g", "c"}
    texts = {e.where.text for e in step.equations}
    assert "c = f * c + i * g" in texts
    assert all(e.where.file.endswith("lstm.py") for e in step.equations)


def test_cells_without_source_lines():
    space = {"cell": cell, "W": W, "R": R, "tanh": tanh, "p": p}
    exec("@cell\ndef Typed(x, /, h):\n    return tanh(W.h @ x + R.h @ h)", space)
    assert space["Typed"].source == ("<string>", 1)  # the decorator: without text, all Python tells
    assert verify(space["Typed"].step())
    exec("@cell\ndef Wrong(x, /, h):\n    return tanh(W.h @ x) + (1 if h else p.h)", space)
    with pytest.raises(CellError, match=r"<string>:3: Wrong: `if`"):
        space["Wrong"].step()


def test_cells_typed_into_the_interpreter():
    program = (
        "from elman.cells import *\n"
        "@cell\ndef Mine(x, /, h):\n    return tanh(W.h @ x + R.h @ h)\n\n"
        "print(len(Mine.step().equations), Mine.source)\n"
    )
    done = subprocess.run(
        [sys.executable, "-i", "-q"], input=program, capture_output=True, text=True, check=False
    )
    assert "4 ('<stdin>'" in done.stdout, done.stderr


def test_lambdas_and_quoted_annotations():
    step = trace(lambda x, /, h: tanh(W.h @ x + R.h @ h), name="Small")
    assert step.name == "Small"

    def f(x, /, h: "'proj'", *, proj=3):  # noqa: F821
        return U[proj].h @ tanh(W.h @ x + R.h @ h)

    assert cell(f).step().states[0].var.shape == (3,)


def test_a_cell_is_an_object_to_look_at():
    lstm = cells.LSTM
    assert (lstm.name, lstm.inputs, lstm.states) == ("LSTM", ("x",), ("h", "c"))
    assert lstm.citation.startswith("Hochreiter and Schmidhuber 1997")
    assert lstm.source[0].endswith("lstm.py")
    assert lstm.initialisers["b.f"] == 1.0
    assert repr(lstm) == "<cell LSTM(x, /, h, c)>"
    assert copy.deepcopy(lstm) is lstm
    assert pickle.loads(pickle.dumps(lstm)) is lstm
    assert cell(name="Other")(lstm.function).step().name == "Other"


def test_find_knows_names_and_aliases():
    assert find("gru") is cells.GRU is cells.GRUResetAfter
    assert find("lstm") is cells.LSTM
    assert find("sLSTM") is cells.sLSTM
    with pytest.raises(CellError, match='Did you mean "LSTM"'):
        find("lsmt")


@pytest.mark.parametrize("name", list(catalogue()))
def test_the_catalogue_is_documented_and_clean(name):
    entry = catalogue()[name]
    assert entry.doc
    assert entry.citation
    assert any(str(year) in entry.citation for year in range(1986, 2027)) or name == "GRUResetAfter"
    assert verify(entry.step())
    assert "v0" not in format_text(entry.step())
    assert entry.name == name


def test_neither_torch_nor_numpy_is_loaded():
    program = (
        "import sys, elman.cells as c\n"
        "for cell in c.catalogue().values(): cell.step()\n"
        "print([name for name in ('torch', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
