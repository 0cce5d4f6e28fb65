"""`Recurrent`: any cell as a layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from elman.cells import Cell
from elman.compiler.ir import Step, dimensions
from elman.errors import ConfigError
from elman.nn.initialisers import Init, initialise
from elman.nn.options import Options
from elman.nn.stack import Stack, State

__all__ = ["Recurrent", "State"]

DIRECTIONS = ("forwards", "backwards")


def attribute_name(parameter: str) -> str:
    """The name of a cell's parameter in a module: `W.i` -> `W_i`, `R.h[3]` -> `R_h_3`."""
    return parameter.replace(".", "_").replace("[", "_").replace("]", "")


def block_diagonal(blocks: Tensor) -> Tensor:
    """`(k, r, c)` -> the block-diagonal matrix `(k r, k c)`."""
    count, rows, columns = blocks.shape
    wide = blocks.new_zeros(count, count, rows, columns)
    place = torch.arange(count, device=blocks.device)
    wide = wide.index_put((place, place), blocks)
    return wide.transpose(1, 2).reshape(count * rows, count * columns)


class CellParameters(nn.Module):
    """The parameters of one layer and direction: `W.i` is the parameter `W_i`.

    Block-diagonal matrices are stored as their blocks, `(heads, rows / heads, columns / heads)`;
    the learned initial value of the state h is `initial_h`, `(S,)`.
    """

    def __init__(
        self,
        step: Step,
        sizes: Mapping[str, int],
        *,
        heads: int = 1,
        learn_initial: bool = False,
        factory: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.heads = heads
        self._names: dict[str, str] = {}
        self._initials: dict[str, str] = {}
        for parameter in step.parameters:
            shape = self._stored(parameter.name, dimensions(parameter.var.shape, sizes))
            attribute = attribute_name(parameter.name)
            if attribute in self._names.values():
                raise ConfigError(f"two parameters of {step.name} are called {attribute}.")
            self._names[parameter.name] = attribute
            value = torch.empty(shape, **(factory or {}))
            self.register_parameter(attribute, nn.Parameter(value))
        for state in step.states if learn_initial else ():
            if math.isfinite(state.initial):
                shape = dimensions(state.var.shape, sizes)
                value = torch.full(shape, state.initial, **(factory or {}))
                self._initials[state.name] = f"initial_{state.name}"
                self.register_parameter(f"initial_{state.name}", nn.Parameter(value))

    def _stored(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        if not self._is_blocked(name, len(shape)):
            return shape
        if shape[0] % self.heads or shape[1] % self.heads:
            raise ConfigError(
                f"{name} is {shape[0]} x {shape[1]}, which {self.heads} heads do not divide.",
                where="heads",
            )
        return (self.heads, shape[0] // self.heads, shape[1] // self.heads)

    def _is_blocked(self, name: str, dimensions: int) -> bool:
        return self.heads > 1 and name.startswith("R.") and dimensions > 1

    def stored(self) -> dict[str, Tensor]:
        """The parameters by the cell's names, as they are stored."""
        return {name: getattr(self, attribute) for name, attribute in self._names.items()}

    def by_name(self) -> dict[str, Tensor]:
        """The parameters by the cell's names, as the equations use them."""
        values = self.stored()
        if self.heads > 1:
            for name, value in values.items():
                if self._is_blocked(name, value.dim()):
                    values[name] = block_diagonal(value)
        return values

    def initials(self) -> dict[str, Tensor]:
        """The learned initial states by state name."""
        return {name: getattr(self, attribute) for name, attribute in self._initials.items()}

    def extra_repr(self) -> str:
        """The parameters and their shapes."""
        return ", ".join(f"{k} {tuple(v.shape)}" for k, v in self.stored().items())


class Recurrent(Stack):
    """A layer, or a stack of layers, of any cell.

    Args:
        cell: the recurrence, from `elman.cells` or your own.
        input_size: features of the input.
        hidden_size: the hidden size H of each layer and direction.
        depth: layers; each reads the output of the one below.
        bidirectional: a second recurrence runs backwards over each row's real steps; the outputs
            are concatenated.
        batch_first: padded tensors are `(B, T, F)`.
        heads: every `R` is block-diagonal with this many blocks.
        dropout: on the output of each layer but the last.
        dropout_kind: "shared": one mask for all steps of a row (Gal & Ghahramani 2016); "step":
            one for each step, as torch does.
        recurrent_dropout: on every state where a matrix multiplies it, one mask for all steps.
        weight_drop: on the entries of every `R`, one mask a call (Merity et al. 2018).
        zoneout: the probability that a unit keeps its old state in a step, its mean in evaluation
            (Krueger et al. 2017); one number, or one for each state: `{"h": 0.05, "c": 0.5}`.
        layer_norm: "inside": the product of every `W` and `R` is normalised and scaled by a gain
            `g.<name>` (Ba et al. 2016); "around": a LayerNorm on the input of every layer; "both".
        residual: adds each layer's input to its output wherever the sizes agree.
        outputs: "last": the last layer's; "sum": the sum of all layers'.
        learn_initial: the initial states are parameters (those that start at infinity stay).
        init: a preset ("orthogonal", "glorot", "uniform", "forget_bias", "chrono:T", joined by
            "+") or a mapping of globs over parameter names; see `elman.nn.initialisers`.
        hyperparameters: of the cell.
        backend: "cpu", "builtin" or "reference"; None: the fastest that can. `plan` says which.
        device, dtype: of the parameters.

    `y, state = rnn(x, state, lengths=n)`; the names of the parameters are
    `layers.<layer>.<forwards|backwards>.<W_i, R_i, b_i ...>`.

    Raises:
        CellError: sizes that the cell cannot have.
        ConfigError: an option that does not exist or has an impossible value.
    """

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_size: int,
        *,
        depth: int = 1,
        bidirectional: bool = False,
        batch_first: bool = False,
        heads: int = 1,
        dropout: float = 0.0,
        dropout_kind: str = "shared",
        recurrent_dropout: float = 0.0,
        weight_drop: float = 0.0,
        zoneout: float | Mapping[str, float] = 0.0,
        layer_norm: str | None = None,
        residual: bool = False,
        outputs: str = "last",
        learn_initial: bool = False,
        init: Init = None,
        hyperparameters: Mapping[str, Any] | None = None,
        backend: str | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        options = Options(
            dropout=dropout,
            dropout_kind=dropout_kind,
            recurrent_dropout=recurrent_dropout,
            weight_drop=weight_drop,
            zoneout=zoneout,
            layer_norm=layer_norm,
            residual=residual,
            outputs=outputs,
            learn_initial=learn_initial,
            backend=backend,
        )
        super().__init__(
            cell.step(**dict(hyperparameters or {})),
            input_size,
            hidden_size,
            depth=depth,
            bidirectional=bidirectional,
            batch_first=batch_first,
            options=options,
            factory={"device": device, "dtype": dtype},
        )
        if isinstance(heads, bool) or not isinstance(heads, int) or heads < 1:
            raise ConfigError(f"got {heads!r}, wanted 1 or more.", where="heads")
        self.cell, self.heads, self.init = cell, heads, init
        self.layers = nn.ModuleList(self._make_layer(sizes) for sizes in self._sizes)
        self.reset_parameters()

    def _make_layer(self, sizes: Mapping[str, int]) -> nn.ModuleDict:
        return nn.ModuleDict(
            {
                name: CellParameters(
                    self.base_step,
                    sizes,
                    heads=self.heads,
                    learn_initial=self.options.learn_initial,
                    factory=self._factory,
                )
                for name in DIRECTIONS[: self.directions]
            }
        )

    def _part(self, layer: int, direction: int) -> CellParameters:
        # Module containers are typed as plain modules.
        return self.layers[layer][DIRECTIONS[direction]]  # pyright: ignore

    def cell_parameters(self, layer: int, direction: int) -> Mapping[str, Tensor]:
        """The parameters of a layer and direction by the cell's names."""
        return self._part(layer, direction).by_name()

    def learned_initial(self, layer: int, direction: int) -> Mapping[str, Tensor]:
        """The learned initial states by state name."""
        return self._part(layer, direction).initials()

    def reset_parameters(self) -> None:
        """Draws the parameters anew; learned initial states begin at the cell's initial value."""
        values = {state.name: state.initial for state in self.base_step.states}
        for layer, direction in self._places():
            part = self._part(layer, direction)
            initialise(
                part.stored(),
                self.init,
                hidden_size=self.hidden_size,
                cell=self.cell.initialisers,
            )
            with torch.no_grad():
                for name, value in part.initials().items():
                    value.fill_(values[name])

    def extra_repr(self) -> str:
        """The cell, the sizes, and the options that differ from the defaults."""
        parts = [self.cell.name, str(self.input_size), str(self.hidden_size)]
        parts += [f"depth={self.depth}"] if self.depth > 1 else []
        parts += [f"{n}=True" for n in ("bidirectional", "batch_first") if getattr(self, n)]
        parts += [f"heads={self.heads}"] if self.heads > 1 else []
        return ", ".join(parts + self.options.changes(Options(dropout_kind="shared")))
