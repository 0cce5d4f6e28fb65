"""The stack: layers and directions of a recurrence over a batch in any accepted form.

What `Recurrent` and the torch-compatible layers share. They differ in how their parameters are
stored; how a batch is read, dropped out, run, summed and given back is here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from elman.compiler import transform
from elman.compiler.ir import Step, dimensions
from elman.errors import ConfigError, ShapeError
from elman.kernels import launch
from elman.kernels.carry import States
from elman.kernels.layout import Layout
from elman.kernels.memo import memo
from elman.nn.dropout import drop_packed, shared_mask
from elman.nn.options import Options, check_like, check_size
from elman.nn.plans import StackPlan, stack_plan
from elman.nn.sequences import Lengths, OpenBatch, open_batch, read_lengths
from elman.nn.states import State, give_state, read_state
from elman.nn.stream import Stream
from elman.nn.streams import named_streams, to_units
from elman.nn.traced import Registered, run_traced


@dataclass(frozen=True)
class _Held:
    """Holds a step so that copies of a layer share it: steps never change."""

    step: Step

    def __deepcopy__(self, memory: Any) -> _Held:
        return self


class Stack(nn.Module):
    """Layers of one step, in one or two directions. Use `Recurrent`, `LSTM`, `GRU` or `RNN`.

    A subclass stores the parameters and gives them by the cell's names: `cell_parameters`.
    """

    def __init__(
        self,
        step: Step,
        input_size: int,
        hidden_size: int,
        *,
        depth: int,
        bidirectional: bool,
        batch_first: bool,
        options: Options,
        factory: Mapping[str, Any],
    ) -> None:
        super().__init__()
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            check_size(name, size)
        check_size("depth", depth)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.depth, self.bidirectional, self.batch_first = depth, bidirectional, batch_first
        self.options = options
        self._held = _Held(transform.with_layer_norm(step) if options.norm_inside else step)
        self.zoneout_rates = options.zoneout_rates(step)
        self._factory = dict(factory)
        if self.zoneout_rates:
            memo(transform.with_zoneout, self.base_step)  # refuses states it cannot mix
        self._sizes = self._layer_sizes()
        self.norms = (
            nn.ModuleList(nn.LayerNorm(sizes["input"], **factory) for sizes in self._sizes)
            if options.norm_around
            else None
        )
        self._check_stacking()
        self.registered = Registered.of(self)

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self.registered = Registered.of(self)  # perhaps in another process

    def _layer_sizes(self) -> list[dict[str, int]]:
        sizes: list[dict[str, int]] = []
        size = self.input_size
        for _ in range(self.depth):
            resolved = self.base_step.resolve(input_size=size, hidden_size=self.hidden_size)
            sizes.append(resolved)
            shape = dimensions(self.base_step.output.shape, resolved)
            self.output_size = (shape[0] if shape else 1) * self.directions
            size = self.output_size
        return sizes

    def _check_stacking(self) -> None:
        if self.options.residual and self.depth == 1 and self.input_size != self.output_size:
            raise ConfigError(
                f"a residual path from {self.input_size} features to {self.output_size} cannot "
                "be, and there is no other layer.",
                where="residual",
            )

    @property
    def base_step(self) -> Step:
        """The equations, without what only training adds."""
        return self._held.step

    @property
    def directions(self) -> int:
        """1 or 2."""
        return 2 if self.bidirectional else 1

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """The size S of each state."""
        sizes = self._sizes[0]
        return tuple(dimensions(s.var.shape, sizes)[0] for s in self.base_step.states)

    # -- what subclasses give

    def cell_parameters(self, layer: int, direction: int) -> Mapping[str, Tensor]:
        """The parameters of a layer and direction by the cell's names."""
        raise NotImplementedError

    def learned_initial(self, layer: int, direction: int) -> Mapping[str, Tensor]:  # noqa: ARG002 - subclasses use them
        """The learned initial states `(S,)` by state name; empty when they are not learned."""
        return {}

    def example(self) -> Tensor:
        """A parameter, for its dtype and device."""
        return next(self.parameters())

    # -- states

    def default_initial(self, layer: int, direction: int, batch: int) -> States:
        """The state before the first step, one `(B, S)` a state of the cell."""
        like = self.example()
        learned = self.learned_initial(layer, direction)
        values: list[Tensor] = []
        if self.registered.zeros and not learned:
            return tuple(like.new_zeros(batch, size) for size in self.state_sizes)
        for state, size in zip(self.base_step.states, self.state_sizes, strict=True):
            if state.name in learned:
                values.append(learned[state.name].expand(batch, size))
            else:
                values.append(like.new_full((batch, size), state.initial))
        return tuple(values)

    def initial_state(self, batch_size: int | None = None) -> State:
        """The state that a call without one starts from.

        A tensor `(depth * directions, B, S)`, or a tuple with one for each state of the cell;
        without `batch_size` as for one sequence: `(depth * directions, S)`.
        """
        finals = [
            self.default_initial(layer, direction, 1 if batch_size is None else batch_size)
            for layer, direction in self._places()
        ]
        return give_state(finals, None, batch_size is None)

    def _places(self) -> Iterator[tuple[int, int]]:
        for layer in range(self.depth):
            for direction in range(self.directions):
                yield layer, direction

    def _read_state(self, state: State, batch: OpenBatch) -> list[States]:
        names = [s.name for s in self.base_step.states]
        sizes = dict(zip(names, self.state_sizes, strict=True))
        return read_state(state, sizes, self.depth * self.directions, self.example(), batch)

    # -- the call

    def forward(
        self,
        x: Any,
        state: State = None,
        *,
        lengths: Lengths | None = None,
        mask: Tensor | None = None,
        resets: Any = None,
        streams: Mapping[str, Any] | None = None,
    ) -> tuple[Any, State]:
        """Runs the stack over a batch.

        Args:
            x: `(T, B, F)`, or `(B, T, F)` with `batch_first`, or one sequence `(T, F)`, or a
                PackedSequence, or a jagged nested tensor `(B, j, F)`.
            state: what `initial_state` gives, or the state of an earlier call; None: the initial.
            lengths: `(B,)` integers on any device, unsorted, zeros allowed. A row of length 0
                passes its state through.
            mask: True where a step is real, `(T, B)` (`(B, T)` with `batch_first`).
            resets: True where a row starts anew, in the form of x without features: before that
                step the state is the initial one, and the backward direction is cut there too.
                Marks on missing steps are not read.
            streams: the cell's further inputs by name, in the form of x; one of size 1, or without
                features, serves all units.

        Returns:
            The last layer's output (or the sum of all layers') in the form of x, zero in the
            padding, and the state after each row's last real step.

        Raises:
            ShapeError: a shape, dtype, device or length that cannot be used.
        """
        if torch.compiler.is_compiling():
            return run_traced(self, x, state, lengths, mask, resets, streams)
        batch = open_batch(
            x,
            features=self.input_size,
            batch_first=self.batch_first,
            lengths=lengths,
            mask=mask,
        )
        check_like("the input", batch.data, self.example())
        data, finals = self._run(batch, state, resets, streams)
        return batch.restore(data), give_state(finals, batch.layout, batch.unbatched)

    def step(
        self, x: Tensor, state: State = None, *, streams: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, State]:
        """One step: `(B, F)` or `(F,)` and a state -> the output `(B, O)` and the next state.

        Stepping through a sequence gives what one call gives (in training, masks that are shared
        over time are drawn anew in each step).

        Raises:
            ShapeError: wrong shapes, or a stack that also runs backwards in time.
        """
        if self.bidirectional:
            raise ShapeError("a bidirectional layer has no single step: it needs what is to come.")
        if x.dim() not in (1, 2) or x.shape[-1] != self.input_size:
            raise ShapeError(
                f"got a step of shape {tuple(x.shape)}, wanted (batch, {self.input_size})."
            )
        check_like("the input", x, self.example())
        unbatched = x.dim() == 1
        data = x[None] if unbatched else x
        layout = Layout.uniform(1, data.shape[0], data.device)
        batch = OpenBatch(data, layout, unbatched, (1, data.shape[0]), False, None)
        timed = {name: value[None] for name, value in (streams or {}).items()}
        y, finals = self._run(batch, state, None, timed)
        return (y[0] if unbatched else y), give_state(finals, None, unbatched)

    def _run(
        self, batch: OpenBatch, state: State, resets: Any, streams: Mapping[str, Any] | None
    ) -> tuple[Tensor, list[States]]:
        layout = batch.layout
        marks = None if resets is None else batch.pack_marks(resets, "resets")
        packed = self._pack_streams(batch, streams)
        given = None if state is None else self._read_state(state, batch)
        data, finals, outputs = batch.data, [], []
        for layer in range(self.depth):
            if layer and self.training:
                data = drop_packed(data, layout, self.options.dropout, self.options.dropout_kind)
            before = data
            if self.norms is not None:
                data = self.norms[layer](data)
            parts: list[Tensor] = []
            for direction in range(self.directions):
                place = layer * self.directions + direction
                initial = None if given is None else given[place]
                y, final = self._run_one(layer, direction, data, layout, packed, initial, marks)
                parts.append(y)
                finals.append(final)
            data = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
            if self.options.residual and data.shape == before.shape:
                data = data + before
            outputs.append(data)
        if self.options.outputs == "sum" and len(outputs) > 1:
            data = torch.stack(outputs).sum(dim=0)
        return data, finals

    def _run_one(
        self,
        layer: int,
        direction: int,
        x: Tensor,
        layout: Layout,
        streams: Mapping[str, Tensor],
        initial: States | None,
        resets: Tensor | None,
    ) -> tuple[Tensor, States]:
        step, masks = self._variant(layout)
        needs_fresh = initial is None or resets is not None
        fresh = self.default_initial(layer, direction, layout.batch) if needs_fresh else None
        begin = fresh if initial is None else initial
        assert begin is not None
        return launch.run(
            step,
            self._sizes[layer],
            self.dropped(layer, direction),
            {step.inputs[0].name: x, **streams, **masks},
            begin,
            layout,
            reverse=direction == 1,
            resets=resets,
            fresh=fresh,
            backend=self.options.backend,
        )

    def _variant(self, layout: Layout) -> tuple[Step, dict[str, Tensor]]:
        """The step with this call's regularisers, and their masks as streams."""
        step, masks = self.base_step, dict[str, Tensor]()
        like = self.example()
        sizes = dict(zip((s.name for s in step.states), self.state_sizes, strict=True))
        rate = self.options.recurrent_dropout
        if rate and self.training:
            step = memo(transform.with_recurrent_dropout, step)
            for entry in step.inputs:
                name = entry.name.removeprefix("drop.")
                if name != entry.name:
                    masks[entry.name] = shared_mask(like, layout, sizes[name], rate)
        if self.zoneout_rates:
            step = memo(transform.with_zoneout, step)
            for name, p in self.zoneout_rates.items():
                if self.training:
                    mask = like.new_empty(layout.total, sizes[name]).bernoulli_(p)
                else:
                    mask = like.new_full((1, 1), p).expand(layout.total, sizes[name])
                masks[f"zone.{name}"] = mask
        return step, masks

    def dropped(self, layer: int, direction: int) -> Mapping[str, Tensor]:
        """The parameters, with entries of the recurrent matrices dropped in training."""
        parameters = self.cell_parameters(layer, direction)
        if not self.registered.drops_weights or not self.training:
            return parameters
        p = self.options.weight_drop
        return self.drop_weights(parameters, lambda value: functional.dropout(value, p))

    def drop_weights(
        self, parameters: Mapping[str, Tensor], drop: Callable[[Tensor], Tensor]
    ) -> Mapping[str, Tensor]:
        """`parameters` with `drop` on every recurrent matrix `R.*`."""
        return {k: drop(v) if k.startswith("R.") else v for k, v in parameters.items()}

    def _pack_streams(
        self, batch: OpenBatch, streams: Mapping[str, Any] | None
    ) -> dict[str, Tensor]:
        packed: dict[str, Tensor] = {}
        for name, given in named_streams(self.base_step, streams).items():
            value = batch.pack(given, f'the stream "{name}"').to(self.example().dtype)
            packed[name] = to_units(value, self.base_step, name, self._sizes[0])
        return packed

    # -- one step at a time, and the plan

    def stream(self, batch: int = 1, *, weights: str | None = None) -> Stream:
        """What is fed step by step and keeps its states: `y = rnn.stream().step(x)`.

        Args:
            batch: rows that are stepped together.
            weights: how they are kept: "float32", "bfloat16", "int8"; None: as they are.
        """
        return Stream(self, batch, weights)

    @property
    def layer_sizes(self) -> Sequence[Mapping[str, int]]:
        """The number behind each symbolic size of the step, layer by layer."""
        return self._sizes

    def evaluated(self) -> tuple[Step, dict[str, tuple[int, float]]]:
        """The step outside of training, and its constant streams: their sizes and values."""
        if not self.zoneout_rates:
            return self.base_step, {}
        step = memo(transform.with_zoneout, self.base_step)
        names = [state.name for state in self.base_step.states]
        sizes = dict(zip(names, self.state_sizes, strict=True))
        return step, {f"zone.{name}": (sizes[name], p) for name, p in self.zoneout_rates.items()}

    def plan(self, batch: int, time: int, lengths: Lengths | None = None) -> StackPlan:
        """Which backend runs each layer for a batch of this size, why, and why others do not.

        Args:
            batch, time: the padded size.
            lengths: real steps of each row; None: all of them.
        """
        counts = [time] * batch if lengths is None else read_lengths(lengths, time, batch)
        step, _ = self._variant(Layout([]))
        return stack_plan(
            step, self._sizes, self.directions, self.example(), Layout(counts), self.options.backend
        )
