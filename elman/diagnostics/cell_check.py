"""`check_cell`: a cell on every backend against the reference in float64, values and gradients.

Every kind of batch that a layer accepts is drawn at random, run forwards and backwards, and held
against the same numbers op by op in float64. It is how the catalogue is tested, and it takes a cell
of one's own as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from elman.cells import Cell
from elman.compiler.ir import Step, dimensions
from elman.errors import CellError
from elman.kernels.launch import BACKENDS, Situation
from elman.kernels.layout import Layout
from elman.kernels.reference import Call, run_reference

Run = Callable[[Call], tuple[Tensor, tuple[Tensor, ...]]]
Found = tuple[str, float, float]
"""A result, how far it is off, and how far it may be."""

_RAGGED = (7, 7, 5, 4, 4, 2, 1, 1, 0, 0)
SIZES = (1, 7, 16, 33)
INPUT = 5
_NUDGES = 20  # at most so many runs say how far rounding carries, where something is off


@dataclass(frozen=True)
class Trial:
    """One kind of batch.

    Attributes:
        name: what is special about it.
        lengths: of its rows, longest first.
        reverse, resets: as in a layer's call.
        strided: the inputs are columns of a wider tensor.
        extreme: inputs are thousands of times too large; only values are compared.
    """

    name: str
    lengths: tuple[int, ...] = _RAGGED
    reverse: bool = False
    resets: bool = False
    strided: bool = False
    extreme: bool = False


TRIALS = (
    Trial("padded", (6,) * 9),
    Trial("ragged"),
    Trial("reverse", reverse=True),
    Trial("resets", resets=True),
    Trial("reverse with resets", reverse=True, resets=True),
    Trial("one step", (1,) * 9),
    Trial("one row", (9,)),
    Trial("few rows", (6, 5, 1, 0)),
    Trial("strided", strided=True),
    Trial("extreme inputs", (4,) * 9, extreme=True),
)


@dataclass(frozen=True)
class Difference:
    """One result that is further off than it may be."""

    backend: str
    dtype: str
    trial: str
    size: int
    result: str
    off: float
    limit: float

    def __str__(self) -> str:
        return (
            f"{self.backend}, {self.dtype}, {self.trial}, {self.size} units: {self.result} is off "
            f"by {self.off:.2g}, allowed is {self.limit:.2g}"
        )


@dataclass(frozen=True)
class CellCheck:
    """What a check found.

    Attributes:
        cell: its name.
        compared: the number of results that were compared.
        backends: those that could run it.
        wrong: the results that were too far off.
    """

    cell: str
    compared: int
    backends: tuple[str, ...]
    wrong: tuple[Difference, ...] = field(default=())

    @property
    def good(self) -> bool:
        """Whether everything agreed."""
        return self.compared > 0 and not self.wrong

    def __str__(self) -> str:
        names = ", ".join(self.backends)
        head = f"{self.cell}: {self.compared} results on {names} against float64"
        if self.good:
            return f"{head}: all agree."
        return "\n".join([f"{head}: {len(self.wrong)} differ.", *map(str, self.wrong[:10])])


def check_cell(
    cell: Cell | Step,
    *,
    sizes: Sequence[int] = SIZES,
    backends: Sequence[str] | None = None,
    dtypes: Sequence[torch.dtype] = (torch.float32, torch.float64),
    trials: Sequence[Trial] = TRIALS,
    hyperparameters: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> CellCheck:
    """Compares a cell on every backend with the reference in float64.

    Args:
        cell: a cell, or a step.
        sizes: hidden sizes; those that the cell cannot have are left out.
        backends: by name; None: all.
        dtypes: of the runs that are compared.
        trials: the kinds of batches.
        hyperparameters: of the cell.
        seed: of weights and batches.

    Raises:
        CellError: the cell cannot have any of the sizes.
    """
    step = cell if isinstance(cell, Step) else cell.step(**dict(hyperparameters or {}))
    compared, used, wrong = 0, dict[str, None](), list[Difference]()
    fitting = [found for size in sizes if (found := _fitting(step, size)) is not None]
    if not fitting:
        raise CellError(f"{step.name} can have none of the hidden sizes {list(sizes)}.")
    for resolved in fitting:
        for trial in trials:
            wanted = outcome(step, resolved, trial, run_reference, torch.float64, seed=seed)
            for backend in BACKENDS:
                if backends is not None and backend.name not in backends:
                    continue
                for dtype in dtypes:
                    if backend.can(step, _situation(trial, dtype)) is not None:
                        continue
                    if backend.run is run_reference and dtype != torch.float64:
                        continue  # it is what the others are held against, not what is in question
                    used[backend.name] = None
                    got = outcome(step, resolved, trial, backend.run, dtype, seed=seed)
                    found = list(differences(got, wanted, dtype, trial))
                    compared += len(found)
                    for result, off, limit in _avoidable(found, step, resolved, trial, dtype, seed):
                        name = str(dtype).removeprefix("torch.")
                        size = resolved.get("hidden", 0)
                        wrong.append(
                            Difference(backend.name, name, trial.name, size, result, off, limit)
                        )
    return CellCheck(step.name, compared, tuple(used), tuple(wrong))


def _fitting(step: Step, size: int) -> dict[str, int] | None:
    for features in (INPUT, size):  # some cells want as many features as units
        try:
            return dict(step.resolve(input_size=features, hidden_size=size))
        except CellError:
            continue
    return None


def _situation(trial: Trial, dtype: torch.dtype) -> Situation:
    lengths = trial.lengths
    return Situation(
        device="cpu",
        dtype=dtype,
        steps=lengths[0],
        batch=len(lengths),
        total=sum(lengths),
        reverse=trial.reverse,
        resets=trial.resets,
    )


def outcome(
    step: Step,
    sizes: Mapping[str, int],
    trial: Trial,
    run: Run,
    dtype: torch.dtype,
    *,
    seed: int = 0,
    nudge: int = 0,
) -> dict[str, Tensor]:
    """The output, the final states, and what a random loss owes to everything that goes in.

    With a `nudge` what goes in differs in its last digits.
    """
    random = torch.Generator().manual_seed(seed)
    layout = Layout(trial.lengths)
    given = _drawn(step, sizes, trial, random)
    if nudge:
        other = torch.Generator().manual_seed(nudge)
        for name, value in given.items():
            given[name] = _short(value * (1 + 1e-6 * _normal(value.shape, other)))
    leaves = {name: value.to(dtype).requires_grad_() for name, value in given.items()}
    resets = torch.rand(layout.total, generator=random) < 0.2 if trial.resets else None
    streams = {i.name: _strided(leaves[i.name], trial.strided) for i in step.inputs}
    output, finals = run(
        Call(
            step,
            sizes,
            {p.name: leaves[p.name] for p in step.parameters},
            streams,
            tuple(leaves[f"initial {s.name}"] for s in step.states),
            tuple(leaves[f"fresh {s.name}"] for s in step.states),
            layout,
            trial.reverse,
            resets,
        )
    )
    results = {"the output": output}
    pairs = zip(step.states, finals, strict=True)
    results.update({f"the final {s.name}": final for s, final in pairs})
    if trial.extreme:
        return {name: value.detach().double() for name, value in results.items()}
    loss = torch.zeros((), dtype=dtype)
    for value in results.values():
        weight = _short(_normal(value.shape, random)).to(dtype)
        loss = loss + (torch.where(torch.isfinite(value), value, 0) * weight).sum()
    gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True):
        found = torch.zeros_like(leaf) if gradient is None else gradient
        results[f"the gradient of {name}"] = found
    return {name: value.detach().double() for name, value in results.items()}


def _drawn(
    step: Step, sizes: Mapping[str, int], trial: Trial, random: torch.Generator
) -> dict[str, Tensor]:
    """Random parameters, inputs and states, by name."""
    layout = Layout(trial.lengths)
    given: dict[str, Tensor] = {}
    for parameter in step.parameters:
        shape = dimensions(parameter.var.shape, sizes)
        scale = 0.5 / math.sqrt(shape[1]) if len(shape) > 1 else 0.3
        given[parameter.name] = _short(_normal(shape, random) * scale)
    for entry in step.inputs:
        value = _normal((layout.total, *dimensions(entry.var.shape, sizes)), random)
        value = value.abs() * 5 if entry.name == "t" else value  # time stamps
        given[entry.name] = _short(value * 1e4 if trial.extreme else value)
    for prefix in ("initial", "fresh"):
        for state in step.states:
            shape = (layout.batch, *dimensions(state.var.shape, sizes))
            noise = _normal(shape, random) * 0.3 * float(state.initial == 0)
            given[f"{prefix} {state.name}"] = _short(noise + state.initial)
    return given


def _normal(shape: Sequence[int], random: torch.Generator) -> Tensor:
    return torch.randn(tuple(shape), generator=random, dtype=torch.float64)


def _short(value: Tensor) -> Tensor:
    """The nearest numbers that float32 has: what is compared is not how inputs are rounded."""
    return value.float().double()


def _strided(value: Tensor, strided: bool) -> Tensor:
    if not strided or value.dim() < 2:
        return value
    wide = torch.cat([value, value.detach() * 0 + 7, value.detach()], dim=1)
    return wide[:, : value.shape[1]]


def _avoidable(
    found: Sequence[Found],
    step: Step,
    sizes: Mapping[str, int],
    trial: Trial,
    dtype: torch.dtype,
    seed: int,
) -> list[Found]:
    """What is further off than its limit, and than equations that magnify rounding excuse.

    They excuse four times what they are off by in float32, operator by operator, the most of some
    runs on nearly the same numbers, scaled to `dtype`: the phase of a time over a short period,
    say, a sum of inputs of 1e4, or the gradient of one number to which large terms nearly cancel
    out. How far one number is off is luck, so that a few runs do not tell what it may be off by:
    there are more of them for as long as something is not excused.
    """
    scale = 4 * torch.finfo(dtype).eps / torch.finfo(torch.float32).eps
    over = [one for one in found if not one[1] <= one[2]]
    for nudge in range(_NUDGES):
        if not over:
            break
        short, long = (
            outcome(step, sizes, trial, run_reference, kind, seed=seed, nudge=nudge)
            for kind in (torch.float32, torch.float64)
        )
        usual = {
            name: scale * off for name, off, _ in differences(short, long, torch.float32, trial)
        }
        over = [(name, off, max(limit, usual[name])) for name, off, limit in over]
        over = [one for one in over if not one[1] <= one[2]]
    return over


def differences(
    got: Mapping[str, Tensor], wanted: Mapping[str, Tensor], dtype: torch.dtype, trial: Trial
) -> Iterator[Found]:
    """Each result with how far it is off and how far it may be.

    Values: absolutely, 2e-6 times the root of the steps in float32, 1e-12 in float64, relative to
    values above 1. Gradients: the root mean square relative to theirs, 1e-5 and 1e-10.
    """
    short = dtype == torch.float32
    value = 2e-6 * math.sqrt(max(trial.lengths)) if short else 1e-12
    gradient = 1e-5 if short else 1e-10
    for name, right in wanted.items():
        off = torch.nan_to_num(got[name]) - torch.nan_to_num(right)
        if not off.numel():
            continue
        if name.startswith("the gradient"):
            size = max(float(right.square().mean().sqrt()), 1e-3)
            yield name, float(off.square().mean().sqrt()) / size, gradient
        else:
            size = max(1.0, float(torch.nan_to_num(right).abs().max()))
            yield name, float(off.abs().max()) / size, value
