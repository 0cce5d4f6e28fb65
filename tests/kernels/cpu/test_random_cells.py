"""Cells that nobody wrote: random graphs of primitives, on machine code against float64."""

from __future__ import annotations

import random

import pytest
import torch

from elman.compiler.build import StepBuilder
from elman.compiler.ir import Step
from elman.compiler.simplify import simplify
from elman.compiler.terms import Term
from elman.compiler.verify import verify
from elman.diagnostics.cell_check import TRIALS, check_cell

UNARY = ("sigmoid", "tanh", "relu", "softplus", "silu", "cos", "sin", "abs", "neg", "expm1")
BINARY = ("add", "sub", "mul", "maximum", "minimum")


def random_step(seed: int, *, numbers: bool = False) -> Step:
    """One to three states, up to six products at any depth, sums over features now and then.

    With `numbers` there are also products of one row, whose number something cheap is done to.
    """
    draw = random.Random(seed)
    build = StepBuilder(f"random {seed}")
    x = Term(build, build.input("x", ("input",)))
    states = [
        Term(build, build.state(f"s{k}", ("hidden",), 0.0)) for k in range(draw.randint(1, 3))
    ]
    number = 0

    def product(value: Term, rows: str | int = "hidden") -> Term:
        nonlocal number
        number += 1
        columns = "input" if value.var == x.var else "hidden"
        matrix = build.parameter(f"M.{number}", (rows, columns))
        bias = Term(build, build.parameter(f"b.{number}", (rows,)))
        return Term(build, build.add("matmul", matrix, value.var)) + bias

    values = [*states, product(x)]
    for _ in range(draw.randint(8, 20)):
        kind = draw.random()
        a, b = draw.choice(values[-8:]), draw.choice(values)
        if numbers and draw.random() < 0.3:
            number_of = product(draw.choice([x, *states, b]), 1)
            values.append(a * number_of.apply(draw.choice(("neg", "relu", "abs", "tanh"))))
        if kind < 0.2 and number < 6:
            made = product(draw.choice([x, a.apply("tanh")]))
        elif kind < 0.3:
            made = a.apply("tanh").apply("norm", eps=1e-3)
        elif kind < 0.36:
            made = a * b.apply("tanh").apply("mean")
        elif kind < 0.42:
            made = (a > 0.1).where_true(a, b)
        elif kind < 0.7:
            made = a.apply("tanh").apply(draw.choice(UNARY))
        else:
            made = a.apply(draw.choice(BINARY), b)
        values.append(made)
    new = [values[-1 - k].apply("tanh") * 0.5 + s * 0.5 for k, s in enumerate(states)]
    made = build.finish(draw.choice(new).var, [value.var for value in new])
    return verify(simplify(made))


def test_they_are_drawn_alike() -> None:
    assert random_step(3) == random_step(3)
    assert any(e.op == "matmul" for e in random_step(3).equations)


@pytest.mark.parametrize("seed", range(20))
def test_machine_code_agrees(seed: int) -> None:
    kept = [trial for trial in TRIALS if trial.name in ("ragged", "reverse with resets")]
    found = check_cell(random_step(seed), sizes=(7,), backends=["cpu"], trials=kept)
    assert found.good, str(found)


@pytest.mark.parametrize("seed", range(12))
def test_machine_code_agrees_where_products_give_one_number(seed: int) -> None:
    kept = [trial for trial in TRIALS if trial.name in ("padded", "few rows")]
    step = random_step(seed, numbers=True)
    found = check_cell(step, sizes=(40,), backends=["cpu"], trials=kept)
    assert found.good, str(found)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_machine_code_agrees_everywhere(seed: int) -> None:
    torch.manual_seed(seed)
    found = check_cell(random_step(seed), sizes=(1, 16, 33, 64), backends=["cpu"])
    assert found.good, str(found)
