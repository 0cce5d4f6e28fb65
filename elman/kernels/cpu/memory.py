"""Reading and writing the arrays of a kernel, and counting loops over them, as LLVM code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir as _llvm_ir

from elman.kernels.cpu.arrays import Array, Arrays, Storage
from elman.kernels.cpu.shapes import Shape
from elman.kernels.cpu.vectors import Vectors

ir: Any = _llvm_ir

I64 = ir.IntType(64)
I8 = ir.IntType(8)
POINTER = ir.PointerType()


@dataclass(frozen=True)
class Place:
    """Where a tile lies: LLVM values, `first` = the step's first row in the streams."""

    first: Any
    row: Any
    unit: Any
    parity: Any
    thread: Any


class Addresses:
    """The frame's entries, loaded once at the beginning of a function."""

    def __init__(self, arrays: Arrays, builder: Any, frame: Any) -> None:
        self.arrays, self.builder, self.frame = arrays, builder, frame
        self._known: dict[tuple[str, str], Any] = {}

    def entry(self, array: Array, part: str) -> Any:
        """A slot of the frame; `prepare` first, so that the load stands outside of the loops."""
        return self._known[array.name, part]

    def prepare(self, array: Array) -> None:
        """Loads what the addresses of an array need."""
        for part in ("base", "stride", "half"):
            if (array.name, part) not in self._known:
                slot = self.arrays.slot(array, part)
                place = self.builder.gep(self.frame, [I64(slot)], source_etype=I64)
                self._known[array.name, part] = self.builder.load(place, typ=I64)

    def row(self, builder: Any, array: Array, place: Place, row: int, *, written: bool) -> Any:
        """The address of unit 0 of a row of a tile, as an integer.

        `written`: the half of a state that this step writes, not the one it reads.
        """
        address = self.entry(array, "base")
        if array.kind in ("vector", "weights"):
            return address
        if array.kind == "sum":
            return builder.add(address, builder.mul(place.thread, self.entry(array, "stride")))
        if array.kind == "scratch":
            address = builder.add(address, builder.mul(place.thread, self.entry(array, "half")))
        number = builder.add(place.row, I64(row)) if row else place.row
        if array.kind == "stream":
            number = builder.add(number, place.first)
        if array.kind in ("state", "passed"):
            half = place.parity
            if written:
                half = builder.sub(I64(1), half)
            address = builder.add(address, builder.mul(half, self.entry(array, "half")))
        return builder.add(address, builder.mul(number, self.entry(array, "stride")))


def loop(
    builder: Any,
    start: Any,
    stop: Any,
    step: Any,
    body: Callable[[Any], None],
) -> None:
    """`for k in range(start, stop, step): body(k)`; the body may run no time at all."""
    before = builder.block
    head = builder.append_basic_block("head")
    inside = builder.append_basic_block("body")
    after = builder.append_basic_block("after")
    builder.branch(head)
    builder.position_at_end(head)
    k = builder.phi(I64)
    k.add_incoming(start, before)
    builder.cbranch(builder.icmp_signed("<", k, stop), inside, after)
    builder.position_at_end(inside)
    body(k)
    k.add_incoming(builder.add(k, step), builder.block)
    builder.branch(head)
    builder.position_at_end(after)


def masked_load(module: Any, builder: Any, pointer: Any, mask: Any, vectors: Vectors) -> Any:
    """The lanes of a vector where the mask is set, 0 elsewhere; the rest of memory is not read."""
    name = f"llvm.masked.load.{_suffix(vectors)}.p0"
    kind = ir.FunctionType(vectors.type, [POINTER, mask.type, vectors.type])
    function = module.globals.get(name) or ir.Function(module, kind, name)
    return builder.call(function, [pointer, mask, vectors.constant(0.0)])


def lanes_below(builder: Any, start: Any, limit: Any, lanes: int) -> Any:
    """A mask: which of `lanes` numbers from `start` on lie below `limit`."""
    kind = ir.VectorType(I64, lanes)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), start, ir.IntType(32)(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), None)
    every = builder.shuffle_vector(one, one, zeros)
    places = builder.add(every, ir.Constant(kind, [I64(k) for k in range(lanes)]))
    other = builder.insert_element(ir.Constant(kind, ir.Undefined), limit, ir.IntType(32)(0))
    return builder.icmp_signed("<", places, builder.shuffle_vector(other, other, zeros))


def load_part(module: Any, builder: Any, start: Any, unit: int, size: int, vectors: Vectors) -> Any:
    """The vector from `unit` on of a row of `size` numbers that begins at `start`; 0 beyond."""
    bytes_ = 8 if vectors.double else 4
    pointer = builder.inttoptr(builder.add(start, I64(unit * bytes_)), POINTER)
    if unit + vectors.lanes <= size:
        return builder.load(pointer, typ=vectors.type, align=bytes_)
    bits = [ir.IntType(1)(int(unit + k < size)) for k in range(vectors.lanes)]
    mask = ir.Constant(ir.VectorType(ir.IntType(1), vectors.lanes), bits)
    return masked_load(module, builder, pointer, mask, vectors)


def masked_store(
    module: Any,
    builder: Any,
    value: Any,
    pointer: Any,
    mask: Any,
    vectors: Vectors,
) -> None:
    """Writes the lanes of a vector where the mask is set."""
    name = f"llvm.masked.store.{_suffix(vectors)}.p0"
    kind = ir.FunctionType(ir.VoidType(), [vectors.type, POINTER, mask.type])
    function = module.globals.get(name) or ir.Function(module, kind, name)
    builder.call(function, [value, pointer, mask])


def prefetch(module: Any, builder: Any, pointer: Any) -> None:
    """Has a line of memory fetched that is soon read and written."""
    name = "llvm.prefetch.p0"
    flag = ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [POINTER, flag, flag, flag])
    function = module.globals.get(name) or ir.Function(module, kind, name)
    builder.call(function, [pointer, flag(1), flag(3), flag(1)])  # to write, all caches, data


def _suffix(vectors: Vectors) -> str:
    return f"v{vectors.lanes}f{64 if vectors.double else 32}"


def weight_bytes(storage: Storage, shape: Shape) -> int:
    """The size of a packed weight."""
    return {"full": shape.bytes, "bfloat16": 2, "brain": 2, "int8": 1}[storage]


def load_weights(builder: Any, pointer: Any, vectors: Vectors, storage: Storage) -> Any:
    """A vector of packed weights as the kernel's own numbers."""
    lanes = vectors.lanes
    if storage == "full":
        align = min(64, lanes * (8 if vectors.double else 4))
        return builder.load(pointer, typ=vectors.type, align=align)
    wide = ir.VectorType(ir.IntType(32), lanes)
    if storage == "int8":
        small = builder.load(pointer, typ=ir.VectorType(I8, lanes), align=1)
        return builder.sitofp(builder.sext(small, wide), vectors.type)
    # A bfloat16 is the upper half of a float32.
    half = builder.load(pointer, typ=ir.VectorType(ir.IntType(16), lanes), align=2)
    shift = ir.Constant(wide, [ir.IntType(32)(16)] * lanes)
    return builder.bitcast(builder.shl(builder.zext(half, wide), shift), vectors.type)
