"""Simplification keeps values; verification catches broken steps: on random graphs."""

import math
from dataclasses import replace

import evaluator as oracle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.cells import catalogue, cell
from elman.cells.notation import R, W, const, sigmoid, tanh, where
from elman.compiler import simplify, verify
from elman.compiler.build import StepBuilder
from elman.compiler.ir import Var
from elman.compiler.primitives import PRIMITIVES, ShapeMismatchError
from elman.errors import CellError

UNARY = [row.name for row in PRIMITIVES.values() if row.arity == 1 and row.name != "transpose"]
BINARY = [row.name for row in PRIMITIVES.values() if row.arity == 2 and row.name != "matmul"]
NUMBERS = st.sampled_from([0.0, 1.0, -1.0, 0.5, 2.0, -0.0, math.inf])


@st.composite
def steps(draw):
    """A random well-formed step: vectors, numbers, constants, matrices and their products."""
    build = StepBuilder("Random")
    x = build.input("x", ("input",))
    h = build.state("h", ("hidden",), 0.0)
    hidden = [h, build.parameter("b.h", ("hidden",)), build.parameter("u.one", (1,))]
    matrices = [build.parameter("R.h", ("hidden", "hidden"))]
    hidden.append(build.add("matmul", build.parameter("W.h", ("hidden", "input")), x))
    for _ in range(draw(st.integers(1, 25))):
        kind = draw(st.sampled_from(["unary", "binary", "where", "const", "matmul", "matrix"]))
        pick = st.sampled_from(hidden)
        if kind == "const":
            hidden.append(build.constant((draw(NUMBERS),)))
        elif kind == "matrix":
            first, second = (draw(st.sampled_from(matrices)) for _ in range(2))
            op = draw(st.sampled_from(["add", "sub", "mul", "transpose", "matmul"]))
            args = (first,) if op == "transpose" else (first, second)
            matrices.append(build.add(op, *args))
        elif kind == "matmul":
            wide = [var for var in hidden if var.shape == ("hidden",)]
            matrix = draw(st.sampled_from(matrices))
            hidden.append(build.add("matmul", matrix, draw(st.sampled_from(wide))))
        elif kind == "where":
            hidden.append(build.add("where", draw(pick), draw(pick), draw(pick)))
        else:
            row = PRIMITIVES[draw(st.sampled_from(UNARY if kind == "unary" else BINARY))]
            args = [draw(pick) for _ in range(row.arity)]
            if row.reduces and not args[0].shape:
                continue
            attributes = tuple((name, 0.01) for name in row.attributes)
            hidden.append(build.add(row.name, *args, attributes=attributes))
    wide = [var for var in hidden if var.shape == ("hidden",)]
    new = draw(st.sampled_from(wide))
    return build.finish(draw(st.sampled_from(wide)), (new,))


@settings(max_examples=300, deadline=None)
@given(step=steps(), seed=st.integers(0, 5))
def test_simplify_keeps_values(step, seed):
    verify(step)
    short = verify(simplify(step))
    assert len(short.equations) <= len(step.equations)
    assert verify(simplify(short)) == short
    parameters, inputs, states = oracle.random_values(step, seed)
    want, wants = oracle.evaluate(step, parameters, inputs, states)
    got, gots = oracle.evaluate(short, parameters, inputs, states)
    for one, other in ((got, want), (gots[0], wants[0])):
        # Folded constants go through math instead of numpy: the last digit may differ.
        # A value of parameters alone has no batch.
        one, other = np.broadcast_arrays(one, other)
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def _mutants(step):
    """Each a small damage to a step, with what is wrong about it."""
    last = step.equations[-1]
    wrong = Var(10_000, ("hidden",))
    yield "unknown value", replace(step, output=wrong)
    yield "lost state", replace(step, new_states=())
    yield "one more state", replace(step, new_states=(*step.new_states, step.output))
    yield "unknown op", _swap(step, replace(last, op="tangh"))
    yield "arity", _swap(step, replace(last, args=(*last.args, last.args[0])))
    yield "no such argument", _swap(step, replace(last, args=(wrong, *last.args[1:])))
    yield "its own argument", _swap(step, replace(last, args=(last.var, *last.args[1:])))
    yield "attribute", _swap(step, replace(last, attributes=(("slope", 0.1),)))
    yield "twice", replace(step, equations=(*step.equations, last))
    yield "order", replace(step, equations=step.equations[::-1])
    size = replace(last, var=Var(last.var.index, ("input",)))
    yield "shape", replace(_swap(step, size), output=size.var, new_states=step.new_states)
    names = tuple(replace(item, name="same") for item in step.parameters)
    yield "names", replace(step, parameters=names)
    scalar = tuple(replace(item, var=Var(item.var.index, ())) for item in step.parameters)
    yield "scalar parameter", replace(step, parameters=scalar)
    yield "NaN", replace(step, states=(replace(step.states[0], initial=math.nan), *step.states[1:]))
    matrix = replace(step.inputs[0], var=Var(step.inputs[0].var.index, ("input", "input")))
    yield "input matrix", replace(step, inputs=(matrix, *step.inputs[1:]))


def _caught(mutant):
    try:
        verify(mutant)
    except CellError as error:
        return "not a well-formed step" in str(error)
    return False


def _swap(step, equation):
    return replace(step, equations=(*step.equations[:-1], equation))


@pytest.mark.parametrize("name", ["Elman", "LSTM", "GRUResetAfter", "FastGRNN", "LMU"])
def test_verify_catches_every_mutation(name):
    step = catalogue()[name].step()
    for wrong, mutant in _mutants(step):
        assert _caught(mutant), wrong


@settings(max_examples=150, deadline=None)
@given(step=steps(), data=st.data())
def test_verify_catches_exchanged_shapes(step, data):
    """Any equation whose value is declared with another shape is caught."""
    step = simplify(step)
    if not step.equations:
        return
    place = data.draw(st.integers(0, len(step.equations) - 1))
    equation = step.equations[place]
    shape = data.draw(st.sampled_from([(), (2,), ("input",), ("hidden",), ("hidden", "input")]))
    if shape == equation.var.shape:
        return
    equations = list(step.equations)
    equations[place] = replace(equation, var=Var(equation.var.index, shape))
    with pytest.raises(CellError):
        verify(replace(step, equations=tuple(equations)))


def test_verify_lists_all_problems_with_their_lines():
    step = catalogue()["LSTM"].step()
    equations = [replace(e, op="nope") if e.op == "sigmoid" else e for e in step.equations]
    with pytest.raises(CellError) as caught:
        verify(replace(step, equations=tuple(equations)))
    assert str(caught.value).count("no such primitive (") == 3
    assert "lstm.py:" in str(caught.value)


def test_verify_checks_constants():
    @cell
    def Case(x, /, h):
        return tanh(W.h @ x + const([1.0, 2.0]) * h)

    step = Case.step()
    short = [
        replace(e, attributes=(("values", (1.0,)),)) if e.op == "const" else e
        for e in step.equations
    ]
    with pytest.raises(CellError, match=r"1 values for the shape \(2\)"):
        verify(replace(step, equations=tuple(short)))


def test_common_values_are_computed_once():
    @cell
    def Case(x, /, h):
        first = sigmoid(W.i @ x + R.i @ h)
        second = sigmoid(R.i @ h + W.i @ x)
        return first * tanh(h) + tanh(h) * second

    ops = [e.op for e in Case.step().equations]
    assert ops == ["matmul", "matmul", "add", "sigmoid", "tanh", "mul", "add"]
    assert [e.where.name for e in Case.step().equations][3] == "first"


def test_neutral_elements_and_dead_values_vanish():
    @cell
    def Case(x, /, h):
        unused = tanh(W.unused @ x)  # noqa: F841
        v = 0.0 + 1.0 * (R.h.T.T @ h) / 1 - 0.0
        negative = -(v + (W.h @ x) * 1)
        return -negative + (3.0 - 1.5 * 2)

    step = Case.step()
    assert [item.name for item in step.parameters] == ["R.h", "W.h"]
    assert [e.op for e in step.equations] == ["matmul", "matmul", "add"]


def test_zero_times_a_value_stays():
    """0 * inf is NaN, and a state may start from an infinity."""

    @cell
    def Case(x, /, h=-math.inf):
        return 0.0 * h + W.h @ x

    assert "mul" in [e.op for e in Case.step().equations]


def test_a_constant_that_widens_is_kept():
    @cell
    def Case(x, t: 1, /, h):
        return where(t > 0, t + const([0.0, 0.0]), h) + W.h @ x

    assert "add" in [e.op for e in Case.step().equations]
    assert Case.step().constraints == (("hidden", 2),)


def test_constants_fold_but_not_into_errors():
    @cell
    def Case(x, /, h):
        return W.h @ x + h * (tanh(const([0.5, 1.0])) * 2) + const(1.0) / const(0.0)

    ops = [e.op for e in Case.step().equations]
    assert "tanh" not in ops
    assert ops.count("div") == 1


def test_shapes_that_do_not_fit_are_refused_by_the_builder():
    build = StepBuilder("Wrong")
    x = build.input("x", ("input",))
    h = build.state("h", ("hidden",), 0.0)
    m = build.parameter("R.h", ("hidden", "hidden"))
    for op, args in [("add", (x, h)), ("mul", (m, h)), ("matmul", (m, x)), ("matmul", (h, h)),
                     ("transpose", (h,)), ("mean", (m,))]:  # fmt: skip
        with pytest.raises(ShapeMismatchError):
            build.add(op, *args)
