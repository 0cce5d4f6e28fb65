"""Every mistake of the notation: one sentence, with the cell's own line and what to do."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from elman.cells import cell, params
from elman.cells.notation import R, U, W, a, b, const, norm, tanh, u, where
from elman.errors import CellError


def line_of(marker):
    """The line of this file that carries the comment `# marker`."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return next(n for n, line in enumerate(lines, 1) if line.rstrip().endswith(f"# {marker}"))


def vectors(x, /, h):
    return tanh(W.h @ x + x @ h)  # vectors


def reversed_product(x, /, h):
    return tanh(W.h @ x + h @ R.h)  # reversed


def two_ranks(x, /, h):
    y = W.h @ x
    return tanh(y + R.h @ h + W.h * h)  # ranks


def two_shapes(x, /, h):
    return tanh(W.h @ x + W.h @ h)  # shapes


def two_rows(x, /, h):
    return tanh(W.h @ x + R.h @ h + W[2].h @ x)  # rows


def wrong_state_size(x, /, h, m: "order", *, order=3):  # noqa: F821  # size
    return tanh(W.h @ x + R.h @ h + U.h @ m), h


def never_read(x, /, h, c):  # never
    return tanh(W.h @ x + R.h @ h), tanh(W.c @ x)


def python_if(x, /, h):
    if h > 0:  # if
        h = h + 1
    return h + W.h @ x


def python_and(x, /, h):
    both = h > 0 and h < 1  # and
    return where(both, h, W.h @ x)


def chained(x, /, h):
    return where(0 < h < 1, h, W.h @ x)  # chained


def numpy_function(x, /, h):
    return np.tanh(W.h @ x + R.h @ h)  # numpy


def numpy_where(x, /, h):
    return np.where(h > 0, h, W.h @ x)  # nwhere


def math_function(x, /, h):
    return math.tanh(h) + W.h @ x  # math


def integer_division(x, /, h):
    return tanh(W.h @ x + h // 2)  # integer


def too_many(x, /, h):  # many
    return h, h + W.h @ x, h


def too_few(x, /, h, c):  # few
    return tanh(W.h @ x + R.h @ h + c)


def method(x, /, h):
    return (W.h @ x + h).tanh()  # method


def indexed(x, /, h):
    return h[0] * h + W.h @ x  # indexed


def assigned(x, /, h):
    h[0] = 1.0  # assigned
    return h + W.h @ x


def unpacked(x, /, h):
    first, second = h  # unpacked
    return first + second + W.h @ x


def power(x, /, h):
    return W.h @ x + h**0.3  # power


def text(x, /, h):
    return W.h @ x + h + "1"  # text


def ragged(x, /, h):
    return W.h @ x + const([[1, 2], [3]]) @ h  # ragged


def two_numbers(x, /, h):
    return W.h @ x + h * const([1, 2]) + const([1, 2, 3])  # numbers


def open_input(x, t, /, h):  # open
    return tanh(W.h @ x + W.t @ t + R.h @ h)


def only_parameters(x, /, h):
    return tanh(b.h)  # only


def only_number(x, /, h):  # number
    return 0.0


def transposed(x, /, h):
    return W.h @ x + h.T  # transposed


def matrix_norm(x, /, h):
    return W.h @ x + norm(R.h @ R.i) @ h  # mnorm


def sugar(x, /, h):
    return tanh(a.h(x, h, x, h))  # sugar


CASES = {
    "vectors": (vectors, "`@` between two vectors", "left of `@` is a matrix"),
    "reversed": (reversed_product, "the vector the state h on its left", "write W.h @ h|W.h @ x"),
    "ranks": (two_ranks, "the parameter W.h is used as a matrix", "another name"),
    "shapes": (two_shapes, "W.h has input columns and the state h has size hidden", "One name"),
    "rows": (two_rows, "W.h is used with two sizes, hidden and 2", "a name of its own"),
    "size": (wrong_state_size, "the state m has size 3", "annotate the state"),
    "never": (never_read, "the state c of never_read is never read", "take it out"),
    "if": (python_if, "`if`", r"where\(condition"),
    "and": (python_and, "`and`", "joined by & and"),
    "chained": (chained, "chained comparison", r"where\("),
    "numpy": (numpy_function, "numpy.tanh on a traced value", "elman.cells"),
    "nwhere": (numpy_where, "numpy.where on a traced value", "elman.cells"),
    "math": (math_function, "a function of `math`", "elman.cells"),
    "integer": (integer_division, "integer division", "Use `/`"),
    "many": (too_many, "3 values returned for 1 state", "in order"),
    "few": (too_few, "1 value returned for 2 states", "in order"),
    "method": (method, "no attribute `tanh`", r"tanh\(\.\.\.\)"),
    "indexed": (indexed, "the state h is indexed", "two states"),
    "assigned": (assigned, "part of the state h is assigned", "bind a name"),
    "unpacked": (unpacked, "taken apart", "two states"),
    "power": (power, "the power 0.3", "exp"),
    "text": (text, "'1'", "numbers"),
    "ragged": (ragged, "cannot be part of an equation", "rank 1 or 2"),
    "numbers": (two_numbers, "sizes 2 and 3 meet|sizes hidden and 3 meet", "matrix"),
    "open": (open_input, "size of the input t", "t: 1"),
    "only": (only_parameters, "neither an input nor a state", "computed from"),
    "number": (only_number, "a constant is returned", "computed from"),
    "transposed": (transposed, "no transpose", "R.h.T"),
    "mnorm": (matrix_norm, "used as a", "left of `@`"),
    "sugar": (sugar, "a.h of 4 values", "one to three"),
}


@pytest.mark.parametrize("marker", list(CASES))
def test_a_mistake_names_its_line_and_the_cure(marker):
    function, message, cure = CASES[marker]
    with pytest.raises(CellError) as caught:
        cell(function).step()
    text = str(caught.value)
    assert re.search(message, text), text
    assert re.search(cure, text), text
    assert f"{Path(__file__)}:{line_of(marker)}" in text, text


def test_an_input_of_another_size_used_element_by_element():
    @cell
    def Skip(x, /, h):
        return tanh(x + R.h @ h)

    assert Skip.step().resolve(input_size=4, hidden_size=4) == {"input": 4, "hidden": 4}
    with pytest.raises(CellError, match=r"mistakes.py:\d+.*hidden size \(4\).*input size \(3\)"):
        Skip.step().resolve(input_size=3, hidden_size=4)


def test_several_mistakes_are_reported_together():
    @cell
    def Many(x, /, h):
        y = x @ h
        z = np.tanh(h) // 2
        return tanh(W.h @ x + y + z) + h.T

    with pytest.raises(CellError) as caught:
        Many.step()
    text = str(caught.value)
    assert "4 mistakes" in text
    assert len(set(re.findall(r"test_mistakes.py:(\d+): ", text.partition("mistakes:")[2]))) == 3


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def f(x, h): return h", "no input"),
        ("def f(x, /): return x", "no state"),
        ("def f(x, /, *h): return x", "not allowed"),
        ("def f(x, /, h, **k): return x", "not allowed"),
        ("def f(x=1, /, h=0): return x", "has a default"),
        ("def f(x, /, h='a'): return x", "not a number"),
    ],
)
def test_signatures(source, message):
    space = {}
    exec(source, space)
    with pytest.raises(CellError, match=message):
        cell(space["f"])


@pytest.mark.parametrize("size", ["ordre", 0, -1, "order"])
def test_annotations_are_sizes(size):
    def f(x, /, h, m, *, order=1.5):
        return tanh(W.h @ x + R.h @ h + U.h @ m), m

    f.__annotations__["m"] = size
    with pytest.raises(CellError, match="m is annotated with"):
        cell(f).step()


def test_hyperparameters_are_checked():
    @cell
    def Case(x, /, h, *, rate, kind="a"):
        return W.h @ x + rate * h

    with pytest.raises(CellError, match="needs a value for rate"):
        Case.step()
    with pytest.raises(CellError, match='Did you mean "rate"'):
        Case.step(rat=1.0)
    assert Case.hyperparameters == {"rate": ..., "kind": "a"}
    assert Case.step(rate=2.0) is Case.step(rate=2.0)


def test_initialisers_are_checked():
    def f(x, /, h):
        return tanh(W.h @ x + R.h[1] @ h + b.f)

    with pytest.raises(CellError, match=r"'b.g' of f matches no parameter. Did you mean \"b.f\""):
        cell(init={"b.g": 1.0})(f).step()
    with pytest.raises(CellError, match=r"the initialiser of 'b\.f'"):
        cell(init={"b.f": [1.0]})(f)
    good = cell(init={"R.h[1]": "orthogonal", "b.*": 1.0})(f)
    assert good.step()
    assert good.initialiser("R.h[1]") == "orthogonal"
    assert good.initialiser("b.f") == 1.0
    assert good.initialiser("W.h") is None


def test_words_outside_of_a_cell():
    for use in (lambda: W.h, lambda: const([1]), lambda: norm(1.0), lambda: a.i(1)):
        with pytest.raises(CellError, match="only while a cell is traced"):
            use()
    with pytest.raises(CellError, match="named like a variable"):
        params("not a name")
    with pytest.raises(CellError, match="not a layer"):
        cell(two_shapes)(1, 2)
    with pytest.raises(CellError, match="whole number"):
        W["h"]
    assert tanh(0.5) == math.tanh(0.5)


def test_a_value_that_outlives_its_trace():
    kept = []

    @cell
    def Leaky(x, /, h):
        kept.append(h)
        return tanh(W.h @ x + kept[0])

    Leaky.step()
    with pytest.raises(CellError, match=r"belongs to another cell|outside of its cell"):
        cell(lambda x, /, h: tanh(W.h @ x + kept[0] + h)).step()
    with pytest.raises(CellError, match="outside of its cell"):
        tanh(kept[0])


def test_torch_functions_are_refused():
    torch = pytest.importorskip("torch")

    @cell
    def Case(x, /, h):
        return torch.tanh(W.h @ x + R.h @ h)

    with pytest.raises(CellError, match=r"torch\.tanh on a traced value"):
        Case.step()
    assert u  # a namespace is not a parameter
