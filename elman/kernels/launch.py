"""Choosing a backend for a step and running it.

Backends are rows of one table, tried in order; the first that can takes the work. A new kernel is a
new row: a name, a question (`can`: None, or the reason why not) and an answer (`run`).

Rule: `cpu`, generated machine code, goes first on the processor when a call has work enough to be
worth a second of compiling. `builtin` goes before `reference` wherever the equations allow.
On CUDA it is cuDNN, which cannot be differentiated twice: ask for
`reference` there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from elman.compiler import analyse, flops
from elman.compiler.ir import Step, dimensions
from elman.errors import ConfigError, did_you_mean
from elman.kernels.builtin import found, run_builtin
from elman.kernels.carry import States
from elman.kernels.layout import Layout
from elman.kernels.reference import Call, run_reference


@dataclass(frozen=True)
class Situation:
    """What a backend may ask about the work at hand.

    Attributes:
        device: "cpu", "cuda", ...; dtype: of the states.
        steps, batch, total: the longest length, the rows, the real steps in all.
        reverse, resets: whether time runs backwards; whether states are reset on the way.
        lengths: of the rows, longest first; None: all of them are as long as the longest.
    """

    device: str
    dtype: torch.dtype
    steps: int
    batch: int
    total: int
    reverse: bool = False
    resets: bool = False
    lengths: Sequence[int] | None = None


def _always(_step: Step, _sizes: Mapping[str, int], _situation: Situation) -> str | None:
    return None


def _silent(_step: Step, _sizes: Mapping[str, int], _situation: Situation) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True)
class Backend:
    """A way to run a step.

    Attributes:
        name: what `backend=` calls it.
        can: None when it can run the step in the situation, else the reason why not.
        run: does it.
        why: what speaks for it when it is taken.
        worth: None when it should, else the reason why not; not asked when it is named.
        explain: more lines for a plan.
    """

    name: str
    can: Callable[[Step, Situation], str | None]
    run: Callable[[Call], tuple[Tensor, States]]
    why: str
    worth: Callable[[Step, Mapping[str, int], Situation], str | None] = _always
    explain: Callable[[Step, Mapping[str, int], Situation], tuple[str, ...]] = _silent


def _transformed() -> str | None:
    if torch._C._are_functorch_transforms_active():
        return "a transform of torch.func cannot look inside it"
    return None


def _can_builtin(step: Step, situation: Situation) -> str | None:
    if transformed := _transformed():
        return transformed
    match = found(step)
    if match is None:
        return "its equations are none of torch's LSTM, GRU (reset after), RNN (tanh, relu)"
    if match.pattern.kind == "lstm_projected" and situation.device not in ("cpu", "cuda"):
        return f"torch has no projected LSTM on {situation.device}"
    return None


_WORTH_COMPILING = 2e6
"""Operations of a call's forward pass: machine code takes about a second to make, once."""


def _can_cpu(_step: Step, situation: Situation) -> str | None:
    if situation.device != "cpu":
        return f"it makes code for the processor, and the data is on {situation.device}"
    if situation.dtype not in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        name = str(situation.dtype).removeprefix("torch.")
        return f"it knows floating point numbers of 16, 32 and 64 bits, not {name}"
    return _transformed()


_FLOPS: dict[tuple[int, ...], tuple[Step, int]] = {}


def _flops(step: Step, sizes: Mapping[str, int]) -> int:
    """`flops`, counted once: this is asked in every call."""
    key = (id(step), *sizes.values())
    known = _FLOPS.get(key)
    if known is None or known[0] is not step:
        known = _FLOPS[key] = (step, int(flops(step, sizes)))
    return known[1]


def _worth_compiling(step: Step, sizes: Mapping[str, int], situation: Situation) -> str | None:
    work = _flops(step, sizes) * situation.total
    if work < _WORTH_COMPILING:
        return f"{work / 1e6:.2g} Mflop are too few to make code for"
    return None


def _run_cpu(call: Call) -> tuple[Tensor, States]:
    # llvmlite is loaded when the first loop is compiled, not when elman.nn is imported.
    from elman.kernels.cpu.recurrence import run_cpu

    return run_cpu(call)


def _explain_cpu(step: Step, sizes: Mapping[str, int], situation: Situation) -> tuple[str, ...]:
    from elman.kernels.cpu.explain import explain

    lengths = situation.lengths or [situation.steps] * situation.batch
    return explain(step, sizes, Layout(lengths), situation.dtype)


BACKENDS: list[Backend] = [
    Backend(
        "cpu",
        _can_cpu,
        _run_cpu,
        "machine code made from the equations runs the whole loop",
        _worth_compiling,
        _explain_cpu,
    ),
    Backend(
        "builtin",
        _can_builtin,
        run_builtin,
        "the equations are those of torch's own operator, which is faster than the loop",
    ),
    Backend(
        "reference",
        lambda _step, _situation: None,
        run_reference,
        "it runs every step, op by op in torch",
    ),
]


@dataclass(frozen=True)
class Plan:
    """Which backend runs a step, and why; `print(plan)` says it in words.

    Attributes:
        step: the step's name.
        backend, why: the one chosen and what speaks for it.
        kind: "matmul", "channel" or "scan": what the work on the state is.
        refused: the other backends, each with the reason.
        levels: the number of equations on parameters only (P), inputs only (X), states (S).
        flops: floating point operations of the forward pass.
        bytes: read and written by the forward pass at least: parameters, streams, outputs.
        situation: what the choice is for.
        details: more from the backend, a line each.
    """

    step: str
    backend: str
    why: str
    kind: str
    refused: tuple[tuple[str, str], ...]
    levels: Mapping[str, int]
    flops: int
    bytes: int
    situation: Situation
    details: tuple[str, ...] = ()

    def __str__(self) -> str:
        s = self.situation
        way = ", backwards" if s.reverse else ""
        lines = [
            f"{self.step}: {self.backend}, because {self.why}.",
            f"  {s.batch} rows of up to {s.steps} steps, {s.total} real steps{way}, "
            f"{str(s.dtype).removeprefix('torch.')} on {s.device}",
            f"  kind {self.kind}; equations P {self.levels['P']}, X {self.levels['X']}, "
            f"S {self.levels['S']}; {self.flops / 1e6:.3g} Mflop, {self.bytes / 1e6:.3g} MB",
        ]
        lines += [f"  {line}" for line in self.details]
        lines += [f"  not {name}: {reason}." for name, reason in self.refused]
        return "\n".join(lines)


def _choose(
    step: Step, sizes: Mapping[str, int], situation: Situation, wanted: str | None
) -> tuple[Backend, tuple[tuple[str, str], ...]]:
    table: Sequence[Backend] = BACKENDS
    if wanted is not None:
        table = [entry for entry in BACKENDS if entry.name == wanted]
        if not table:
            names = [entry.name for entry in BACKENDS]
            hint = did_you_mean(wanted, names)
            raise ConfigError(f'there is no backend "{wanted}".', where="backend", hint=hint)
    refused: list[tuple[str, str]] = []
    for entry in table:
        reason = entry.can(step, situation)
        if reason is None and wanted is None:
            reason = entry.worth(step, sizes, situation)
        if reason is None:
            return entry, tuple(refused)
        refused.append((entry.name, reason))
    name, reason = refused[0]
    raise ConfigError(
        f'the backend "{name}" cannot run {step.name}: {reason}.',
        where="backend",
        hint="Leave the backend out, and the fastest that can is taken.",
    )


def _behind(step: Step, situation: Situation, taken: Backend) -> Iterator[tuple[str, str]]:
    """The backends that stand behind the one taken: why they cannot, or that they could."""
    for entry in BACKENDS[BACKENDS.index(taken) + 1 :]:
        reason = entry.can(step, situation)
        yield entry.name, reason or f"it can, and stands behind {taken.name}"


def plan(
    step: Step, sizes: Mapping[str, int], situation: Situation, *, backend: str | None = None
) -> Plan:
    """Which backend `run` takes in a situation, and why.

    Raises:
        ConfigError: the backend asked for does not exist or cannot run the step.
    """
    entry, refused = _choose(step, sizes, situation, backend)
    if backend is None:
        refused += tuple(_behind(step, situation, entry))
    analysis = analyse(step)
    levels = {"P": 0, "X": 0, "S": 0}
    for equation in (e for e in step.equations if e.op != "const"):
        levels[str(analysis.levels[equation.var])] += 1
    width = torch.empty((), dtype=situation.dtype).element_size()
    held = sum(_count(p.var.shape, sizes) for p in step.parameters)
    moved = sum(_count(item.var.shape, sizes) for item in step.inputs)
    moved += _count(step.output.shape, sizes)
    return Plan(
        step=step.name,
        backend=entry.name,
        why=entry.why if backend is None else "it was asked for by name",
        kind=str(analysis.kind),
        refused=refused,
        levels=levels,
        flops=int(flops(step, sizes)) * situation.total,
        bytes=(held + moved * situation.total) * width,
        situation=situation,
        details=entry.explain(step, sizes, situation),
    )


def _count(shape: tuple[int | str, ...], sizes: Mapping[str, int]) -> int:
    count = 1
    for size in dimensions(shape, sizes):
        count *= size
    return count


def run(
    step: Step,
    sizes: Mapping[str, int],
    parameters: Mapping[str, Tensor],
    streams: Mapping[str, Tensor],
    initial: States,
    layout: Layout,
    *,
    reverse: bool = False,
    resets: Tensor | None = None,
    fresh: States | None = None,
    backend: str | None = None,
) -> tuple[Tensor, States]:
    """Runs a step over a batch in the packed layout.

    Args:
        step: the equations.
        sizes: the number behind each symbolic size, from `Step.resolve`.
        parameters: by name; a `FusedParameters` hands joined weights over without a copy.
        streams: the step's inputs by name, each packed `(N, F)`.
        initial: the state before the first step, one `(B, S)` a state, rows sorted by length.
        layout: where the steps lie.
        reverse: run backwards in time.
        resets: `(N,)` bool: a row is cut before these steps. Forwards the state before such a step
            is `fresh`; backwards the state after it, on the way to the step before, is.
        fresh: what a reset puts in place, like `initial`; None: `initial`.
        backend: a row of `BACKENDS` by name; None: the first that can.

    Returns:
        The output `(N, O)` in the packed layout and the final states `(B, S)`, rows sorted.

    Raises:
        ConfigError: the backend asked for does not exist or cannot run the step.
    """
    situation = Situation(
        device=initial[0].device.type,
        dtype=initial[0].dtype,
        steps=layout.steps,
        batch=layout.batch,
        total=layout.total,
        reverse=reverse,
        resets=resets is not None,
    )
    entry, _ = _choose(step, sizes, situation, backend)
    if resets is not None and reverse:
        resets = _cuts_backwards(resets, layout)
    if resets is not None and not bool(resets.any()):
        resets = None
    call = Call(
        step, sizes, parameters, streams, initial, fresh or initial, layout, reverse, resets
    )
    return entry.run(call)


def _cuts_backwards(resets: Tensor, layout: Layout) -> Tensor:
    """A cut before step t is, for a pass backwards, a reset before step t - 1."""
    shifted = torch.zeros_like(resets)
    offsets, rows = layout.offsets, layout.rows
    first = rows[0] if rows else 0
    if layout.total == first:
        return shifted
    # Element (t, row) for t >= 1 moves to (t - 1, row).
    step, row = layout.step_of[first:] - 1, layout.row_of[first:]
    begins = torch.tensor(offsets[:-1], device=resets.device)
    shifted[begins[step] + row] = resets[first:]
    return shifted
