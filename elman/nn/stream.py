"""`Stream`: a stack that is fed one step at a time and keeps its states itself."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from elman.compiler.chain import chain
from elman.compiler.ir import Step
from elman.compiler.lower import with_sizes
from elman.errors import ConfigError, ShapeError, did_you_mean
from elman.nn.options import check_like
from elman.nn.streams import named_streams

if TYPE_CHECKING:
    from elman.nn.stack import Stack

FORMATS = {"float32": "full", "float64": "full", "bfloat16": "bfloat16", "int8": "int8"}


class Stream:
    """Steps through a sequence without end: `y = stream.step(x)`, constant memory.

    On the processor a step is one call of machine code for the whole stack, on weights packed when
    the stream was made: training that goes on does not reach it, `reload` does. Elsewhere it is
    `stack.step`. There is no dropout and no gradient.

    Attributes:
        batch: rows that are stepped together.
        weights: "float32", "float64", "bfloat16", or "int8" with one scale a row.
        error: the relative root mean square error that rounding the weights made.
    """

    def __init__(self, stack: Stack, batch: int = 1, weights: str | None = None) -> None:
        if stack.bidirectional:
            raise ConfigError("a bidirectional layer has no stream: it needs what is to come.")
        if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
            raise ConfigError(f"got {batch!r}, wanted 1 or more.", where="batch")
        like = stack.example()
        own = str(like.dtype).removeprefix("torch.")
        self.batch, self.weights, self.error = batch, weights or own, 0.0
        self._stack, self._made_of = stack, _named(like)
        if self.weights not in FORMATS and weights is not None:
            hint = did_you_mean(weights, FORMATS)
            raise ConfigError(f'there is no format "{weights}".', where="weights", hint=hint)
        self._compiled = like.device.type == "cpu" and own in ("float32", "float64")
        # Machine code is called with one input; a cell that reads more goes through `stack.step`.
        self._compiled = self._compiled and len(stack.base_step.inputs) == 1
        if self.weights != own and (not self._compiled or own != "float32"):
            raise ConfigError(
                f"weights of {own} on {like.device.type} cannot be kept as {self.weights}.",
                where="weights",
            )
        self._stepper: Any = None
        self._own: Tensor | None = None
        self._state: Any = None
        self.reload()
        self.reset()

    def reload(self) -> None:
        """Takes the stack's weights as they are now; the states stay."""
        if not self._compiled:
            return
        now = _named(self._stack.example())
        if now != self._made_of:
            raise ConfigError(
                f"the layer is now {now}, and the stream was made of {self._made_of}.",
                where="reload",
                hint="Make a new one with layer.stream().",
            )
        # llvmlite is loaded when the first stream is made, not when elman.nn is imported.
        from elman.kernels.cpu.stepper import Stepper

        before = None if self._stepper is None else [s.clone() for s in self._stepper.states]
        step, parameters, streams = whole_step(self._stack, self.batch)
        storage: Any = FORMATS[self.weights]
        self._stepper = Stepper(step, parameters, self.batch, streams=streams, storage=storage)
        self.error = self._stepper.error
        # A value of its own: the layer's tensors change when the layer is converted.
        self._own = self._stack.example().detach().new_empty(0)
        if before is not None:
            self._stepper.put(before)

    @property
    def _like(self) -> Tensor:
        """A tensor of the stream's dtype and device."""
        return self._stack.example() if self._own is None else self._own

    def step(self, x: Tensor, *, streams: Mapping[str, Tensor] | None = None) -> Tensor:
        """One step: `(B, F)`, or `(F,)` for one row -> the output `(B, O)` or `(O,)`.

        Args:
            x: the input.
            streams: the cell's further inputs by name, each `(B, size)`.

        Raises:
            ShapeError: another shape, dtype or device.
        """
        size = self._stack.input_size
        alone = self.batch == 1 and x.shape == (size,)
        if not alone and x.shape != (self.batch, size):
            got = tuple(x.shape)
            raise ShapeError(f"got a step of shape {got}, wanted ({self.batch}, {size}).")
        check_like("the input", x, self._like)
        if streams:
            named_streams(self._stack.base_step, streams)
        data = x[None] if alone else x
        if self._stepper is None:
            with torch.no_grad():
                y, self._state = self._quiet(data, streams)
        else:
            y = self._stepper(data if data.stride(-1) == 1 else data.contiguous())
        return y[0] if alone else y

    def _quiet(self, x: Tensor, streams: Any) -> tuple[Tensor, Any]:
        training = self._stack.training
        self._stack.eval()
        try:
            return self._stack.step(x, self._state, streams=streams)
        finally:
            self._stack.train(training)

    @property
    def state(self) -> Any:
        """The state before the next step, in the form of the stack's calls: a copy."""
        if self._stepper is None:
            return _mapped(self._state, Tensor.clone)
        count = len(self._stack.base_step.states)
        found = self._stepper.states
        values = tuple(torch.stack(found[k::count]) for k in range(count))
        return values[0] if count == 1 else values

    @state.setter
    def state(self, value: Any) -> None:
        """Goes on from here; ShapeError when the shapes, dtype or device are others."""
        values = (value,) if isinstance(value, Tensor) else tuple(value)
        sizes = self._stack.state_sizes
        wanted = [(self._stack.depth, self.batch, size) for size in sizes]
        got = [tuple(v.shape) for v in values]
        if got != wanted:
            raise ShapeError(f"got a state of shapes {got}, wanted {wanted}.")
        for v in values:
            check_like("the state", v, self._like)
        if self._stepper is None:
            self._state = _mapped(value, Tensor.clone)
            return
        self._stepper.put([v[layer].detach() for layer in range(self._stack.depth) for v in values])

    def reset(self, rows: Tensor | None = None) -> None:
        """Puts the initial state in place, of all rows or of those that a `(B,)` mask marks.

        Raises:
            ShapeError: the mask has another shape.
        """
        if rows is not None and (not isinstance(rows, Tensor) or rows.shape != (self.batch,)):
            got = tuple(rows.shape) if isinstance(rows, Tensor) else rows
            raise ShapeError(f"got the rows {got}, wanted a tensor of shape ({self.batch},).")
        with torch.no_grad():
            like = self._like
            fresh = _mapped(self._stack.initial_state(self.batch), lambda value: value.to(like))
            if rows is not None:
                rows = rows.bool()
                pairs = zip(_each(self.state), _each(fresh), strict=True)
                mixed = tuple(torch.where(rows[:, None], new, old) for old, new in pairs)
                fresh = mixed[0] if len(mixed) == 1 else mixed
            self.state = fresh

    def copy(self) -> Stream:
        """A second stream that goes on from the same state, with the same packed weights."""
        other = copy(self)
        if self._stepper is None:
            other._state = _mapped(self._state, Tensor.clone)
        else:
            other._stepper = self._stepper.copy()
        return other


def _named(like: Tensor) -> str:
    return f"{str(like.dtype).removeprefix('torch.')} on {like.device}"


def _each(state: Any) -> tuple[Tensor, ...]:
    return (state,) if isinstance(state, Tensor) else tuple(state)


def _mapped(state: Any, function: Any) -> Any:
    made = tuple(function(value.detach()) for value in _each(state))
    return made[0] if isinstance(state, Tensor) else made


def whole_step(stack: Stack, batch: int) -> tuple[Step, dict[str, Tensor], dict[str, Tensor]]:
    """A stack in evaluation as one step, with its parameters and its constant streams `(B, S)`."""
    step, rates = stack.evaluated()
    like = stack.example().detach()
    steps = [with_sizes(step, sizes) for sizes in stack.layer_sizes]
    parameters: dict[str, Tensor] = {}
    streams: dict[str, Tensor] = {}
    for layer in range(stack.depth):
        own: Mapping[str, Tensor] = stack.cell_parameters(layer, 0)
        parameters.update({f"{layer}.{name}": own[name] for name in own})
        if stack.norms is not None:
            norm: Any = stack.norms[layer]
            parameters |= {f"{layer}.norm.gain": norm.weight, f"{layer}.norm.bias": norm.bias}
        for name, (size, rate) in rates.items():
            streams[f"{layer}.{name}"] = like.new_full((batch, size), rate)
    options = stack.options
    whole = chain(
        steps,
        residual=options.residual,
        summed=options.outputs == "sum" and stack.depth > 1,
        normed=stack.norms is not None,
    )
    return whole, parameters, streams
