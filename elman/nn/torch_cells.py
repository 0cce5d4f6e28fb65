"""`RNNCell`, `LSTMCell` and `GRUCell`: torch.nn's single steps, with its state_dict."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from elman import cells
from elman.compiler.ir import Step
from elman.errors import ShapeError
from elman.kernels import launch
from elman.kernels.builtin import found, one_step
from elman.kernels.carry import States
from elman.kernels.fused import FusedParameters, Weights
from elman.kernels.layout import Layout
from elman.nn.options import check_like, check_size
from elman.nn.stream import Stream
from elman.nn.torch_layers import GRU, LSTM, RNN, check_nonlinearity, gru_cell


class TorchCell(nn.Module):
    """What the three share: torch's storage, `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh`."""

    gates: str
    apart: str = ""
    bias_ih: nn.Parameter | None
    bias_hh: nn.Parameter | None

    def __init__(
        self,
        step: Step,
        input_size: int,
        hidden_size: int,
        bias: bool,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        check_size("input_size", input_size)
        check_size("hidden_size", hidden_size)
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        self._step = step
        self._sizes = step.resolve(input_size=input_size, hidden_size=hidden_size)
        rows = len(self.gates) * hidden_size
        factory: Mapping[str, Any] = {"device": device, "dtype": dtype}
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size, **factory))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size, **factory))
        for name in ("bias_ih", "bias_hh"):
            value = nn.Parameter(torch.empty(rows, **factory)) if bias else None
            self.register_parameter(name, value)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """torch's rule: U(-1/sqrt(H), 1/sqrt(H))."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def _run(self, x: Tensor, states: States | None) -> States:
        if x.dim() not in (1, 2) or x.shape[-1] != self.input_size:
            raise ShapeError(
                f"got an input of shape {tuple(x.shape)}, wanted (batch, {self.input_size}) or "
                f"({self.input_size},)."
            )
        check_like("the input", x, self.weight_ih)
        unbatched = x.dim() == 1
        data = x[None] if unbatched else x
        batch = data.shape[0]
        if states is None:
            zeros = self.weight_ih.new_zeros(batch, self.hidden_size)
            states = tuple(zeros for _ in self._step.states)
        else:
            states = self._check(states, unbatched, batch)
        weights = Weights(self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        match = found(self._step)
        if match is not None:
            _, new = one_step(match.pattern.kind, data, states, weights)
        else:
            _, new = launch.run(
                self._step,
                self._sizes,
                FusedParameters(weights, self.gates, apart=self.apart),
                {"x": data},
                states,
                Layout.uniform(1, batch, data.device),
            )
        return tuple(state[0] for state in new) if unbatched else new

    def _check(self, states: States, unbatched: bool, batch: int) -> States:
        wanted = (self.hidden_size,) if unbatched else (batch, self.hidden_size)
        for state, entry in zip(states, self._step.states, strict=True):
            if tuple(state.shape) != wanted:
                raise ShapeError(
                    f"got the state {entry.name} of shape {tuple(state.shape)}, wanted {wanted}."
                )
            check_like(f"the state {entry.name}", state, self.weight_ih)
        return tuple(state[None] for state in states) if unbatched else states

    def stream(self, batch: int = 1, *, weights: str | None = None) -> Stream:
        """What is fed step by step and keeps its state, as of a layer: for speed without gradients.

        The cell's call stays torch's: state in, state out, weights as they are at that moment.
        """
        layer = self._layer()
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            if getattr(self, name) is not None:
                setattr(layer, f"{name}_l0", getattr(self, name))
        return layer.stream(batch, weights=weights)

    def _layer(self) -> Any:
        """The layer of one such cell, its parameters without numbers."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        """As torch's cells."""
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(TorchCell):
    """torch.nn.RNNCell, with the nonlinearities of `RNN`: `h = cell(x, h)`."""

    gates = "h"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        step = cells.Elman.step(activation=check_nonlinearity(nonlinearity))
        super().__init__(step, input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """`(B, F)` and `(B, H)` -> `(B, H)`; both without B for one row.

        Raises:
            ShapeError: other shapes, dtypes or devices.
        """
        return self._run(input, None if hx is None else (hx,))[0]

    def extra_repr(self) -> str:
        """As torch's cells."""
        other = "" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}"
        return super().extra_repr() + other

    def _layer(self) -> Any:
        sizes = (self.input_size, self.hidden_size)
        return RNN(*sizes, nonlinearity=self.nonlinearity, bias=self.bias, device="meta")


class LSTMCell(TorchCell):
    """torch.nn.LSTMCell: `h, c = cell(x, (h, c))`."""

    gates = "ifgo"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(cells.LSTM.step(), input_size, hidden_size, bias, device, dtype)

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """`(B, F)` and two `(B, H)` -> two `(B, H)`; all without B for one row.

        Raises:
            ShapeError: other shapes, dtypes or devices.
        """
        if hx is not None and (not isinstance(hx, tuple | list) or len(hx) != 2):
            raise ShapeError("got a state that is no pair, wanted (h, c).")
        h, c = self._run(input, None if hx is None else (hx[0], hx[1]))
        return h, c

    def _layer(self) -> Any:
        return LSTM(self.input_size, self.hidden_size, bias=self.bias, device="meta")


class GRUCell(TorchCell):
    """torch.nn.GRUCell, with the reset gate of `GRU`: `h = cell(x, h)`."""

    gates = "rzn"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        reset: str = "after",
    ) -> None:
        self.apart = "n" if reset == "after" else ""
        step = gru_cell(reset).step()
        super().__init__(step, input_size, hidden_size, bias, device, dtype)
        self.reset = reset

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """`(B, F)` and `(B, H)` -> `(B, H)`; both without B for one row.

        Raises:
            ShapeError: other shapes, dtypes or devices.
        """
        return self._run(input, None if hx is None else (hx,))[0]

    def _layer(self) -> Any:
        sizes = (self.input_size, self.hidden_size)
        return GRU(*sizes, bias=self.bias, reset=self.reset, device="meta")
