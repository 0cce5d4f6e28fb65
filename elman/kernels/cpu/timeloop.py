"""Machine code of the time loop: `void kernel(frame, thread, threads)`.

Rows, longest first, are dealt to threads in blocks, to and fro (0 1 1 0 0 1 ...), so that ragged
rows balance and no thread ever waits for another; with few rows the units are dealt instead, panel
by panel, and the threads meet at a barrier after each stage that others read from. Within a stage a
panel of weights serves all of a thread's rows before the next panel is fetched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llvmlite import ir as _llvm_ir

from elman.compiler.schedule import Region
from elman.kernels.cpu.arrays import HEADER, Array, Arrays
from elman.kernels.cpu.barrier import emit_barrier, emit_flush_to_zero, emit_restore
from elman.kernels.cpu.brain import BrainRounding
from elman.kernels.cpu.integers import IntegerRounding
from elman.kernels.cpu.memory import I8, I64, POINTER, loop
from elman.kernels.cpu.region import RegionWriter, write_reduction
from elman.kernels.cpu.shapes import Shape, tile_shape
from elman.kernels.cpu.target import Target

ir: Any = _llvm_ir

ROWS = 8
"""Rows of a block: what a thread does for one panel at a time is a multiple of them."""

NAME = "kernel"


@dataclass(frozen=True)
class Part:
    """A part of the schedule as functions: for full panels, for the last one, and before them."""

    panels: int
    size: int
    full: Any
    tail: Any | None
    before: tuple[Any, ...] = ()


def shapes_of(arrays: Arrays, target: Target, *, double: bool) -> dict[int, Shape]:
    """The form of the tiles of every part."""
    lanes, registers = target.lanes(double), target.registers
    found: dict[int, Shape] = {}
    for number, part in enumerate(arrays.schedule.parts):
        if isinstance(part, Region):
            found[number] = tile_shape(part, lanes=lanes, registers=registers, double=double)
        else:
            found[number] = Shape(lanes, 1, (1,), double)
    return found


def write_kernel(arrays: Arrays, target: Target, *, double: bool) -> str:
    """The kernel of a scheduled step as LLVM assembly."""
    module = ir.Module(name="elman")
    module.triple = target.triple
    shapes = shapes_of(arrays, target, double=double)
    parts: list[Part] = []
    for number, part in enumerate(arrays.schedule.parts):
        shape = shapes[number]
        if isinstance(part, Region):
            writer = RegionWriter(module, arrays, number, part, shape)
            uneven = part.size % shape.width != 0
            whole = part.size >= shape.width
            full = writer.write(tail=False) if whole else None
            tail = writer.write(tail=True) if uneven else None
            rounding = BrainRounding if arrays.storage == "brain" else IntegerRounding
            before = tuple(
                rounding(module, arrays, number, place, shape).function
                for place in range(len(arrays.groups[number]) if arrays.pairs else 0)
            )
            parts.append(Part(shape.panels(part.size), part.size, full or tail, tail, before))
        else:
            function = write_reduction(module, arrays, number, part, shape)
            parts.append(Part(1, 1, function, None))
    _Loop(module, arrays, parts, shapes, double).write()
    return str(module)


class _Loop:
    def __init__(
        self,
        module: Any,
        arrays: Arrays,
        parts: list[Part],
        shapes: dict[int, Shape],
        double: bool,
    ) -> None:
        self.module, self.arrays, self.parts, self.shapes = module, arrays, parts, shapes
        self.bytes = 8 if double else 4
        kind = ir.FunctionType(ir.VoidType(), [POINTER, I64, I64])
        self.function = ir.Function(module, kind, NAME)
        self.builder = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.frame, self.thread, self.threads = self.function.args

    def write(self) -> None:
        builder = self.builder
        saved = emit_flush_to_zero(self.module, builder)
        self.head = {name: self._slot(number) for number, name in enumerate(HEADER)}
        self.by_units = builder.icmp_signed("!=", self.head["units"], I64(0))
        self.dealt = (
            builder.select(self.by_units, I64(0), self.thread),
            builder.select(self.by_units, I64(1), self.threads),
        )
        loop(builder, I64(0), self.head["steps"], I64(1), self._step)
        emit_restore(self.module, builder, saved)
        builder.ret_void()

    def _slot(self, number: int) -> Any:
        place = self.builder.gep(self.frame, [I64(number)], source_etype=I64)
        return self.builder.load(place, typ=I64)

    def _entry(self, array: Array, part: str) -> Any:
        return self._slot(self.arrays.slot(array, part))

    def _table(self, name: str, index: Any) -> Any:
        base = self.builder.inttoptr(self.head[name], POINTER)
        place = self.builder.gep(base, [index], source_etype=I64)
        return self.builder.load(place, typ=I64)

    def _step(self, number: Any) -> None:
        builder = self.builder
        backwards = builder.sub(builder.sub(self.head["steps"], I64(1)), number)
        reverse = builder.icmp_signed("!=", self.head["reverse"], I64(0))
        t = builder.select(reverse, backwards, number)
        first, rows = self._table("offsets", t), self._table("rows", t)
        parity = builder.and_(number, I64(1))
        if not self.arrays.collects:
            self._with_resets(lambda: self._replace(first, rows, parity))
        for place, part in enumerate(self.parts):
            self._part(place, part, first, rows, parity)
            if place in self.arrays.schedule.waits:
                with builder.if_then(self.by_units):
                    self._barrier()
        if self.arrays.collects:
            self._with_resets(lambda: self._collect(first, rows, parity))

    def _share(self, size: int, thread: Any) -> Any:
        """Where the units of a thread begin: the same for every part that works on this size.

        What passes from part to part unit by unit then stays with its thread. The shares are
        multiples of the widest panel, which all panels divide.
        """
        builder = self.builder
        widest = max(shape.width for shape in self.shapes.values())
        pieces = -(-size // widest)
        piece = builder.sdiv(builder.mul(thread, I64(pieces)), self.threads)
        start = builder.mul(piece, I64(widest))
        return builder.select(builder.icmp_signed("<", start, I64(size)), start, I64(size))

    def _barrier(self) -> None:
        pointer = self.builder.inttoptr(self.head["barrier"], POINTER)
        emit_barrier(self.module, self.builder, pointer, self.threads)

    def _part(self, number: int, part: Part, first: Any, rows: Any, parity: Any) -> None:
        """All panels of a thread, for each all blocks of a thread."""
        builder = self.builder
        panels = I64(part.panels)
        width = self.shapes[number].width
        size = part.size
        share, end = (
            self._share(size, self.thread),
            self._share(size, builder.add(self.thread, I64(1))),
        )
        end = builder.sdiv(builder.add(end, I64(width - 1)), I64(width))
        low = builder.select(self.by_units, builder.sdiv(share, I64(width)), I64(0))
        high = builder.select(self.by_units, end, panels)

        def arguments(index: Any, unit: Any) -> list[Any]:
            row = builder.mul(index, I64(ROWS))
            rest = builder.sub(rows, row)
            count = builder.select(builder.icmp_signed("<", rest, I64(ROWS)), rest, I64(ROWS))
            return [self.frame, first, row, count, unit, parity, self.thread]

        for function in part.before:

            def before(index: Any, function: Any = function) -> None:
                builder.call(function, arguments(index, I64(0)))

            self._blocks(rows, self.dealt, before)

        def panel(k: Any) -> None:
            unit = builder.mul(k, I64(width))

            def block(index: Any) -> None:
                args = arguments(index, unit)
                if part.tail is None or part.tail is part.full:
                    builder.call(part.full, args)
                    return
                last = builder.icmp_signed("==", k, I64(part.panels - 1))
                with builder.if_else(last) as (then, otherwise):
                    with then:
                        builder.call(part.tail, args)
                    with otherwise:
                        builder.call(part.full, args)

            self._blocks(rows, self.dealt, block)

        loop(builder, low, high, I64(1), panel)

    def _blocks(self, rows: Any, dealt: tuple[Any, Any], work: Any) -> None:
        """`work(index)` for each block of rows that is this thread's."""
        builder = self.builder
        thread, threads = dealt
        blocks = builder.sdiv(builder.add(rows, I64(ROWS - 1)), I64(ROWS))
        back = builder.sub(builder.sub(threads, I64(1)), thread)

        def turn(number: Any) -> None:
            odd = builder.trunc(number, ir.IntType(1))
            place = builder.select(odd, back, thread)
            index = builder.add(builder.mul(number, threads), place)
            with builder.if_then(builder.icmp_signed("<", index, blocks)):
                work(index)

        turns = builder.sdiv(builder.add(blocks, builder.sub(threads, I64(1))), threads)
        loop(builder, I64(0), turns, I64(1), turn)

    # -- resets

    def _with_resets(self, work: Any) -> None:
        """Runs `work` when there are resets; where units are dealt, all wait before and after."""
        builder = self.builder
        wanted = builder.icmp_signed("!=", self.head["resets"], I64(0))
        with builder.if_then(wanted):
            with builder.if_then(self.by_units):
                self._barrier()
            work()
            with builder.if_then(self.by_units):
                self._barrier()

    def _each_reset(self, first: Any, rows: Any, work: Any) -> None:
        """`work(row)` for each of the thread's rows that is marked; rows are dealt as blocks."""
        builder = self.builder
        marks = builder.inttoptr(self.head["resets"], POINTER)

        def block(index: Any) -> None:
            start = builder.mul(index, I64(ROWS))
            rest = builder.sub(rows, start)
            count = builder.select(builder.icmp_signed("<", rest, I64(ROWS)), rest, I64(ROWS))

            def one(row: Any) -> None:
                place = builder.gep(marks, [builder.add(first, row)], source_etype=I8)
                mark = builder.load(place, typ=I8)
                with builder.if_then(builder.icmp_signed("!=", mark, I8(0))):
                    work(row)

            loop(builder, start, builder.add(start, count), I64(1), one)

        self._blocks(rows, (self.thread, self.threads), block)

    def _units(self, array: Array, row: Any, half: Any | None, work: Any) -> None:
        """`work(state address, given address)` for each unit of a state's row."""
        builder = self.builder
        given = self.arrays.table["given." + array.name.removeprefix("state.")]
        start = builder.mul(row, self._entry(array, "stride"))
        if half is not None:
            start = builder.add(start, builder.mul(half, self._entry(array, "half")))
        start = builder.add(start, self._entry(array, "base"))
        other = builder.mul(row, self._entry(given, "stride"))
        other = builder.add(other, self._entry(given, "base"))

        def unit(k: Any) -> None:
            offset = builder.mul(k, I64(self.bytes))
            addresses = [builder.add(start, offset), builder.add(other, offset)]
            work(*(builder.inttoptr(address, POINTER) for address in addresses))

        loop(builder, I64(0), I64(array.size), I64(1), unit)

    def _states(self) -> list[Array]:
        return [array for array in self.arrays.table.values() if array.kind == "state"]

    def _replace(self, first: Any, rows: Any, parity: Any) -> None:
        """Puts the given state in place of a marked row's."""
        builder, element = self.builder, self._element()

        def work(row: Any) -> None:
            for array in self._states():
                self._units(
                    array,
                    row,
                    parity,
                    lambda state, given: builder.store(builder.load(given, typ=element), state),
                )

        self._each_reset(first, rows, work)

    def _collect(self, first: Any, rows: Any, parity: Any) -> None:
        """Adds what is owed to a marked row's state to what is owed to the given one."""
        builder, element = self.builder, self._element()
        written = builder.sub(I64(1), parity)

        def move(state: Any, given: Any) -> None:
            amount = builder.load(state, typ=element)
            builder.store(builder.fadd(builder.load(given, typ=element), amount), given)
            builder.store(ir.Constant(element, 0.0), state)

        def work(row: Any) -> None:
            for array in self._states():
                self._units(array, row, written, move)

        self._each_reset(first, rows, work)

    def _element(self) -> Any:
        return ir.DoubleType() if self.bytes == 8 else ir.FloatType()
