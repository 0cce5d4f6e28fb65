"""The options that all recurrent layers share, and the checks of what they are given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from elman.compiler.ir import Step
from elman.errors import ConfigError, ShapeError, did_you_mean
from elman.kernels import launch
from elman.nn.dropout import KINDS, check_probability

NORMS = ("inside", "around", "both")


@dataclass(frozen=True)
class Options:
    """What a stack does beside its equations; see `Recurrent` for each of them."""

    dropout: float = 0.0
    dropout_kind: str = "step"
    recurrent_dropout: float = 0.0
    weight_drop: float = 0.0
    zoneout: float | Mapping[str, float] = 0.0
    layer_norm: str | None = None
    residual: bool = False
    outputs: str = "last"
    learn_initial: bool = False
    backend: str | None = None

    def __post_init__(self) -> None:
        for name in ("dropout", "recurrent_dropout", "weight_drop"):
            check_probability(getattr(self, name), name)
        rates = self.zoneout.values() if isinstance(self.zoneout, Mapping) else (self.zoneout,)
        for rate in rates:
            check_probability(rate, "zoneout")
        _one_of("dropout_kind", self.dropout_kind, KINDS)
        _one_of("outputs", self.outputs, ("last", "sum"))
        if self.layer_norm is not None:
            _one_of("layer_norm", self.layer_norm, NORMS)
        if self.backend is not None:
            _one_of("backend", self.backend, [entry.name for entry in launch.BACKENDS])

    @property
    def norm_inside(self) -> bool:
        """Whether every matrix product of the recurrence is normalised."""
        return self.layer_norm in ("inside", "both")

    @property
    def norm_around(self) -> bool:
        """Whether the input of every layer is normalised."""
        return self.layer_norm in ("around", "both")

    def changes(self, default: Options) -> list[str]:
        """`name=value` for each option that differs from `default`."""
        return [
            f"{item.name}={getattr(self, item.name)!r}"
            for item in fields(self)
            if getattr(self, item.name) != getattr(default, item.name)
        ]

    def zoneout_rates(self, step: Step) -> dict[str, float]:
        """The rate of each state of the step; empty when there is none.

        Raises:
            ConfigError: a rate for a state that the step does not have.
        """
        names = [state.name for state in step.states]
        if not isinstance(self.zoneout, Mapping):
            return dict.fromkeys(names, float(self.zoneout)) if self.zoneout else {}
        for name in self.zoneout:
            if name not in names:
                hint = did_you_mean(name, names)
                raise ConfigError(f'{step.name} has no state "{name}".', where="zoneout", hint=hint)
        return {name: float(self.zoneout.get(name, 0.0)) for name in names}


def _one_of(where: str, value: str, known: Iterable[str]) -> None:
    if value not in known:
        hint = did_you_mean(str(value), known)
        raise ConfigError(f"got {value!r}.", where=where, hint=hint)


def check_size(name: str, size: int) -> None:
    """Refuses a size that is no whole number of 1 or more with a ConfigError."""
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ConfigError(f"got {size!r}, wanted a whole number of 1 or more.", where=name)


def check_like(what: str, value: Tensor, like: Tensor) -> None:
    """Refuses a tensor of another device or dtype than the layer's with a ShapeError."""
    if value.device != like.device:
        raise ShapeError(
            f"got {what} on {value.device} and the layer on {like.device}, wanted one device.",
            hint="Move one of them with .to(...).",
        )
    if value.dtype != like.dtype and not torch.is_autocast_enabled(value.device.type):
        raise ShapeError(
            f"got {what} of dtype {value.dtype}, wanted the layer's {like.dtype}.",
            hint=f"Convert it with .to({like.dtype}), or the layer with .to({value.dtype}).",
        )
