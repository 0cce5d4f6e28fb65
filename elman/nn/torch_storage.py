"""torch's storage of recurrent layers, seen as a cell's parameters.

A layer keeps `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, `weight_hr_l0` and their
`_reverse`, so that checkpoints of torch.nn load and save unchanged.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from elman.cells import Cell
from elman.compiler.ir import dimensions
from elman.errors import ConfigError, ShapeError, did_you_mean
from elman.kernels.fused import FusedParameters, Weights
from elman.nn.initialisers import Init, initialise
from elman.nn.recurrent import attribute_name
from elman.nn.sequences import Lengths
from elman.nn.stack import Options, Stack, State


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
        shapes: dict[str, tuple[int, ...]] = {
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

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride] - torch's names
        self,
        input: Any,
        hx: State = None,
        *,
        lengths: Lengths | None = None,
        mask: Tensor | None = None,
        resets: Any = None,
        streams: Mapping[str, Any] | None = None,
        state: State = None,
    ) -> tuple[Any, State]:
        """Runs the layers over a batch; `input` and `hx` are torch's names of `x` and `state`.

        Everything else is as for `Recurrent`, whose name `state` is understood too.

        Raises:
            ShapeError: a shape, dtype, device or length that cannot be used, or two states.
        """
        if hx is not None and state is not None:
            raise ShapeError("got two states, hx and state, wanted one of them.")
        return super().forward(
            input,
            state if hx is None else hx,
            lengths=lengths,
            mask=mask,
            resets=resets,
            streams=streams,
        )

    def drop_weights(
        self, parameters: Mapping[str, Tensor], drop: Callable[[Tensor], Tensor]
    ) -> Mapping[str, Tensor]:
        """Drops entries of the joined recurrent weight."""
        assert isinstance(parameters, FusedParameters)
        w = parameters.weights
        dropped = Weights(w.ih, drop(w.hh), w.bias_ih, w.bias_hh, w.hr)
        return FusedParameters(dropped, self.gates, apart=self.apart, others=parameters.others)

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
        """Initialises by the cell's names. Of a bias that torch stores twice, the second is 0."""
        parameters = self.cell_parameters(layer, direction)
        views = stored_views(parameters, bias=self.bias)
        # What `init` does not name is still not a number afterwards and stays as it is.
        drawn = {name: torch.full_like(value, math.nan) for name, value in views.items()}
        initialise(drawn, self.init, hidden_size=self.hidden_size, defaults=False)
        count, second = len(self.gates), parameters.weights.bias_hh
        with torch.no_grad():
            for name, value in drawn.items():
                if not bool(value.isnan().any()):
                    views[name].copy_(value)
                    letter, gate = name.split(".", 1)
                    if letter == "b" and gate not in self.apart and second is not None:
                        second.chunk(count)[self.gates.index(gate)].zero_()

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
