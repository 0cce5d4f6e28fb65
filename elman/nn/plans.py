"""What runs the layers of a stack, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from elman.compiler.ir import Step
from elman.kernels import launch
from elman.kernels.layout import Layout


@dataclass(frozen=True)
class StackPlan:
    """The plan of every layer and direction; `print(plan)` says it in words."""

    parts: Mapping[str, launch.Plan] = field(default_factory=dict)

    def __str__(self) -> str:
        return "\n".join(f"{name}: {plan}" for name, plan in self.parts.items())

    @property
    def backends(self) -> tuple[str, ...]:
        """The backends in use, without repeats."""
        return tuple(dict.fromkeys(plan.backend for plan in self.parts.values()))


def stack_plan(
    step: Step,
    sizes: Sequence[Mapping[str, int]],
    directions: int,
    like: Tensor,
    layout: Layout,
    backend: str | None,
) -> StackPlan:
    """The plan of layers of a step over one layout; `like` has their device and dtype."""
    parts: dict[str, launch.Plan] = {}
    for layer, own in enumerate(sizes):
        for direction in range(directions):
            situation = launch.Situation(
                device=like.device.type,
                dtype=like.dtype,
                steps=layout.steps,
                batch=layout.batch,
                total=layout.total,
                reverse=direction == 1,
                lengths=layout.lengths,
            )
            name = f"layer {layer}" + (" backwards" if direction else "")
            parts[name] = launch.plan(step, own, situation, backend=backend)
    return StackPlan(parts)
