"""The large products after the backward loop: from each step's deltas to every gradient."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from elman.compiler.ir import Var
from elman.kernels.cpu.arrays import units
from elman.kernels.cpu.outer import outers
from elman.kernels.cpu.product import linear
from elman.kernels.cpu.program import OWED, Training
from elman.kernels.cpu.room import POOL


class Columns:
    """Room for all that the adjoint gives for each step, ordered for the products after.

    The reads of a projection stand side by side in one tensor, and so do the products of one
    operand as far as that can be: then each needs one matrix product and no copy. What no product
    needs stands apart.
    """

    def __init__(self, training: Training, total: int) -> None:
        step = training.backward.step
        self.of = {result.name: result.var for result in step.results if not result.summed}
        self.projections = [
            [self.of.get(f"{OWED}{read.name}") for read in projection.reads]
            for projection in training.projections
        ]
        self.operands: dict[str, list[tuple[str, Var]]] = {}
        for product in training.trained.products:
            pair = (product.matrix, self.of[product.delta])
            self.operands.setdefault(product.operand, []).append(pair)
        order = self._order()
        self.place: dict[Var, tuple[int, int]] = {}
        at = 0
        for var in order:
            self.place[var] = (at, units(var))
            at += units(var)
        self.whole = POOL.take(total, at, dtype=training.backward.dtype)
        apart = [var for var in self.of.values() if var not in self.place]
        self.apart = {var: self.whole.new_empty(total, units(var)) for var in apart}
        stream = training.backward.stream
        self.arrays = {stream(var).name: self.columns(var) for var in (*order, *apart)}

    def _order(self) -> list[Var]:
        groups = [[var for var in group if var is not None] for group in self.projections]
        groups += [[var for _, var in pairs] for pairs in self.operands.values()]
        member: dict[Var, list[int]] = {}
        for number, group in enumerate(groups):
            for var in group:
                member.setdefault(var, []).append(number)
        first = sorted(dict.fromkeys(groups[0]) if groups else [], key=lambda v: member[v][1:])
        rest = [var for group in groups[1:] for var in group]
        return list(dict.fromkeys([*first, *rest]))

    def columns(self, var: Var) -> Tensor:
        """The columns `(N, size)` of a value."""
        if var in self.apart:
            return self.apart[var]
        at, size = self.place[var]
        return self.whole[:, at : at + size]

    def together(self, group: Sequence[Var]) -> tuple[Tensor, list[Var]]:
        """The columns of a group and the order in which they stand; a copy if they lie apart."""
        if len(set(group)) < len(group):
            return torch.cat([self.columns(var) for var in group], dim=1), list(group)
        order = sorted(group, key=lambda var: self.place[var])
        start = self.place[order[0]][0]
        end = sum(self.place[order[-1]])
        if end - start == sum(self.place[var][1] for var in order):
            return self.whole[:, start:end], order
        return torch.cat([self.columns(var) for var in order], dim=1), order


class Gradients:
    """The large products after the backward loop.

    Args:
        training: the loop and its adjoint.
        given: the forward loop's tensors by name.
        kept: what the forward loop kept.
        sums: the adjoint's sums by array name, a row for each thread.
        columns: the adjoint's results.
        needs: which of the given tensors need a gradient.
    """

    def __init__(
        self,
        training: Training,
        given: Mapping[str, Tensor],
        kept: Mapping[str, Tensor],
        sums: Mapping[str, Tensor],
        columns: Columns,
        needs: Mapping[str, bool],
    ) -> None:
        self.training, self.given, self.kept = training, given, kept
        self.sums, self.columns, self.needs = sums, columns, needs

    def found(self) -> dict[str, Tensor]:
        """Gradients by the names of the given tensors."""
        found: dict[str, Tensor] = {}
        for k, group in enumerate(self.columns.projections):
            found |= self._projection(k, [var for var in group if var is not None])
        for name, value in self._matrices():
            found[name] = found[name] + value if name in found else value
        backward = self.training.backward
        for result in backward.step.results:
            name = result.name.removeprefix(OWED)
            if result.summed:
                array = backward.arrays.sum_of(result.var)
                assert array is not None
                found[f"parameter.{name}"] = self.sums[array.name][:, : array.size].sum(0)
            elif f"in.{name}" in self.given:
                value = self.columns.columns(result.var)
                # The columns go back to the pool; what stands apart leaves with the caller.
                apart = result.var in self.columns.apart
                found[f"in.{name}"] = value if apart else value.clone()
        return found

    def _projection(self, k: int, group: Sequence[Var]) -> dict[str, Tensor]:
        if not group:
            return {}
        deltas, order = self.columns.together(group)
        rows = _places(group, order)
        weight, operand = self.given[f"weight.{k}"], self.given[f"operand.{k}"]
        found: dict[str, Tensor] = {}
        if self.needs[f"operand.{k}"]:
            matrix = weight if rows is None else weight.index_select(0, rows)
            storage = self.training.backward.storage
            found[f"operand.{k}"] = linear(deltas, matrix.t(), storage=storage)
        if self.needs[f"weight.{k}"]:
            found[f"weight.{k}"] = _restored(self._outers(deltas, [operand])[0], rows)
        if self.needs.get(f"bias.{k}"):
            found[f"bias.{k}"] = _restored(deltas.sum(0), rows)
        return found

    def _matrices(self) -> Iterator[tuple[str, Tensor]]:
        """The gradient of each product's matrix; products with the same deltas are done at once."""
        groups: dict[tuple[Var, ...], list[str]] = {}
        for operand, pairs in self.columns.operands.items():
            groups.setdefault(tuple(var for _, var in pairs), []).append(operand)
        for variables, operands in groups.items():
            deltas, order = self.columns.together(variables)
            starts: dict[Var, int] = {}
            at = 0
            for var in order:
                starts[var] = at
                at += units(var)
            products = self._outers(deltas, [self._values(operand) for operand in operands])
            for operand, product in zip(operands, products, strict=True):
                for name, var in self.columns.operands[operand]:
                    rows = product[starts[var] : starts[var] + units(var)]
                    yield f"parameter.{name}", rows

    def _outers(self, deltas: Tensor, operands: list[Tensor]) -> list[Tensor]:
        return outers(deltas, operands, brain=self.training.backward.storage == "brain")

    def _values(self, operand: str) -> Tensor:
        """What a product multiplied, for all steps."""
        if operand in self.kept:
            return self.kept[operand]
        if operand in self.columns.of:
            return self.columns.columns(self.columns.of[operand])
        return self.given[f"in.{operand}"]


def _places(group: Sequence[Var], order: Sequence[Var]) -> Tensor | None:
    """For each column of `order` the row of `group` that it is; None when they agree."""
    if list(group) == list(order):
        return None
    starts: dict[Var, list[int]] = {}
    at = 0
    for var in group:
        starts[var] = list(range(at, at + units(var)))
        at += units(var)
    return torch.tensor([row for var in order for row in starts[var]])


def _restored(value: Tensor, rows: Tensor | None) -> Tensor:
    return value if rows is None else torch.empty_like(value).index_copy_(0, rows, value)
