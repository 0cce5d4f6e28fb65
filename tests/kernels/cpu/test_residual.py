"""The one-step residual: given the states of a long run, one step at any time gives the next ones.

A run of 1000 steps is made one step at a time, then all of its steps at once as one batch of rows,
from the states that were kept. Nothing may depend on where a row or a step stands.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from elman.cells import catalogue
from elman.compiler.ir import Step, dimensions
from elman.kernels.cpu.recurrence import run_cpu
from elman.kernels.layout import Layout
from elman.kernels.reference import Call, run_reference

STEPS, ROWS, SIZE = 1000, 8, 24
ULP = 2.0**-23
MAGNIFIED = {"PhasedLSTM": 2**16}  # the phase of a time of 1000 over a short period
OFTEN = {"LSTM", "GRUResetBefore", "minGRU"}
HYPER: dict[str, dict[str, Any]] = {"ClockworkRNN": {"width": 6}}

Numbers = dict[str, Tensor]


def _drawn(step: Step, sizes: dict[str, int]) -> tuple[Numbers, Numbers, tuple[Tensor, ...]]:
    random = torch.Generator().manual_seed(2)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random)

    parameters = {
        p.name: normal(*dimensions(p.var.shape, sizes)) * SIZE**-0.5 for p in step.parameters
    }
    inputs = {i.name: normal(STEPS * ROWS, *dimensions(i.var.shape, sizes)) for i in step.inputs}
    if "t" in inputs:  # the time of each step
        inputs["t"] = torch.arange(STEPS).repeat_interleave(ROWS)[:, None].float()
    start = tuple(
        torch.full((ROWS, *dimensions(s.var.shape, sizes)), float(s.initial)) for s in step.states
    )
    return parameters, inputs, start


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in OFTEN else pytest.mark.slow)
        for name in sorted(catalogue())
    ],
)
def test_one_step_at_any_time(name: str) -> None:
    step = catalogue()[name].step(**HYPER.get(name, {}))
    features = SIZE if name == "RGLRU" else 5
    sizes = step.resolve(input_size=features, hidden_size=SIZE)
    parameters, inputs, state = _drawn(step, sizes)
    one = Layout([1] * ROWS)
    before: list[tuple[Tensor, ...]] = []
    after: list[tuple[Tensor, ...]] = []
    for t in range(STEPS):
        part = {key: value[ROWS * t : ROWS * t + ROWS] for key, value in inputs.items()}
        before.append(state)
        y, state = run_cpu(Call(step, sizes, parameters, part, state, state, one))
        after.append((y, *state))
    starts = tuple(torch.cat(values) for values in zip(*before, strict=True))
    wanted = tuple(torch.cat(values) for values in zip(*after, strict=True))
    every = Layout([1] * (STEPS * ROWS))
    y, finals = run_cpu(Call(step, sizes, parameters, inputs, starts, starts, every))
    _close((y, *finals), wanted, 4 * ULP)
    exact = [{k: v.double() for k, v in group.items()} for group in (parameters, inputs)]
    long = tuple(value.double() for value in starts)
    y, finals = run_reference(Call(step, sizes, *exact, long, long, every))
    # Float32 rounds inside of a step too: products of 24 terms, gates, what is magnified by them.
    _close((y, *finals), wanted, MAGNIFIED.get(name, 64) * ULP)


def _close(got: tuple[Tensor, ...], wanted: tuple[Tensor, ...], limit: float) -> None:
    for found, right in zip(got, wanted, strict=True):
        size = right.double().abs().clamp(min=1)
        off = ((found.double() - right.double()) / size).abs().max()
        assert float(off) <= limit
