"""Weights in the order in which tiles read them, in full or in fewer bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from elman.compiler.ir import Equation, Var
from elman.compiler.schedule import Product, Region
from elman.kernels.cpu.arrays import Arrays, Group, units
from elman.kernels.cpu.panels import Copy, copy_to_panels
from elman.kernels.cpu.room import POOL
from elman.kernels.cpu.shapes import Shape
from elman.kernels.cpu.target import Target

_STEPS = 127  # of an 8-bit number, to either side


class Packing:
    """Packs the matrices of a kernel's groups.

    Args:
        arrays: of the kernel.
        shapes: the tiles of its regions.
        dtype, target: of the kernel.
    """

    def __init__(
        self, arrays: Arrays, shapes: Mapping[int, Shape], dtype: torch.dtype, target: Target
    ) -> None:
        self.arrays, self.shapes, self.dtype, self.target = arrays, shapes, dtype, target
        step = arrays.step
        self._constants = {
            e.var: _numbers(e, dtype)
            for e in step.equations
            if e.op == "const" and len(e.var.shape) == 2
        }

    def pack(self, matrices: Mapping[Var, Tensor]) -> dict[str, Tensor]:
        """The packed weights of every group, from the step's matrices `(rows, columns)`."""
        packed: dict[str, Tensor] = {}
        copies: list[Copy] = []
        for number, groups in self.arrays.groups.items():
            scales = self._scales(number, groups, matrices)
            for place, scale in scales.items():
                packed[self.arrays.scales[number, place].name] = scale
            for group in groups:
                if self.arrays.storage == "full":
                    packed[group.array.name] = self._ordered(number, group, matrices, copies)
                else:
                    packed[group.array.name] = self._packed(number, group, matrices, scales)
        copy_to_panels(copies, self.target)
        return packed

    def _ordered(
        self,
        number: int,
        group: Group,
        matrices: Mapping[Var, Tensor],
        copies: list[Copy],
    ) -> Tensor:
        """Room for the array of `Group`; the copies that fill it are added to `copies`."""
        shape, part = self.shapes[number], self.arrays.schedule.parts[number]
        assert isinstance(part, Region)
        lines, products = units(group.operand), group.products
        panels = shape.panels(part.size)
        room = POOL.take(panels, lines, len(products), shape.width, dtype=self.dtype)
        for place, (_, product) in enumerate(products):
            matrix = self._matrix(product, matrices)
            copies.append(Copy(matrix, room[:, :, place], product.negative))
        return room

    def rounding(self, matrices: Mapping[Var, Tensor], packed: Mapping[str, Tensor]) -> float:
        """The relative root mean square error of packed weights, against what they stand for."""
        if self.arrays.storage == "full":
            return 0.0
        wrong = whole = 0.0
        for number, groups in self.arrays.groups.items():
            for group in groups:
                room = packed[group.array.name].double()
                if self.arrays.pairs:
                    room = room.movedim(4, 2).flatten(1, 2)[:, : units(group.operand)]
                for place, (accumulator, product) in enumerate(group.products):
                    matrix = self._matrix(product, matrices).double()
                    kept = room[:, :, place, :].transpose(1, 2).reshape(-1, room.shape[1])
                    kept = kept[: len(matrix)] * (-1 if product.negative else 1)
                    scale = self.arrays.scales.get((number, accumulator))
                    if scale is not None:
                        kept = kept * packed[scale.name][:, None].double()
                    wrong += float((kept - matrix).square().sum())
                    whole += float(matrix.square().sum())
        return (wrong / whole) ** 0.5 if whole else 0.0

    def _scales(
        self, number: int, groups: tuple[Group, ...], matrices: Mapping[Var, Tensor]
    ) -> dict[int, Tensor]:
        """For each accumulator the value of one step of its rows' 8-bit numbers, `(size,)`."""
        region = self.arrays.schedule.parts[number]
        if self.arrays.storage != "int8" or not isinstance(region, Region):
            return {}
        largest: dict[int, Tensor] = {}
        for place, product in (pair for group in groups for pair in group.products):
            found = self._matrix(product, matrices).abs().amax(dim=1)
            largest[place] = torch.maximum(largest.get(place, found), found)
        ones = torch.ones(region.size, dtype=self.dtype)
        places = range(len(region.accumulators))
        return {k: (largest.get(k, ones) / _STEPS).clamp_min(1e-30) for k in places}

    def _packed(
        self,
        number: int,
        group: Group,
        matrices: Mapping[Var, Tensor],
        scales: Mapping[int, Tensor],
    ) -> Tensor:
        """The array of `Group`, zero where a panel is not full."""
        shape = self.shapes[number]
        region = self.arrays.schedule.parts[number]
        assert isinstance(region, Region)
        size, operand = region.size, units(group.operand)
        panels, width = shape.panels(size), shape.width
        kinds = {"full": self.dtype, "int8": torch.int8}
        kind = kinds.get(self.arrays.storage, torch.bfloat16)
        deep = 2 if self.arrays.pairs else 1
        lines = -(-operand // deep)
        room = torch.zeros(panels, lines, len(group.products), width, deep, dtype=kind)
        whole = size // width
        for place, (accumulator, product) in enumerate(group.products):
            matrix = self._matrix(product, matrices)
            if scales:
                matrix = (matrix / scales[accumulator][:, None]).round()
            if operand % deep:
                matrix = torch.nn.functional.pad(matrix, (0, 1))
            view = room[:, :, place]
            blocks = matrix[: whole * width].reshape(whole, width, lines, deep)
            view[:whole].copy_(blocks.transpose(1, 2))
            if whole < panels:
                rest = matrix[whole * width :].reshape(-1, lines, deep)
                view[whole, :, : len(rest)].copy_(rest.transpose(0, 1))
            if product.negative:
                view.neg_()
        return room if self.arrays.pairs else room.squeeze(-1)

    def _matrix(self, product: Product, matrices: Mapping[Var, Tensor]) -> Tensor:
        """The matrix of a product, a row for each unit of the result."""
        known = self._constants.get(product.matrix)
        matrix = matrices[product.matrix] if known is None else known
        return matrix.t() if product.transposed else matrix


def _numbers(constant: Equation, dtype: torch.dtype) -> Tensor:
    values: Any = constant.attribute("values")
    shape: Any = constant.var.shape
    return torch.tensor(values, dtype=dtype).reshape(shape)
