"""Matrices copied to panels of units, in the order in which tiles read them, on all threads.

A layer's weights change between its calls, so that they are brought into order in every one. Where
a unit's numbers lie side by side, squares of as many units as a vector has lanes are turned in
registers: in each of log2(lanes) rounds, pairs of vectors exchange halves (Eklundh 1972).
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llvmlite import ir as _llvm_ir
from torch import Tensor

from elman.kernels.cpu import cache, team
from elman.kernels.cpu.context import ContextWriter
from elman.kernels.cpu.memory import I64, lanes_below, loop, masked_load
from elman.kernels.cpu.target import Target

ir: Any = _llvm_ir

_NAME = "panels"
_ENTRY = ("from", "unit", "step", "units", "steps", "to", "panel", "line", "vectors", "factor")
_SMALL = 1 << 14
"""Numbers below which one thread is as fast as several."""


@dataclass(frozen=True)
class Copy:
    """A matrix and where its panels go.

    Attributes:
        matrix: `(units, steps)`, float32 or float64; one of the two lies side by side.
        panels: `(panels, steps, width)` of the same dtype, the last dimension contiguous, the width
            a multiple of the lanes; 0 behind the last unit.
        negative: copy `-matrix`.
    """

    matrix: Tensor
    panels: Tensor
    negative: bool = False


def copy_to_panels(copies: Sequence[Copy], target: Target) -> None:
    """Makes copies of one dtype, with the vectors of a target that this machine has."""
    if not copies:
        return
    first = copies[0].matrix
    size, double = first.element_size(), first.element_size() == 8
    lanes = target.lanes(double)
    values, held = [len(copies)], [_with_lines(copy.matrix) for copy in copies]
    for copy, matrix in zip(copies, held, strict=True):
        panel, line = copy.panels.stride(0) * size, copy.panels.stride(1) * size
        values += [matrix.data_ptr(), matrix.stride(0) * size, matrix.stride(1) * size]
        values += [*matrix.shape, copy.panels.data_ptr(), panel, line]
        values += [copy.panels.shape[2] // lanes, -1 if copy.negative else 1]
    context = (ctypes.c_int64 * len(values))(*values)
    whole = sum(matrix.numel() for matrix in held)
    threads = team.available() if whole >= _SMALL else 1
    team.run(_address(double, target), ctypes.addressof(context), threads)


def _with_lines(matrix: Tensor) -> Tensor:
    """The matrix, copied if neither rows nor columns of it lie side by side."""
    return matrix if 1 in matrix.stride() else matrix.contiguous()


@functools.cache
def _address(double: bool, target: Target) -> int:
    return cache.load(f"panels {double}", _Panels(target, double).write, target).address(_NAME)


class _Panels(ContextWriter):
    """Writes the kernel for a target: threads share the panels of every matrix."""

    def __init__(self, target: Target, double: bool) -> None:
        super().__init__(target, double)
        self.of: dict[str, Any] = {}  # the fields of the matrix at hand
        self.factor: Any = None

    def write(self) -> str:
        """The kernel as LLVM assembly."""
        thread, threads = self.begin(_NAME)
        builder = self.builder

        def entry(number: Any) -> None:
            start = builder.add(I64(1), builder.mul(number, I64(len(_ENTRY))))
            fields = enumerate(_ENTRY)
            self.of = {name: self.field(builder.add(start, I64(k))) for k, name in fields}
            factor = builder.sitofp(self.of["factor"], self.vectors.scalar)
            self.factor = self.vectors.splat(factor)
            width = builder.mul(self.of["vectors"], I64(self.lanes))
            more = builder.add(self.of["units"], builder.sub(width, I64(1)))
            panels = builder.sdiv(more, width)
            loop(builder, *self.share(panels, thread, threads), I64(1), self._panel)

        loop(builder, I64(0), self.field(I64(0)), I64(1), entry)
        builder.ret_void()
        return str(self.module)

    def _panel(self, panel: Any) -> None:
        builder, of = self.builder, self.of

        def vector(number: Any) -> None:
            block = self.at(number, panel, of["vectors"])
            unit = builder.mul(block, I64(self.lanes))
            source = self.at(of["from"], unit, of["unit"])
            to = self.at(self.at(of["to"], panel, of["panel"]), number, I64(self._width))
            beside = builder.icmp_signed("==", of["step"], I64(self.bytes))
            with builder.if_else(beside) as (then, otherwise):
                with then:
                    self._turned(source, unit, to)
                with otherwise:
                    self._straight(source, unit, to)

        loop(builder, I64(0), of["vectors"], I64(1), vector)

    @property
    def _width(self) -> int:
        return self.lanes * self.bytes

    def _straight(self, source: Any, unit: Any, to: Any) -> None:
        """Units lie side by side: a vector for each step."""
        builder, of = self.builder, self.of
        mask = lanes_below(builder, unit, of["units"], self.lanes)

        def step(k: Any) -> None:
            pointer = self.pointer(self.at(source, k, of["step"]))
            self._store(masked_load(self.module, builder, pointer, mask, self.vectors), to, k)

        loop(builder, I64(0), of["steps"], I64(1), step)

    def _turned(self, source: Any, unit: Any, to: Any) -> None:
        """A unit's steps lie side by side: squares are turned, and what is left at the edges."""
        builder, of, lanes = self.builder, self.of, I64(self.lanes)
        inside = builder.icmp_signed("<=", builder.add(unit, lanes), of["units"])
        squares = builder.mul(builder.sdiv(of["steps"], lanes), lanes)
        whole = builder.select(inside, squares, I64(0))

        def square(k: Any) -> None:
            self._square(source, k, to, lambda _, pointer: self._whole(pointer))

        def edge(k: Any) -> None:
            def load(row: int, pointer: Any) -> Any:
                there = builder.icmp_signed("<", builder.add(unit, I64(row)), of["units"])
                limit = builder.select(there, of["steps"], I64(0))
                mask = lanes_below(builder, k, limit, self.lanes)
                return masked_load(self.module, builder, pointer, mask, self.vectors)

            self._square(source, k, to, load)

        loop(builder, I64(0), whole, lanes, square)
        loop(builder, whole, of["steps"], lanes, edge)

    def _whole(self, pointer: Any) -> Any:
        return self.builder.load(pointer, typ=self.vectors.type, align=self.bytes)

    def _square(self, source: Any, k: Any, to: Any, load: Callable[[int, Any], Any]) -> None:
        builder, of = self.builder, self.of
        start = self.at(source, k, I64(self.bytes))
        rows = [
            load(row, self.pointer(self.at(start, I64(row), of["unit"])))
            for row in range(self.lanes)
        ]
        for place, value in enumerate(self._transposed(rows)):
            number = builder.add(k, I64(place))
            with builder.if_then(builder.icmp_signed("<", number, of["steps"])):
                self._store(value, to, number)

    def _transposed(self, rows: list[Any]) -> list[Any]:
        distance = 1
        while distance < self.lanes:
            made = list(rows)
            for k in range(self.lanes):
                if not k & distance:
                    pair = rows[k], rows[k + distance]
                    made[k] = self._exchanged(*pair, distance, 0)
                    made[k + distance] = self._exchanged(*pair, distance, distance)
            rows, distance = made, 2 * distance
        return rows

    def _exchanged(self, one: Any, other: Any, distance: int, keep: int) -> Any:
        """Lanes of both vectors: those whose number has the bit `distance` come from `other`."""
        lanes = self.lanes
        index = [
            (lane & ~distance) + keep + (lanes if lane & distance else 0) for lane in range(lanes)
        ]
        kind = ir.VectorType(ir.IntType(32), lanes)
        mask = ir.Constant(kind, [ir.IntType(32)(place) for place in index])
        return self.builder.shuffle_vector(one, other, mask)

    def _store(self, value: Any, to: Any, step: Any) -> None:
        value = self.vectors.emit("mul", [value, self.factor])
        pointer = self.pointer(self.at(to, step, self.of["line"]))
        self.builder.store(value, pointer, align=self.bytes)
