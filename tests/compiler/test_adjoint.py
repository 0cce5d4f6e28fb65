"""The passes behind the kernels: the adjoint against numerical derivatives, and what they keep."""

from __future__ import annotations

import math
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elman.cells import R, W, b, catalogue, cell, minimum, relu, tanh
from elman.compiler.analyse import levels_of
from elman.compiler.differentiate import differentiate
from elman.compiler.hoist import fused, split
from elman.compiler.ir import Step, dimensions, signature
from elman.compiler.lower import gather_sums, lower, with_sizes
from elman.compiler.saving import with_saved
from elman.compiler.schedule import schedule
from elman.compiler.simplify import simplify
from elman.compiler.verify_schedule import verify_schedule
from elman.errors import CellError

_EVALUATOR = runpy.run_path(str(Path(__file__).with_name("evaluator.py")))
OPERATIONS, Matrix = _EVALUATOR["OPERATIONS"], _EVALUATOR["Matrix"]
HYPER: dict[str, dict[str, Any]] = {"ClockworkRNN": {"width": 2}}
SIZE = 8


def run(step: Step, given: dict[str, Any]) -> dict[str, Any]:
    """Every result of a step whose sizes are numbers, for one row."""
    values = evaluate(step, given)
    found = {"output": values[step.output]}
    for state, var in zip(step.states, step.new_states, strict=True):
        found[f"new {state.name}"] = values[var]
    found.update({item.name: values[item.var] for item in step.results})
    return found


def evaluate(step: Step, given: dict[str, Any]) -> dict[Any, Any]:
    """Every value of the step."""
    values: dict[Any, Any] = {}
    for item in (*step.inputs, *step.states, *step.parameters):
        value = np.asarray(given[item.name], dtype=np.float64)
        values[item.var] = Matrix(value) if value.ndim == 2 else value
    for equation in step.equations:
        if equation.op == "const":
            flat = np.array(equation.attribute("values"), dtype=np.float64)
            value = flat.reshape(dimensions(equation.var.shape, {}))
            values[equation.var] = Matrix(value) if value.ndim == 2 else value
        else:
            args = [values[arg] for arg in equation.args]
            values[equation.var] = OPERATIONS[equation.op](*args, **dict(equation.attributes))
    return values


def inside(name: str, seed: int) -> tuple[Step, dict[str, Any]]:
    """The loop of a cell, and values for it that come out of the work around it."""
    step = prepared(name)
    parts = split(step)
    given = draw(step, seed)
    values = evaluate(step, given)
    places = {var.index: value for var, value in values.items()}
    found = {state.name: given[state.name] for state in parts.loop.states}
    for projection in parts.projections:
        for read in projection.reads:
            found[read.name] = places[int(read.name.removeprefix("read."))]
    for key, var in {**parts.inputs, **parts.parameters}.items():
        found[key] = values[var]
    return parts.loop, found


def prepared(name: str) -> Step:
    return sized(catalogue()[name].step(**HYPER.get(name, {})))


def sized(step: Step) -> Step:
    return gather_sums(lower(with_sizes(step, step.resolve(input_size=SIZE, hidden_size=SIZE))))


def draw(step: Step, seed: int = 0) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    items = (*step.inputs, *step.states, *step.parameters)
    return {item.name: 0.4 * random.normal(size=dimensions(item.var.shape, {})) for item in items}


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_lowering_keeps_the_values(name: str) -> None:
    step = catalogue()[name].step(**HYPER.get(name, {}))
    plain = with_sizes(step, step.resolve(input_size=SIZE, hidden_size=SIZE))
    given = draw(plain)
    before, after = run(plain, given), run(prepared(name), given)
    for key, value in before.items():
        np.testing.assert_allclose(after[key], value, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_fused_loops_compute_what_the_split_ones_do(name: str) -> None:
    parts = split(prepared(name))
    loop = fused(parts).loop
    given = {**draw(loop, 1), **inside(name, 1)[1]}
    reads = dict(given)
    for k, projection in enumerate(parts.projections):
        for read in projection.reads:
            matrices = [
                (1 - 2 * term.negative) * given[f"{read.name}.matrix.{n}"]
                for n, term in enumerate(read.matrices)
            ]
            vectors = [
                (1 - 2 * term.negative) * given[f"{read.name}.vector.{n}"]
                for n, term in enumerate(read.vectors)
            ]
            total = sum(matrix @ given[f"operand.{k}"] for matrix in matrices)
            reads[read.name] = total + sum(vectors)
    wanted, got = run(parts.loop, reads), run(loop, given)
    for key, value in wanted.items():
        np.testing.assert_allclose(got[key], value, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", sorted(catalogue()))
@pytest.mark.parametrize("kept", [True, False])
def test_the_adjoint_gives_the_numerical_derivative(name: str, kept: bool) -> None:
    loop, given = inside(name, 2)
    names = [entry.name for entry in loop.inputs] if kept else []
    trained = with_saved(loop, differentiate(loop), kept=names)
    forward = run(trained.forward, given)
    random = np.random.default_rng(3)
    owed = {key: random.normal(size=np.shape(forward[key])) for key in ("output",)}
    adjoint = trained.adjoint
    inputs = {**given, **forward}
    inputs["d.output"] = owed["output"]
    for state in adjoint.states:
        inputs[state.name] = random.normal(size=dimensions(state.var.shape, {}))
    found = run(adjoint, inputs)

    def loss(changed: dict[str, Any]) -> float:
        values = run(loop, changed)
        total = float(np.sum(values["output"] * owed["output"]))
        for state in loop.states:
            total += float(np.sum(values[f"new {state.name}"] * inputs[f"d.{state.name}"]))
        return total

    wanted = {state.name: f"new d.{state.name}" for state in loop.states}
    wanted.update({entry.name: f"d.{entry.name}" for entry in loop.inputs})
    wanted.update({p.name: f"d.{p.name}" for p in loop.parameters if len(p.var.shape) == 1})
    for item, key in wanted.items():
        along = random.normal(size=np.shape(given[item]))
        slopes = [
            (loss({**given, item: given[item] + h * along})
             - loss({**given, item: given[item] - h * along})) / (2 * h)
            for h in (1e-5,)
        ]  # fmt: skip
        got = float(np.sum(np.asarray(found[key]) * along))
        assert math.isclose(got, slopes[0], rel_tol=2e-5, abs_tol=2e-7), item


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_nothing_in_a_loop_multiplies_inputs_and_no_adjoint_repeats_a_product(name: str) -> None:
    loop = split(prepared(name)).loop
    levels = levels_of(loop)
    assert all(levels[e.var] == "S" for e in loop.equations if e.op == "matmul")
    trained = with_saved(loop, differentiate(loop))
    forwards = {e.args[0] for e in trained.forward.equations if e.op == "matmul"}
    turned = [e for e in trained.adjoint.equations if e.op == "matmul"]
    assert len(turned) <= len(forwards)
    parameters = {p.var for p in trained.adjoint.parameters}
    assert not any(e.args[0] in parameters for e in turned)  # all are transposed


def test_what_an_lstm_keeps() -> None:
    loop = split(prepared("LSTM")).loop
    trained = with_saved(loop, differentiate(loop))
    kept = [result.name for result in trained.forward.results]
    assert kept == ["saved.0", "saved.1", "saved.2", "saved.3", "before.h", "before.c"]


def test_stages_and_waits() -> None:
    made = schedule(split(prepared("GRUResetBefore")).loop)
    assert [(part.stage, len(part.accumulators)) for part in made.regions] == [(0, 1), (1, 2)]
    assert made.waits == {0, 1}
    assert schedule(split(prepared("minGRU")).loop).waits == frozenset()


@pytest.mark.parametrize("name", sorted(catalogue()))
@pytest.mark.parametrize("adjoint", [False, True])
def test_every_value_is_there_when_it_is_needed(name: str, adjoint: bool) -> None:
    loop = split(prepared(name)).loop
    step = loop
    if adjoint:
        step = gather_sums(with_saved(loop, differentiate(loop)).adjoint)
    verify_schedule(schedule(step))


def test_a_number_from_a_product_is_there_before_it_is_used() -> None:
    @cell
    def gated(x, /, h):
        z = W[1].z @ x + R[1].z @ h
        return z * (z > 0) * tanh(W.n @ x + R.n @ h)

    made = verify_schedule(schedule(split(sized(gated.step())).loop))
    assert [part.stage for part in made.parts] == [0, 1]
    swapped = replace(made, parts=made.parts[::-1])
    with pytest.raises(CellError, match="too early"):
        verify_schedule(swapped)
    with pytest.raises(CellError, match="does not wait"):
        verify_schedule(replace(made, waits=frozenset()))


def test_a_signature_says_everything_but_the_place() -> None:
    @cell
    def one(x, /, h):
        return tanh(W.h @ x + R.h @ h + b.h)

    @cell(name="one")
    def other(x, /, h):
        return tanh(W.h @ x + R.h @ h + b.h)

    assert signature(one.step()) == signature(other.step())
    assert signature(one.step()) != signature(catalogue()["LSTM"].step())


def test_ties_of_a_minimum_are_shared() -> None:
    @cell
    def tied(x, /, h):
        return minimum(W.h @ x, relu(h))

    step = tied.step()
    loop = split(gather_sums(lower(with_sizes(step, {"input": 2, "hidden": 2})))).loop
    adjoint = simplify(differentiate(loop).step)
    (read,) = loop.inputs
    given = {read.name: np.ones(2), "h": np.ones(2), "d.output": np.ones(2), "d.h": np.zeros(2)}
    found = run(adjoint, given)
    np.testing.assert_array_equal(found[f"d.{read.name}"], [0.5, 0.5])
    np.testing.assert_array_equal(found["new d.h"], [0.5, 0.5])
