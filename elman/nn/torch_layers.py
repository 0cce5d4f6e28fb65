"""`RNN`, `LSTM` and `GRU`: torch.nn's constructors, calls, results and state_dict, and more.

A checkpoint of torch's layers loads into these and back. Beside torch's arguments they take those
of `Recurrent` by keyword, more nonlinearities for the RNN, and for the GRU the place of the reset.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from elman import cells
from elman.cells import Cell
from elman.compiler.ir import dimensions
from elman.errors import ConfigError, did_you_mean
from elman.kernels.fused import FusedParameters, Weights
from elman.nn.initialisers import Init, initialise
from elman.nn.recurrent import attribute_name
from elman.nn.stack import Options, Stack

NONLINEARITIES = ("tanh", "relu", "leaky_relu", "sigmoid", "identity")


class TorchLayer(Stack):
    """What the three share: torch's storage, `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0` ..."""

    gates: str
    apart: str = ""

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        *,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        hyperparameters: Mapping[str, Any],
        init: Init,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
        options: Mapping[str, Any],
    ) -> None:
        _check_options(type(self).__name__, options)
        factory = {"device": device, "dtype": dtype}
        super().__init__(
            cell.step(**dict(hyperparameters)),
            input_size,
            hidden_size,
            depth=num_layers,
            bidirectional=bidirectional,
            batch_first=batch_first,
            options=Options(dropout=dropout, **options),
            factory=factory,
        )
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                "dropout acts between layers, so it does nothing for num_layers=1 "
                f"(got dropout={dropout}).",
                stacklevel=3,
            )
        self.num_layers, self.bias, self.dropout = num_layers, bias, float(dropout)
        self.proj_size = int(hyperparameters.get("proj", 0))
        self.init = init
        self._names = [self._register(*place) for place in self._places()]
        self.reset_parameters()

    def _register(self, layer: int, direction: int) -> dict[str, str]:
        """Makes the parameters of a place; their attributes by role or by the cell's name."""
        suffix = f"_l{layer}" + ("_reverse" if direction else "")
        rows, output = len(self.gates) * self.hidden_size, self.proj_size or self.hidden_size
        shapes = {
            "weight_ih": (rows, self._sizes[layer]["input"]),
            "weight_hh": (rows, output),
        }
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        names = {role: role + suffix for role in shapes}
        stored = {names[role]: shape for role, shape in shapes.items()}
        for parameter in self.base_step.parameters:
            if parameter.name.startswith("g."):
                names[parameter.name] = attribute_name(parameter.name) + suffix
                shape = dimensions(parameter.var.shape, self._sizes[layer])
                stored[names[parameter.name]] = shape
        if self.options.learn_initial:
            for state, size in zip(self.base_step.states, self.state_sizes, strict=True):
                names[f"initial {state.name}"] = f"initial_{state.name}{suffix}"
                stored[f"initial_{state.name}{suffix}"] = (size,)
        for attribute, shape in stored.items():
            value = torch.empty(shape, **self._factory)
            self.register_parameter(attribute, nn.Parameter(value))
        return names

    def _role(self, names: Mapping[str, str], role: str) -> Tensor | None:
        return getattr(self, names[role]) if role in names else None

    def cell_parameters(self, layer: int, direction: int) -> FusedParameters:
        """The parameters of a layer and direction: torch's joined weights, seen as the cell's."""
        names = self._names[layer * self.directions + direction]
        weights = Weights(
            getattr(self, names["weight_ih"]),
            getattr(self, names["weight_hh"]),
            self._role(names, "bias_ih"),
            self._role(names, "bias_hh"),
            self._role(names, "weight_hr"),
        )
        others = {key: getattr(self, name) for key, name in names.items() if key[:2] == "g."}
        return FusedParameters(weights, self.gates, apart=self.apart, others=others)

    def drop_weights(
        self, parameters: Mapping[str, Tensor], drop: Callable[[Tensor], Tensor]
    ) -> Mapping[str, Tensor]:
        """Drops entries of the joined recurrent weight."""
        assert isinstance(parameters, FusedParameters)
        w = parameters.weights
        dropped = Weights(w.ih, drop(w.hh), w.bias_ih, w.bias_hh, w.hr)
        return FusedParameters(
            dropped, self.gates, apart=self.apart, others=parameters.others
        )

    def learned_initial(self, layer: int, direction: int) -> Mapping[str, Tensor]:
        """The learned initial states by state name."""
        names = self._names[layer * self.directions + direction]
        prefix = "initial "
        return {
            key.removeprefix(prefix): getattr(self, name)
            for key, name in names.items()
            if key.startswith(prefix)
        }

    def example(self) -> Tensor:
        """A parameter, for its dtype and device."""
        return getattr(self, self._names[0]["weight_ih"])

    def reset_parameters(self) -> None:
        """torch's rule, U(-1/sqrt(H), 1/sqrt(H)); then what `init` asks for, if anything."""
        bound = 1 / math.sqrt(self.hidden_size)
        with torch.no_grad():
            for names in self._names:
                for key, name in names.items():
                    value: Tensor = getattr(self, name)
                    if key.startswith("initial "):
                        value.zero_()
                    elif key.startswith("g."):
                        value.fill_(1)
                    else:
                        value.uniform_(-bound, bound)
        if self.init is not None:
            for place in self._places():
                self._initialise(*place)

    def _initialise(self, layer: int, direction: int) -> None:
        """Initialises by the cell's names. A bias that torch stores twice is set in the first."""
        weights = self.cell_parameters(layer, direction).weights
        with torch.no_grad():
            if self.bias:
                assert weights.bias_ih is not None and weights.bias_hh is not None
                before = weights.bias_hh.clone()
                weights.bias_hh.zero_()
            # With the second bias at zero the views below are the stored values themselves.
            views = stored_views(self.cell_parameters(layer, direction), bias=self.bias)
            kept = {name: value.clone() for name, value in views.items()}
        initialise(views, self.init, hidden_size=self.hidden_size, defaults=False)
        if self.bias:
            self._restore_second_bias(weights, views, kept, before)

    def _restore_second_bias(
        self,
        weights: Weights,
        views: Mapping[str, Tensor],
        kept: Mapping[str, Tensor],
        before: Tensor,
    ) -> None:
        """Gives the second bias back to the gates whose bias nobody set."""
        assert weights.bias_hh is not None
        parts = zip(
            self.gates,
            weights.bias_hh.chunk(len(self.gates)),
            before.chunk(len(self.gates)),
            strict=True,
        )
        with torch.no_grad():
            for gate, now, old in parts:
                name = f"u.{gate}" if gate in self.apart else f"b.{gate}"
                if torch.equal(views[name], kept[name]):
                    now.copy_(old)

    @property
    def all_weights(self) -> list[list[nn.Parameter]]:
        """torch's parameters, a list a layer and direction."""
        roles = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        return [[getattr(self, n[r]) for r in roles if r in n] for n in self._names]

    def flatten_parameters(self) -> None:
        """Does nothing: the parameters are ordinary tensors and may be tied freely."""

    def extra_repr(self) -> str:
        """As torch's layers, and the options that differ from the defaults."""
        parts = [str(self.input_size), str(self.hidden_size)]
        for name, default in (("proj_size", 0), ("num_layers", 1), ("bias", True)):
            if getattr(self, name) != default:
                parts.append(f"{name}={getattr(self, name)}")
        if self.batch_first:
            parts.append("batch_first=True")
        if self.dropout:
            parts.append(f"dropout={self.dropout}")
        if self.bidirectional:
            parts.append("bidirectional=True")
        return ", ".join(parts + self.options.changes(Options(dropout=self.options.dropout)))


def stored_views(parameters: FusedParameters, *, bias: bool) -> dict[str, Tensor]:
    """The stored tensors, detached, by the cell's names; where biases are two, the first."""
    w, gates = parameters.weights, parameters.gates
    views: dict[str, Tensor] = {}
    pairs: list[tuple[str, Tensor | None]] = [("W", w.ih), ("R", w.hh)]
    if bias:
        pairs.append(("b", w.bias_ih))
    for letter, joined in pairs:
        assert joined is not None
        for gate, part in zip(gates, joined.detach().chunk(len(gates)), strict=True):
            views[f"{letter}.{gate}"] = part
    if bias and w.bias_hh is not None:
        for gate, part in zip(gates, w.bias_hh.detach().chunk(len(gates)), strict=True):
            if gate in parameters.apart:
                views[f"u.{gate}"] = part
    if w.hr is not None:
        views["U.h"] = w.hr.detach()
    views.update({name: value.detach() for name, value in parameters.others.items()})
    return views


_OPTIONS = (
    "dropout_kind", "recurrent_dropout", "weight_drop", "zoneout", "layer_norm", "residual",
    "outputs", "learn_initial", "backend",
)  # fmt: skip


def _check_options(layer: str, options: Mapping[str, Any]) -> None:
    for name in options:
        if name not in _OPTIONS:
            hint = did_you_mean(name, _OPTIONS)
            raise ConfigError(f'{layer} has no option "{name}".', hint=hint)


class RNN(TorchLayer):
    """torch.nn.RNN: its arguments, call, results and state_dict.

    Args:
        nonlinearity: "tanh", "relu", "leaky_relu", "sigmoid" or "identity".
        init: as `Recurrent`; None: torch's.
        options: `dropout_kind`, `recurrent_dropout`, `weight_drop`, `zoneout`, `layer_norm`,
            `residual`, `outputs`, `learn_initial`, `backend` of `Recurrent`.

    `y, h = rnn(x, h0, lengths=n)`: beside torch's forms it takes everything that `Recurrent` does.
    """

    gates = "h"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        init: Init = None,
        **options: Any,
    ) -> None:
        check_nonlinearity(nonlinearity)
        super().__init__(
            cells.Elman,
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            hyperparameters={"activation": nonlinearity},
            init=init,
            device=device,
            dtype=dtype,
            options=options,
        )
        self.nonlinearity = nonlinearity
        self.mode = f"RNN_{nonlinearity.upper()}"


def check_nonlinearity(name: str) -> str:
    """The name of a nonlinearity that an RNN may have.

    Raises:
        ConfigError: it is none of them.
    """
    if name not in NONLINEARITIES:
        hint = did_you_mean(str(name), NONLINEARITIES)
        raise ConfigError(f"got {name!r}.", where="nonlinearity", hint=hint)
    return name


class LSTM(TorchLayer):
    """torch.nn.LSTM: its arguments (`proj_size` too), call, results and state_dict.

    Args:
        init: as `Recurrent`; None: torch's.
        options: `dropout_kind`, `recurrent_dropout`, `weight_drop`, `zoneout`, `layer_norm`,
            `residual`, `outputs`, `learn_initial`, `backend` of `Recurrent`.

    `y, (h, c) = lstm(x, (h0, c0), lengths=n)`: beside torch's forms it takes everything that
    `Recurrent` does.
    """

    gates = "ifgo"
    mode = "LSTM"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        init: Init = None,
        **options: Any,
    ) -> None:
        if proj_size < 0 or proj_size >= hidden_size:
            raise ConfigError(
                f"got {proj_size}, wanted 0 (none) or less than hidden_size ({hidden_size}).",
                where="proj_size",
            )
        super().__init__(
            cells.LSTMP if proj_size else cells.LSTM,
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            hyperparameters={"proj": proj_size} if proj_size else {},
            init=init,
            device=device,
            dtype=dtype,
            options=options,
        )


class GRU(TorchLayer):
    """torch.nn.GRU: its arguments, call, results and state_dict.

    Args:
        reset: "after": the reset gate acts behind the product, as in torch and cuDNN; "before":
            in front of it, as in Cho et al. 2014 (there the second bias of the gate n has no
            place of its own and is added to the first).
        init: as `Recurrent`; None: torch's.
        options: `dropout_kind`, `recurrent_dropout`, `weight_drop`, `zoneout`, `layer_norm`,
            `residual`, `outputs`, `learn_initial`, `backend` of `Recurrent`.

    `y, h = gru(x, h0, lengths=n)`: beside torch's forms it takes everything that `Recurrent` does.
    """

    gates = "rzn"
    mode = "GRU"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        reset: str = "after",
        init: Init = None,
        **options: Any,
    ) -> None:
        cell = gru_cell(reset)
        super().__init__(
            cell,
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            hyperparameters={},
            init=init,
            device=device,
            dtype=dtype,
            options=options,
        )
        self.reset = reset

    @property
    def apart(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The gate whose second bias stands apart."""
        return "n" if self.base_step.name.startswith(cells.GRUResetAfter.name) else ""


def gru_cell(reset: str) -> Cell:
    """The equations with the reset gate "after" or "before" the product.

    Raises:
        ConfigError: another word.
    """
    known = {"after": cells.GRUResetAfter, "before": cells.GRUResetBefore}
    if reset not in known:
        raise ConfigError(f"got {reset!r}.", where="reset", hint=did_you_mean(str(reset), known))
    return known[reset]

