"""Sums of outer products: `C[p, k] = sum over n of D[n, p] X[n, k]`, the gradient of a matrix.

All products of a block of rows are done before the next block is fetched. The block's columns of X
are copied panel by panel, those of D tile by tile, so that the inner loop reads both in order: the
same outer-product tile as the time loop's (Goto and van de Geijn 2008). Several X with one D share
its copies. One build serves all sizes; threads share the rows of C, so that every sum has the same
order whatever their number.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from typing import Any

import torch
from llvmlite import ir as _llvm_ir
from torch import Tensor

from elman.kernels.cpu import cache, team
from elman.kernels.cpu.barrier import emit_flush_to_zero, emit_restore
from elman.kernels.cpu.brain import interleaved, multiply_pairs
from elman.kernels.cpu.context import ContextWriter
from elman.kernels.cpu.memory import I64, lanes_below, loop, masked_load, prefetch
from elman.kernels.cpu.pairs import I32, broadcast
from elman.kernels.cpu.target import Target, host
from elman.kernels.cpu.vectors import Vectors

ir: Any = _llvm_ir

_NAME = "outer"
_BLOCK = 256  # rows of D and X that are done together: a panel of X then fills half of an L2 cache
_ROWS = 4  # of C in a tile
_FIELDS = ("d", "d_row", "n", "p", "room", "room_row", "count")
_ENTRY = ("x", "x_row", "c", "c_row", "k")  # of each of `count` X, behind the fields
_SMALL = 1 << 20
"""Multiplications below which torch's own product is as fast."""


def outer(d: Tensor, x: Tensor) -> Tensor:
    """`d.t() @ x` for `(N, P)` and `(N, K)` of one dtype, last dimensions contiguous: `(P, K)`."""
    return outers(d, [x])[0]


def outers(d: Tensor, several: Sequence[Tensor], *, brain: bool = False) -> list[Tensor]:
    """`outer` of one `d`, `(N, P)`, and each `x`, `(N, K)`: `(P, K)` each.

    With `brain` numbers, float32, are rounded to bfloat16 first; but not in products so small that
    torch's own are taken.
    """
    n, p = d.shape
    if n * p * sum(x.shape[1] for x in several) < _SMALL:
        return [d.t() @ x for x in several]
    double, target = d.dtype == torch.float64, host()
    writer = _Outer(target, double, brain)
    threads = team.available()
    room = d.new_empty(threads, writer.room(p))
    values = [*_place(d), n, p, *_place(room), len(several)]
    found: list[Tensor] = []
    for x in several:
        # Whole tiles: nothing at the edges needs a mask.
        columns = -(-x.shape[1] // writer.width) * writer.width
        found.append(d.new_empty(-(-p // _ROWS) * _ROWS, columns))
        values += [*_place(x), *_place(found[-1]), x.shape[1]]
    context = (ctypes.c_int64 * len(values))(*values)
    team.run(_address(double, brain, target), ctypes.addressof(context), threads)
    pairs = zip(found, several, strict=True)
    return [c[:p, : x.shape[1]].contiguous() for c, x in pairs]


def _place(tensor: Tensor) -> tuple[int, int]:
    """Where a tensor begins, and the bytes from row to row."""
    return tensor.data_ptr(), tensor.stride(0) * tensor.element_size()


@functools.cache
def _address(double: bool, brain: bool, target: Target) -> int:
    writer = _Outer(target, double, brain)
    return cache.load(f"outer products {double} {brain}", writer.write, target).address(_NAME)


class _Outer(ContextWriter):
    """Writes the kernel for a target.

    With `brain` two rows of a block stand in memory as one of pairs, which one instruction
    multiplies and adds.
    """

    def __init__(self, target: Target, double: bool, brain: bool) -> None:
        super().__init__(target, double)
        self.brain = brain
        self.deep = 2 if brain else 1  # rows of a block that are one line of a copy
        self.count = 4 if target.registers == 32 else 2
        self.width = self.lanes * self.count
        # A line more than the block needs: tiles at a power of two would share cache sets.
        self.tile = _BLOCK * _ROWS + 64 // self.bytes

    def room(self, rows: int) -> int:
        """Numbers that a thread copies a block to: a panel of X, and all tiles of D."""
        return _BLOCK * self.width + -(-rows // _ROWS) * self.tile

    def write(self) -> str:
        """The kernel as LLVM assembly."""
        thread, threads = self.begin(_NAME)
        builder = self.builder
        saved = emit_flush_to_zero(self.module, builder)
        self.given = {name: self.field(I64(k)) for k, name in enumerate(_FIELDS)}
        self.panel = self.at(self.given["room"], thread, self.given["room_row"])
        self.tiles = builder.add(self.panel, I64(_BLOCK * self.width * self.bytes))
        tiles = builder.sdiv(builder.add(self.given["p"], I64(_ROWS - 1)), I64(_ROWS))
        self.mine = self.share(tiles, thread, threads)
        loop(builder, I64(0), self.given["n"], I64(_BLOCK), self._block)
        emit_restore(self.module, builder, saved)
        builder.ret_void()
        return str(self.module)

    def _block(self, first: Any) -> None:
        builder = self.builder
        rest = builder.sub(self.given["n"], first)
        full = builder.icmp_signed(">", rest, I64(_BLOCK))
        count = builder.select(full, I64(_BLOCK), rest)
        self.lines = builder.sdiv(builder.add(count, I64(self.deep - 1)), I64(self.deep))
        self._copy_tiles(first, count)

        def panel(k: Any) -> None:
            self._copy_panel(first, count, k)
            loop(builder, *self.mine, I64(1), lambda tile: self._tile(tile, k, first))

        def entry(number: Any) -> None:
            start = self.at(I64(len(_FIELDS)), number, I64(len(_ENTRY)))
            for k, name in enumerate(_ENTRY):
                self.given[name] = self.field(builder.add(start, I64(k)))
            loop(builder, I64(0), self.given["k"], I64(self.width), panel)

        loop(builder, I64(0), self.given["count"], I64(1), entry)

    def _copy(
        self, sources: list[tuple[Any, Any]], to: Any, start: Any, lanes: int, entry: str
    ) -> None:
        """Numbers `start` and on of a line, 0 beyond the row's end (`entry`) and the block's."""
        builder, vectors = self.builder, Vectors(self.builder, lanes, self.double)
        values: list[Any] = []
        for row, there in sources:
            limit = builder.select(there, self.given[entry], I64(0))
            mask = lanes_below(builder, start, limit, lanes)
            pointer = self.pointer(self.at(row, start, I64(self.bytes)))
            values.append(masked_load(self.module, builder, pointer, mask, vectors))
        value = interleaved(builder, vectors, *values) if self.brain else values[0]
        builder.store(value, self.pointer(to), align=lanes * self.bytes)

    def _rows(self, first: Any, count: Any, line: Any, entry: str) -> list[tuple[Any, Any]]:
        """The addresses of the rows of a line, and whether the block has them."""
        builder, given = self.builder, self.given
        found: list[tuple[Any, Any]] = []
        for k in range(self.deep):
            n = builder.add(builder.mul(line, I64(self.deep)), I64(k))
            row = self.at(given[entry], builder.add(first, n), given[f"{entry}_row"])
            found.append((row, builder.icmp_signed("<", n, count)))
        return found

    def _copy_tiles(self, first: Any, count: Any) -> None:
        """The thread's columns of D, `(tile, line, 4)`."""
        builder = self.builder

        def line(number: Any) -> None:
            rows = self._rows(first, count, number, "d")
            to = self.at(self.tiles, number, I64(_ROWS * self.bytes))

            def tile(which: Any) -> None:
                place = self.at(to, which, I64(self.tile * self.bytes))
                self._copy(rows, place, builder.mul(which, I64(_ROWS)), _ROWS, "p")

            loop(builder, *self.mine, I64(1), tile)

        loop(builder, I64(0), self.lines, I64(1), line)

    def _copy_panel(self, first: Any, count: Any, k: Any) -> None:
        """A panel of X, `(line, width)`."""
        builder = self.builder

        def line(number: Any) -> None:
            rows = self._rows(first, count, number, "x")
            to = self.at(self.panel, number, I64(self.width * self.bytes))
            for vector in range(self.count):
                start = builder.add(k, I64(vector * self.lanes))
                place = builder.add(to, I64(vector * self.lanes * self.bytes))
                self._copy(rows, place, start, self.lanes, "k")

        loop(builder, I64(0), self.lines, I64(1), line)

    def _tile(self, tile: Any, k: Any, first: Any) -> None:
        """Adds a block's products, summed in registers, to a tile of C; the first block's fill it.

        Meanwhile the tile is fetched: it left the caches while the others had their turn.
        """
        builder, given, vectors = self.builder, self.given, self.vectors
        keys = [(row, vector) for row in range(_ROWS) for vector in range(self.count)]
        corner = self.at(given["c"], builder.mul(tile, I64(_ROWS)), given["c_row"])
        corner = self.at(corner, k, I64(self.bytes))
        places = {
            (row, vector): self.pointer(
                builder.add(
                    self.at(corner, I64(row), given["c_row"]),
                    I64(vector * self.lanes * self.bytes),
                )
            )
            for row, vector in keys
        }
        for place in places.values():
            prefetch(self.module, builder, place)
        column = self.at(self.tiles, tile, I64(self.tile * self.bytes))
        before = builder.block
        inside, after = builder.append_basic_block("n"), builder.append_basic_block("done")
        builder.branch(inside)
        builder.position_at_end(inside)
        n = builder.phi(I64)
        n.add_incoming(I64(0), before)
        totals = {key: builder.phi(vectors.type) for key in keys}
        for key in keys:
            totals[key].add_incoming(vectors.constant(0.0), before)
        made = self._products(n, column, totals)
        following = builder.add(n, I64(1))
        n.add_incoming(following, inside)
        for key in keys:
            totals[key].add_incoming(made[key], inside)
        builder.cbranch(builder.icmp_signed("<", following, self.lines), inside, after)
        builder.position_at_end(after)
        fresh = builder.icmp_signed("==", first, I64(0))
        for key in keys:
            so_far = builder.load(places[key], typ=vectors.type, align=self.bytes)
            so_far = builder.select(fresh, vectors.constant(0.0), so_far)
            total = vectors.emit("add", [so_far, made[key]])
            builder.store(total, places[key], align=self.bytes)

    def _products(self, n: Any, column: Any, totals: dict[tuple[int, int], Any]) -> Any:
        """One line of the block: 4 numbers of D, or pairs of them, against a panel's line of X."""
        builder, vectors = self.builder, self.vectors
        line = self.at(self.panel, n, I64(self.width * self.bytes))
        weights = [
            builder.load(
                self.pointer(builder.add(line, I64(vector * self.lanes * self.bytes))),
                typ=ir.VectorType(I32, self.lanes) if self.brain else vectors.type,
                align=self.lanes * self.bytes,
            )
            for vector in range(self.count)
        ]
        numbers = self.at(column, n, I64(_ROWS * self.bytes))
        made: dict[tuple[int, int], Any] = {}
        for row in range(_ROWS):
            address = builder.add(numbers, I64(row * self.bytes))
            factor = self._broadcast(address)
            for vector in range(self.count):
                made[row, vector] = self._term(totals[row, vector], factor, weights[vector])
        return made

    def _broadcast(self, address: Any) -> Any:
        if self.brain:
            return broadcast(self.builder, address, self.lanes)
        vectors = self.vectors
        return vectors.splat(self.builder.load(self.pointer(address), typ=vectors.scalar))

    def _term(self, total: Any, factor: Any, weights: Any) -> Any:
        if self.brain:
            return multiply_pairs(self.module, self.builder, total, factor, weights)
        return self.vectors.fma(factor, weights, total)
