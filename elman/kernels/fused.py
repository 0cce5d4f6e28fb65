"""The weights of LSTM, GRU and RNN in the joined form that torch's operators take.

`FusedParameters` is a mapping of a cell's parameters by name whose values are views of torch's
joined weights: a layer that stores the joined form hands it over without a copy, and a backend that
works by name sees `W.i`, `R.i`, ... all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Weights:
    """torch's joined weights of one layer and one direction.

    Attributes:
        ih: `(gates * H, F)`; hh: `(gates * H, P)`; bias_ih, bias_hh: `(gates * H,)` or None;
        hr: the projection `(P, H)` or None.
    """

    ih: Tensor
    hh: Tensor
    bias_ih: Tensor | None = None
    bias_hh: Tensor | None = None
    hr: Tensor | None = None

    def flat(self) -> list[Tensor]:
        """In the order of torch's operators."""
        values = (self.ih, self.hh, self.bias_ih, self.bias_hh, self.hr)
        return [value for value in values if value is not None]


class FusedParameters(Mapping[str, Tensor]):
    """A cell's parameters as views of joined weights, made when they are asked for.

    Args:
        weights: the joined weights.
        gates: the gates' names in torch's order, `ifgo`, `rzn` or `h`.
        apart: gates whose recurrent bias is a parameter of its own, `u.<gate>` (the GRU's n).
        others: parameters stored elsewhere, by name.
    """

    def __init__(
        self,
        weights: Weights,
        gates: Sequence[str],
        *,
        apart: Sequence[str] = (),
        others: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.weights = weights
        self.gates = tuple(gates)
        self.apart = tuple(apart)
        self.others = dict(others or {})
        self._views: dict[str, Tensor] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The matrices of the inputs in the order in which their joined tensor holds them."""
        return tuple(f"W.{gate}" for gate in self.gates)

    def views(self) -> dict[str, Tensor]:
        """Every parameter by name; one split for each joined tensor."""
        if self._views is not None:
            return self._views
        w, count = self.weights, len(self.gates)
        views: dict[str, Tensor] = {}
        for letter, joined in (("W", w.ih), ("R", w.hh)):
            for gate, part in zip(self.gates, joined.chunk(count), strict=True):
                views[f"{letter}.{gate}"] = part
        if w.bias_ih is None or w.bias_hh is None:
            zeros = w.ih.new_zeros(w.ih.shape[0] // count)
            views.update({f"b.{gate}": zeros for gate in self.gates})
            views.update({f"u.{gate}": zeros for gate in self.apart})
        else:
            sums = (w.bias_ih + w.bias_hh).chunk(count)
            views.update({f"b.{gate}": part for gate, part in zip(self.gates, sums, strict=True)})
            for gate in self.apart:
                place = self.gates.index(gate)
                views[f"b.{gate}"] = w.bias_ih.chunk(count)[place]
                views[f"u.{gate}"] = w.bias_hh.chunk(count)[place]
        if w.hr is not None:
            views["U.h"] = w.hr
        views.update(self.others)
        self._views = views
        return views

    def __getitem__(self, name: str) -> Tensor:
        return self.views()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.views())

    def __len__(self) -> int:
        return len(self.views())


def join(
    parameters: Mapping[str, Tensor], names: Mapping[str, str], gates: str, apart: str = ""
) -> Weights:
    """Joins a cell's parameters; `names` maps the pattern's parameter names to the cell's own."""

    def joined(letter: str, wanted: str = gates) -> Tensor:
        values = [parameters[names[f"{letter}.{gate}"]] for gate in wanted]
        return values[0] if len(values) == 1 else torch.cat(values)

    bias = joined("b")
    if apart:
        zeros = bias.new_zeros(bias.shape[0] // len(gates) * (len(gates) - len(apart)))
        other = torch.cat([zeros, joined("u", apart)])
    else:
        other = torch.zeros_like(bias)
    projection = parameters[names["U.h"]] if "U.h" in names else None
    return Weights(joined("W"), joined("R"), bias, other, projection)
