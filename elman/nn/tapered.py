"""Layers of one size with a last one of another, whose output is as long as a token's vector."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from elman.cells import Cell
from elman.errors import ConfigError
from elman.nn.dropout import SharedDropout
from elman.nn.recurrent import Recurrent
from elman.nn.sequences import Lengths
from elman.nn.stream import Stream

State = Any


class Tapered(nn.Module):
    """A stack whose last layer has a size of its own, as the AWD-LSTM has (Merity et al. 2018).

    What a language model with one matrix for embedding and softmax reads out must have the size
    of its vectors. A linear map would do that too, but nothing bounds what it gives: plain
    gradient descent at the rates of Merity et al. does not converge with one.

    Args:
        cell: the recurrence of every layer.
        input_size: features of the input.
        hidden_size: the hidden size of the layers below the last one.
        last_size: the hidden size of the last layer.
        depth: layers, the last one included.
        dropout: between layers, one mask for all steps of a row.
        options: as `Recurrent`.

    `y, state = stack(x, state)`: `x` is `(time, batch, input_size)`, `y` is `(time, batch,
    last_size)`; the state is that of the layers below and that of the last one.

    Raises:
        ConfigError: fewer than two layers. Otherwise as `Recurrent`.
    """

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_size: int,
        last_size: int,
        *,
        depth: int,
        dropout: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__()
        if depth < 2:
            raise ConfigError(f"got {depth}, wanted 2 or more.", where="depth")
        self.below = Recurrent(
            cell, input_size, hidden_size, depth=depth - 1, dropout=dropout, **options
        )
        self.drop = SharedDropout(dropout)
        self.last = Recurrent(cell, self.below.output_size, last_size, **options)
        self.output_size = self.last.output_size

    def forward(
        self,
        x: Tensor,
        state: State = None,
        *,
        lengths: Lengths | None = None,
        resets: Any = None,
    ) -> tuple[Tensor, State]:
        """Runs the layers over a batch; `lengths` and `resets` as `Recurrent`."""
        low, high = (None, None) if state is None else state
        y, low = self.below(x, low, lengths=lengths, resets=resets)
        y, high = self.last(self.drop(y), high, lengths=lengths, resets=resets)
        return y, (low, high)

    def stream(self, batch: int = 1, *, weights: str | None = None) -> TaperedStream:
        """What is fed step by step and keeps its states, as `Recurrent.stream`."""
        return TaperedStream(self, batch, weights)


class TaperedStream:
    """Steps through a sequence without end, as `Stream`."""

    def __init__(self, stack: Tapered, batch: int, weights: str | None) -> None:
        self._low = Stream(stack.below, batch, weights)
        self._high = Stream(stack.last, batch, weights)

    def step(self, x: Tensor) -> Tensor:
        """One step: `(B, F)`, or `(F,)` for one row -> the output `(B, O)` or `(O,)`."""
        return self._high.step(self._low.step(x))

    @property
    def state(self) -> State:
        """The state before the next step, in the form of the stack's calls: a copy."""
        return self._low.state, self._high.state

    @state.setter
    def state(self, value: State) -> None:
        """Goes on from here."""
        self._low.state, self._high.state = value
