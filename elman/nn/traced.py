"""The stack under torch.compile and torch.export: padded tensors, one operator a layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from elman.compiler import transform
from elman.kernels.memo import memo
from elman.kernels.operator import recurrence, register
from elman.nn.dropout import keep_mask
from elman.nn.streams import named_streams, to_units
from elman.nn.traced_batch import TracedBatch

if TYPE_CHECKING:
    from elman.nn.stack import Stack


@dataclass(frozen=True)
class Registered:
    """What the operator calls the steps of a stack's layers, in evaluation and in training.

    Attributes:
        names: one name a layer.
        masks: the streams that dropout and zoneout add to the cell's own.
        zeros, drops, drops_weights: whether all states begin at 0, and whether there is dropout
            between layers and on weights. A tracer takes a truth for what it is, a number for a
            variable of its graph.
    """

    names: Mapping[bool, Sequence[str]]
    masks: Mapping[bool, Sequence[str]]
    zeros: bool
    drops: bool
    drops_weights: bool

    @classmethod
    def of(cls, stack: Stack) -> Registered:
        """Registers the steps of a stack."""
        names: dict[bool, list[str]] = {}
        masks: dict[bool, list[str]] = {}
        for training in (False, True):
            step = stack.base_step
            if training and stack.options.recurrent_dropout:
                step = memo(transform.with_recurrent_dropout, step)
            if stack.zoneout_rates:
                step = memo(transform.with_zoneout, step)
            backend = stack.options.backend
            names[training] = [register(step, sizes, backend) for sizes in stack.layer_sizes]
            masks[training] = [e.name for e in step.inputs[len(stack.base_step.inputs) :]]
        zeros = all(state.initial == 0 for state in stack.base_step.states)
        options = stack.options
        return cls(names, masks, zeros, options.dropout > 0, options.weight_drop > 0)


def run_traced(
    stack: Stack,
    x: Tensor,
    state: Any,
    lengths: Any,
    mask: Tensor | None,
    resets: Tensor | None,
    streams: Mapping[str, Tensor] | None,
) -> tuple[Tensor, Any]:
    """What `Stack.forward` gives for plain tensors, from operators that a tracer sees.

    Raises:
        ShapeError: a packed or a nested batch, lengths that are no tensor, lengths and a mask, or
            a shape that the layer cannot read.
    """
    batch = TracedBatch(
        x, stack.input_size, batch_first=stack.batch_first, lengths=lengths, mask=mask
    )
    marks = None if resets is None else batch.pack(resets, "resets", features=False).bool()
    extra = {
        name: batch.pack(value, f'the stream "{name}"')
        for name, value in named_streams(stack.base_step, streams).items()
    }
    traced = _Traced(stack, batch.lengths, marks, extra)
    data = batch.data.to(stack.example().dtype)
    y, finals = traced.run(data, state, batch.unbatched)
    given = [torch.stack(column) for column in zip(*finals, strict=True)]
    given = [value[:, 0] for value in given] if batch.unbatched else given
    return batch.restore(y), given[0] if len(given) == 1 else tuple(given)


class _Traced:
    def __init__(
        self,
        stack: Stack,
        lengths: Tensor | None,
        resets: Tensor | None,
        streams: Mapping[str, Tensor],
    ) -> None:
        self.stack, self.lengths, self.resets, self.streams = stack, lengths, resets, streams

    def run(self, data: Tensor, state: Any, alone: bool) -> tuple[Tensor, list[list[Tensor]]]:
        stack, options = self.stack, self.stack.options
        values = None
        if state is not None:
            values = [state] if isinstance(state, Tensor) else list(state)
            values = [value[:, None] for value in values] if alone else values
        finals: list[list[Tensor]] = []
        outputs: list[Tensor] = []
        for layer in range(stack.depth):
            if layer and stack.training and stack.registered.drops:
                data = self._drop(data)
            before = data
            if stack.norms is not None:
                data = stack.norms[layer](data)
            parts: list[Tensor] = []
            for direction in range(stack.directions):
                place = layer * stack.directions + direction
                initial = None if values is None else [value[place] for value in values]
                found = self._one(layer, direction, data, initial)
                parts.append(found[0])
                finals.append(found[1:])
            data = parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)
            if options.residual and data.shape[-1] == before.shape[-1]:
                data = data + before
            outputs.append(data)
        if options.outputs == "sum" and len(outputs) > 1:
            data = torch.stack(outputs).sum(dim=0)
        return data, finals

    def _drop(self, data: Tensor) -> Tensor:
        p = self.stack.options.dropout
        if self.stack.options.dropout_kind == "step":
            return functional.dropout(data, p)
        return data * keep_mask(data, (1, *data.shape[1:]), p)

    def _one(
        self, layer: int, direction: int, data: Tensor, initial: list[Tensor] | None
    ) -> list[Tensor]:
        stack = self.stack
        time, batch = data.shape[:2]
        fresh = list(stack.default_initial(layer, direction, batch))
        parameters = stack.dropped(layer, direction)
        return recurrence(
            stack.registered.names[stack.training][layer],
            [data, *self._streams(), *self._masks(data, time, batch)],
            self.lengths,
            [parameters[p.name] for p in stack.base_step.parameters],
            fresh if initial is None else initial,
            fresh if self.resets is not None else [],
            self.resets,
            direction == 1,
        )

    def _streams(self) -> list[Tensor]:
        step, sizes = self.stack.base_step, self.stack.layer_sizes[0]
        dtype = self.stack.example().dtype
        return [
            to_units(value.to(dtype), step, name, sizes) for name, value in self.streams.items()
        ]

    def _masks(self, like: Tensor, time: int, batch: int) -> list[Tensor]:
        """The masks of recurrent dropout and zoneout, in the order of the step's inputs."""
        stack = self.stack
        names = [state.name for state in stack.base_step.states]
        sizes = dict(zip(names, stack.state_sizes, strict=True))
        found: list[Tensor] = []
        for name in stack.registered.masks[stack.training]:
            kind, state = name.split(".", 1)
            shape = (time, batch, sizes[state])
            if kind == "drop":
                rate = stack.options.recurrent_dropout
                found.append(keep_mask(like, (1, batch, sizes[state]), rate).expand(shape))
            elif stack.training:
                found.append(like.new_empty(shape).bernoulli_(stack.zoneout_rates[state]))
            else:
                found.append(like.new_full(shape, stack.zoneout_rates[state]))
        return found
