"""`elman::recurrence`: a whole layer and direction as one operator that torch's compilers see.

A tracer (torch.compile, torch.export) cannot look into a loop over real lengths, nor into machine
code, and need not: it sees one operator with known shapes. Steps do not travel in graphs; they are
registered under a name that says what they are, and the operator looks them up. Backwards the layer
is run again with gradients and differentiated, on whatever backend is best for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from elman.compiler.ir import Step, dimensions, signature
from elman.errors import ConfigError, ShapeError
from elman.kernels import launch
from elman.kernels.layout import Layout


@dataclass(frozen=True)
class Known:
    """A registered step: its equations, the numbers behind its sizes, and the backend asked for."""

    step: Step
    sizes: Mapping[str, int]
    backend: str | None

    @property
    def output(self) -> int:
        """Features of the output."""
        return (*dimensions(self.step.output.shape, self.sizes), 1)[0]


_KNOWN: dict[str, Known] = {}
_EXCLUDED = torch._C._dispatch_tls_local_exclude_set()  # what torch leaves out outside of operators


def register(step: Step, sizes: Mapping[str, int], backend: str | None = None) -> str:
    """The name under which the operator knows a step."""
    text = f"{signature(step)}\n{sorted(sizes.items())}\n{backend}"
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    name = f"{step.name} {digest}"
    _KNOWN[name] = Known(step, dict(sizes), backend)
    return name


def _recording() -> Any:
    """Lets autograd record inside of an operator, where torch has switched it off."""
    include = torch._C._dispatch_tls_local_include_set()
    return torch._C._ForceDispatchKeyGuard(include, _EXCLUDED)


def _known(name: str) -> Known:
    if name not in _KNOWN:
        raise ConfigError(
            f'this process knows no recurrence "{name}".',
            hint="Make a layer like the one that was exported first, then run the graph.",
        )
    return _KNOWN[name]


def _layout(x: Tensor, lengths: Tensor | None) -> Layout:
    time, batch = x.shape[:2]
    if lengths is None:
        return Layout.uniform(time, batch, x.device)
    counts: list[int] = lengths.tolist()
    # A graph knows no numbers: what a layer checks beforehand elsewhere is checked here.
    if len(counts) != batch:
        raise ShapeError(f"got {len(counts)} lengths, wanted {batch}, one a row of the batch.")
    for row, n in enumerate(counts):
        if not 0 <= n <= time:
            raise ShapeError(
                f"got the length {n} in row {row}, wanted at most the {time} steps, and no less "
                "than 0."
            )
    return Layout(counts, device=x.device)


def _run(
    name: str,
    streams: Sequence[Tensor],
    lengths: Tensor | None,
    parameters: Sequence[Tensor],
    initial: Sequence[Tensor],
    fresh: Sequence[Tensor],
    resets: Tensor | None,
    reverse: bool,
) -> list[Tensor]:
    known = _known(name)
    step = known.step
    layout = _layout(streams[0], lengths)
    entries = zip(step.inputs, streams, strict=True)
    packed = {entry.name: layout.pack(value) for entry, value in entries}
    y, finals = launch.run(
        step,
        known.sizes,
        {p.name: value for p, value in zip(step.parameters, parameters, strict=True)},
        packed,
        tuple(layout.sort(value) for value in initial),
        layout,
        reverse=reverse,
        resets=None if resets is None else layout.pack(resets),
        fresh=tuple(layout.sort(value) for value in fresh) or None,
        backend=known.backend,
    )
    whole = layout.unpack(y, streams[0].shape[0])
    return [whole, *(layout.unsort(final) for final in finals)]


@torch.library.custom_op("elman::recurrence", mutates_args=())
def recurrence(
    name: str,
    streams: list[Tensor],
    lengths: Tensor | None,
    parameters: list[Tensor],
    initial: list[Tensor],
    fresh: list[Tensor],
    resets: Tensor | None,
    reverse: bool,
) -> list[Tensor]:
    """A registered step over a padded batch.

    Args:
        name: from `register`.
        streams: the step's inputs in order, each `(T, B, F)`.
        lengths: `(B,)` integers, or None: all of T.
        parameters: in the step's order.
        initial, fresh: one `(B, S)` a state; what resets put in its place, empty without resets.
        resets: `(T, B)` bool.
        reverse: run backwards in time.

    Returns:
        The output `(T, B, O)`, zero in the padding, and one final `(B, S)` a state.
    """
    with torch.no_grad():
        found = _run(name, streams, lengths, parameters, initial, fresh, resets, reverse)
    # An operator's results share no memory with its arguments.
    given = {t.data_ptr() for t in (*streams, *initial)}
    return [value.clone() if value.data_ptr() in given else value for value in found]


@recurrence.register_fake
def _(
    name: str,
    streams: list[Tensor],
    lengths: Tensor | None,  # noqa: ARG001 - the operator's signature
    parameters: list[Tensor],  # noqa: ARG001
    initial: list[Tensor],
    fresh: list[Tensor],  # noqa: ARG001
    resets: Tensor | None,  # noqa: ARG001
    reverse: bool,  # noqa: ARG001
) -> list[Tensor]:
    time, batch = streams[0].shape[:2]
    y = streams[0].new_empty(time, batch, _known(name).output, dtype=initial[0].dtype)
    return [y, *(torch.empty_like(value) for value in initial)]


@torch.library.custom_op("elman::recurrence_backward", mutates_args=())
def recurrence_backward(
    name: str,
    streams: list[Tensor],
    lengths: Tensor | None,
    parameters: list[Tensor],
    initial: list[Tensor],
    fresh: list[Tensor],
    resets: Tensor | None,
    reverse: bool,
    owed: list[Tensor],
) -> list[Tensor]:
    """What a loss owes to the streams, parameters, initial and fresh states, one after the other.

    `owed` is what it owes to each result of `recurrence`.
    """
    groups = [
        [value.detach().requires_grad_() for value in group]
        for group in (streams, parameters, initial, fresh)
    ]
    wanted = [value for group in groups for value in group]
    with _recording(), torch.enable_grad():
        inputs, weights, begin, anew = groups
        found = _run(name, inputs, lengths, weights, begin, anew, resets, reverse)
        pairs = [(v, g) for v, g in zip(found, owed, strict=True) if v.requires_grad]
        values, amounts = zip(*pairs, strict=True)
        gradients = torch.autograd.grad(values, wanted, amounts, allow_unused=True)
    return [
        torch.zeros_like(value) if gradient is None else gradient.clone()
        for value, gradient in zip(wanted, gradients, strict=True)
    ]


@recurrence_backward.register_fake
def _(
    name: str,  # noqa: ARG001
    streams: list[Tensor],
    lengths: Tensor | None,  # noqa: ARG001
    parameters: list[Tensor],
    initial: list[Tensor],
    fresh: list[Tensor],
    resets: Tensor | None,  # noqa: ARG001
    reverse: bool,  # noqa: ARG001
    owed: list[Tensor],  # noqa: ARG001
) -> list[Tensor]:
    return [torch.empty_like(t) for t in (*streams, *parameters, *initial, *fresh)]


def _setup(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    name, streams, lengths, parameters, initial, fresh, resets, reverse = inputs
    ctx.name, ctx.reverse = name, reverse
    ctx.counts = [len(streams), len(parameters), len(initial), len(fresh)]
    ctx.shapes = output
    ctx.optional = (lengths is not None, resets is not None)
    kept = [t for t in (lengths, resets) if t is not None]
    ctx.save_for_backward(*streams, *parameters, *initial, *fresh, *kept)


def _backward(ctx, owed):  # type: ignore[no-untyped-def]
    saved = list(ctx.saved_tensors)
    groups: list[list[Tensor]] = []
    for count in ctx.counts:
        groups.append(saved[:count])
        saved = saved[count:]
    lengths = saved.pop(0) if ctx.optional[0] else None
    resets = saved.pop(0) if ctx.optional[1] else None
    streams, parameters, initial, fresh = groups
    found = recurrence_backward(
        ctx.name, streams, lengths, parameters, initial, fresh, resets, ctx.reverse, list(owed)
    )
    parts: list[list[Tensor]] = []
    for count in ctx.counts:
        parts.append(found[:count])
        found = found[count:]
    return None, parts[0], None, parts[1], parts[2], parts[3], None, None


recurrence.register_autograd(_backward, setup_context=_setup)
