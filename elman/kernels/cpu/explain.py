"""What the cpu backend would do with a step, in words; nothing is compiled for it."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from elman.compiler.differentiate import differentiate
from elman.compiler.ir import Step
from elman.compiler.lower import gather_sums
from elman.compiler.saving import with_saved
from elman.compiler.schedule import Reduction, Region, Schedule, schedule
from elman.kernels.cpu import team
from elman.kernels.cpu.arrays import Arrays, units
from elman.kernels.cpu.kernel import deal
from elman.kernels.cpu.program import Program, limit_of
from elman.kernels.cpu.recurrence import few_rows, storage_of
from elman.kernels.cpu.target import Target, host
from elman.kernels.cpu.timeloop import ROWS, shapes_of
from elman.kernels.layout import Layout


def explain(
    step: Step, sizes: Mapping[str, int], layout: Layout, dtype: torch.dtype
) -> tuple[str, ...]:
    """Lines on the loop: where inputs are multiplied, stages, saved values, threads."""
    target = host()
    double = dtype == torch.float64
    few = few_rows(layout.batch, lambda: weights(step, sizes) * (8 if double else 4))
    program = Program(step, sizes, torch.float64 if double else torch.float32, target, few=few)
    forward = schedule(program.loop)
    where = "inside of the loop" if program.inside else "before the loop"
    numbers = "; products of bfloat16" if storage_of(dtype) == "brain" else ""
    vectors = f"{target.name}, vectors of {target.bits} bits{numbers}"
    lines = [f"inputs are multiplied {where}; {vectors}"]
    lines += [f"forwards {line}" for line in _stages(forward)]
    trained = with_saved(
        program.loop,
        differentiate(program.loop),
        kept=[entry.name for entry in program.loop.inputs],
        limit=limit_of(program),
    )
    backward = schedule(gather_sums(trained.adjoint))
    lines += [f"backwards {line}" for line in _stages(backward)]
    kept = sum(units(result.var) for result in trained.forward.results)
    lines.append(
        f"{len(trained.forward.results)} values of {kept} numbers in all are kept for each real "
        f"step, {kept * layout.total * (8 if double else 4) / 1e6:.3g} MB"
    )
    return (*lines, _threads(forward, target, layout, double))


def weights(step: Step, sizes: Mapping[str, int]) -> int:
    """The numbers in a step's matrices."""
    found = 0
    for parameter in step.parameters:
        if len(parameter.var.shape) > 1:
            count = 1
            for size in parameter.var.shape:
                count *= size if isinstance(size, int) else sizes[size]
            found += count
    return found


def _stages(plan: Schedule) -> list[str]:
    lines: list[str] = []
    for part in plan.parts:
        if isinstance(part, Reduction):
            lines.append(f"stage {part.stage}: a sum over {units(part.operand)} units")
            continue
        products = sum(len(a.products) for a in part.accumulators)
        work = f"{products} products into {len(part.accumulators)} sums, " if products else ""
        lines.append(
            f"stage {part.stage}: {part.size} units, {work}{len(part.equations)} operations"
        )
    return lines


def _threads(plan: Schedule, target: Target, layout: Layout, double: bool) -> str:
    shapes = shapes_of(Arrays(plan), target, double=double)
    threads, by_units = deal(plan, shapes, layout, team.available())
    if threads == 1:
        return "1 thread"
    if by_units:
        regions = [part for part in plan.parts if isinstance(part, Region)]
        return f"{threads} threads share the units, {len(regions)} meetings a step at most"
    return f"{threads} threads share the rows in blocks of {ROWS}"
