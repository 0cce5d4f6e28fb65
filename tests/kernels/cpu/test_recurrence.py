"""Generated machine code against the reference in float64: values and every gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from elman.cells import catalogue
from elman.compiler.ir import Step, dimensions
from elman.kernels.cpu.recurrence import run_cpu
from elman.kernels.layout import Layout
from elman.kernels.reference import Call, run_reference

RAGGED = [7, 7, 5, 4, 4, 2, 1, 1, 0, 0]
CELLS = sorted(catalogue())
HYPER: dict[str, dict[str, Any]] = {"ClockworkRNN": {"width": 2}}


@dataclass(frozen=True)
class Case:
    """One batch of one cell."""

    cell: str
    size: int
    lengths: list[int] = field(default_factory=lambda: RAGGED)
    reverse: bool = False
    resets: bool = False
    scale: float = 0.3

    def step(self) -> tuple[Step, dict[str, int]]:
        step = catalogue()[self.cell].step(**HYPER.get(self.cell, {}))
        features = self.size if self.cell == "RGLRU" else 5
        return step, step.resolve(input_size=features, hidden_size=self.size)


Run = Callable[[Call], tuple[Tensor, tuple[Tensor, ...]]]


def outcome(case: Case, run: Run, dtype: torch.dtype) -> dict[str, Tensor]:
    """The output, the final states and the gradients of everything that goes in."""
    step, sizes = case.step()
    random = torch.Generator().manual_seed(3)

    def draw(*shape: int, scale: float = 1.0) -> Tensor:
        return torch.randn(shape, generator=random, dtype=torch.float64) * scale

    layout = Layout(case.lengths)
    given: dict[str, Tensor] = {}
    for parameter in step.parameters:
        given[parameter.name] = draw(*dimensions(parameter.var.shape, sizes), scale=case.scale)
    for entry in step.inputs:
        given[entry.name] = draw(layout.total, *dimensions(entry.var.shape, sizes))
        if entry.name == "t":
            given["t"] = given["t"].abs() * 5
    for prefix in ("initial", "fresh"):
        for state in step.states:
            shape = (layout.batch, *dimensions(state.var.shape, sizes))
            noise = draw(*shape, scale=0.3) * float(state.initial == 0)
            given[f"{prefix} {state.name}"] = noise + state.initial
    leaves = {name: value.to(dtype).requires_grad_() for name, value in given.items()}
    resets = torch.rand(layout.total, generator=random) < 0.2 if case.resets else None
    output, finals = run(
        Call(
            step,
            sizes,
            {p.name: leaves[p.name] for p in step.parameters},
            {i.name: leaves[i.name] for i in step.inputs},
            tuple(leaves[f"initial {s.name}"] for s in step.states),
            tuple(leaves[f"fresh {s.name}"] for s in step.states),
            layout,
            case.reverse,
            resets,
        )
    )
    results = {"output": output}
    results.update({f"final {s.name}": f for s, f in zip(step.states, finals, strict=True)})
    loss = torch.zeros((), dtype=dtype)
    for value in results.values():
        weight = draw(*value.shape).to(dtype)
        loss = loss + (torch.where(torch.isfinite(value), value, 0) * weight).sum()
    found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    for (name, leaf), gradient in zip(leaves.items(), found, strict=True):
        results[f"d {name}"] = torch.zeros_like(leaf) if gradient is None else gradient
    return {name: value.detach().double() for name, value in results.items()}


def close(
    got: Mapping[str, Tensor], wanted: Mapping[str, Tensor], value: float, rms: float
) -> None:
    """Values absolutely within `value`, gradients within `rms` of their root mean square."""
    assert got.keys() == wanted.keys()
    for name, right in wanted.items():
        difference = torch.nan_to_num(got[name]) - torch.nan_to_num(right)
        if name.startswith("d "):
            size = float(right.square().mean().sqrt())
            assert float(difference.square().mean().sqrt()) <= rms * max(size, 1e-3), name
        elif difference.numel():
            assert float(difference.abs().max()) <= value, name


@pytest.mark.parametrize("name", CELLS)
def test_ragged_forwards_in_float64(name: str) -> None:
    case = Case(name, 8)
    wanted = outcome(case, run_reference, torch.float64)
    close(outcome(case, run_cpu, torch.float64), wanted, 1e-12, 1e-10)


@pytest.mark.parametrize("name", [name for name in CELLS if name != "ClockworkRNN"])
def test_backwards_with_resets_at_an_odd_size_in_float32(name: str) -> None:
    case = Case(name, 37, reverse=True, resets=True)
    wanted = outcome(case, run_reference, torch.float64)
    close(outcome(case, run_cpu, torch.float32), wanted, 3e-5, 1e-4)


@pytest.mark.parametrize("size", [1, 7, 16, 33, 64, 100])
@pytest.mark.parametrize("batch", [1, 3, 40])
def test_sizes_and_batches(size: int, batch: int) -> None:
    case = Case("LSTM", size, [5] * batch)
    wanted = outcome(case, run_reference, torch.float64)
    close(outcome(case, run_cpu, torch.float32), wanted, 5e-6, 1e-5)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("name", ["LSTM", "GRUResetBefore", "LSTMP", "LMU", "minGRU"])
def test_threads_give_the_same(name: str, threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for lengths in ([6], [6, 5, 3], [6] * 50, list(range(70))):
            case = Case(name, 130, lengths, scale=0.05)
            wanted = outcome(case, run_reference, torch.float64)
            close(outcome(case, run_cpu, torch.float64), wanted, 1e-11, 1e-10)
    finally:
        torch.set_num_threads(before)


def test_the_same_bits_again() -> None:
    case = Case("GRUResetAfter", 48, [9] * 20 + [4] * 13)
    first, second = (outcome(case, run_cpu, torch.float32) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_extreme_values() -> None:
    case = Case("LSTM", 20, [6] * 5, scale=1e4)
    wanted = outcome(case, run_reference, torch.float64)
    got = outcome(case, run_cpu, torch.float64)
    assert all(bool(torch.isfinite(got[name]).all()) for name in ("output", "final h", "final c"))
    close(
        {k: v for k, v in got.items() if not k.startswith("d ")},
        {k: v for k, v in wanted.items() if not k.startswith("d ")},
        1e-9,
        1.0,
    )


def test_strided_input_is_read_as_it_is() -> None:
    step, sizes = Case("Elman", 6).step()
    layout = Layout([4, 4, 2, *[1] * 9])  # enough rows that the loop itself reads the input
    wide = torch.randn(layout.total, 11)
    parameters = {p.name: torch.randn(dimensions(p.var.shape, sizes)) for p in step.parameters}
    start = (torch.zeros(12, 6),)

    def run(x: Tensor) -> Tensor:
        return run_cpu(Call(step, sizes, parameters, {"x": x}, start, start, layout))[0]

    assert torch.equal(run(wide[:, 3:8]), run(wide[:, 3:8].contiguous()))
    assert torch.equal(run(wide[:, 1::2]), run(wide[:, 1::2].contiguous()))


def test_second_derivatives() -> None:
    step, sizes = Case("GRUResetAfter", 3).step()
    layout = Layout([3, 2])
    like = torch.float64
    parameters = {p.name: torch.randn(dimensions(p.var.shape, sizes), dtype=like) * 0.5
                  for p in step.parameters}  # fmt: skip
    start = torch.zeros(2, 3, dtype=like)
    names = list(parameters)

    def run(x: Tensor, *values: Tensor) -> Tensor:
        given = dict(zip(names, values, strict=True))
        return run_cpu(Call(step, sizes, given, {"x": x}, (start,), (start,), layout))[0]

    leaves = [torch.randn(layout.total, 5, dtype=like), *parameters.values()]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    assert torch.autograd.gradcheck(run, leaves)
    assert torch.autograd.gradgradcheck(run, leaves)


@pytest.mark.parametrize("rows", [2, 8])
def test_forward_and_backward_agree_step_by_step(rows: int) -> None:
    """The one-step residual: from the states that a long run gave, one step gives the next."""
    step, sizes = Case("LSTM", 32).step()
    layout = Layout([1000] * rows)
    random = torch.Generator().manual_seed(0)
    parameters = {
        p.name: torch.randn(dimensions(p.var.shape, sizes), generator=random) * 0.2
        for p in step.parameters
    }
    x = torch.randn(layout.total, 5, generator=random)
    state = (torch.zeros(rows, 32), torch.zeros(rows, 32))
    states: list[tuple[Tensor, ...]] = [state]
    one = Layout([1] * rows)
    whole, _ = run_cpu(Call(step, sizes, parameters, {"x": x}, state, state, layout))
    for t in range(50):
        y, state = run_cpu(
            Call(step, sizes, parameters, {"x": x[rows * t : rows * t + rows]}, state, state, one)
        )
        wanted = whole[rows * t : rows * t + rows]
        if rows == 2:  # inputs are multiplied before the loop, by torch
            torch.testing.assert_close(y, wanted, rtol=0, atol=4 * 2**-24)
        else:
            assert torch.equal(y, wanted)
        states.append(state)
