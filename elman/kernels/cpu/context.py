"""Kernels that read 64-bit numbers from their context: `void name(context, thread, threads)`."""

from __future__ import annotations

from typing import Any

from llvmlite import ir as _llvm_ir

from elman.kernels.cpu.memory import I64, POINTER
from elman.kernels.cpu.target import Target
from elman.kernels.cpu.vectors import Vectors

ir: Any = _llvm_ir


class ContextWriter:
    """What writing such a kernel for a target begins with."""

    def __init__(self, target: Target, double: bool) -> None:
        self.target, self.double = target, double
        self.bytes = 8 if double else 4
        self.lanes = target.lanes(double)

    def begin(self, name: str) -> tuple[Any, Any]:
        """Opens the function; the thread's number and how many there are."""
        self.module = ir.Module(name="elman")
        self.module.triple = self.target.triple
        kind = ir.FunctionType(ir.VoidType(), [POINTER, I64, I64])
        function = ir.Function(self.module, kind, name)
        self.builder: Any = ir.IRBuilder(function.append_basic_block("entry"))
        self.vectors = Vectors(self.builder, self.lanes, self.double)
        self.context, *threads = function.args
        return tuple(threads)

    def field(self, number: Any) -> Any:
        """A number of the context."""
        place = self.builder.gep(self.context, [number], source_etype=I64)
        return self.builder.load(place, typ=I64)

    def at(self, base: Any, number: Any, distance: Any) -> Any:
        """`base + number * distance`."""
        return self.builder.add(base, self.builder.mul(number, distance))

    def pointer(self, address: Any) -> Any:
        """An address that is a number as one to read from."""
        return self.builder.inttoptr(address, POINTER)

    def share(self, count: Any, thread: Any, threads: Any) -> tuple[Any, Any]:
        """The first of `count` things that are this thread's, and the one behind the last."""
        builder = self.builder
        low = builder.sdiv(builder.mul(count, thread), threads)
        high = builder.sdiv(builder.mul(count, builder.add(thread, I64(1))), threads)
        return low, high
