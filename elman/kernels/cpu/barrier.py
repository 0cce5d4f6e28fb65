"""What generated code does for its threads' sake: it waits for them and sets their float mode."""

from __future__ import annotations

import os
from typing import Any

from llvmlite import ir as _llvm_ir

from elman.kernels.cpu import target

_ir: Any = _llvm_ir

BARRIER_BYTES = 256
"""Room for a barrier, all zero at first: two numbers, no two on one line, nor on a pair of lines
that the processor fetches together."""

_GENERATION = BARRIER_BYTES // 2
# About 20 to 60 microseconds: longer than threads that all run are apart, shorter than the time
# slice of whatever keeps one of them from running.
_SPINS = 1000
_FLUSH = 0x8040  # MXCSR: results flush to zero (bit 15), operands count as zero (bit 6)


def emit_barrier(module: Any, builder: Any, pointer: Any, threads: Any) -> None:
    """Emits a wait, at `builder`'s place, until `threads` threads have come here.

    What a thread wrote before the barrier is seen by all after it. The same room serves any number
    of barriers, one after the other; it is zero again, but for the generation, when all have left.

    Args:
        module: the llvmlite module; it gets one function for all its barriers.
        builder: stands where the wait shall be.
        pointer: to `BARRIER_BYTES` bytes, zero before the first use, 8-byte aligned at least.
        threads: an int64 value, the same in every thread.
    """
    name = "elman.barrier"
    function = module.globals.get(name)
    if function is None:
        function = _barrier(module, name)
    builder.call(function, [pointer, threads])


def emit_flush_to_zero(module: Any, builder: Any) -> Any:
    """Emits what makes this thread take denormal numbers for zero; gives the old mode.

    Call it at the kernel's entry. A single denormal costs a hundred times a normal number, and
    states that die away produce them in masses. Elsewhere than on x86-64 nothing is emitted.
    """
    if target.host().architecture != "x86_64":
        return _int(32)(0)
    slot = _slot(builder)
    builder.call(_mode_function(module, "llvm.x86.sse.stmxcsr"), [slot])
    saved = builder.load(slot, typ=_int(32))
    builder.store(builder.or_(saved, _int(32)(_FLUSH)), slot)
    builder.call(_mode_function(module, "llvm.x86.sse.ldmxcsr"), [slot])
    return saved


def emit_restore(module: Any, builder: Any, saved: Any) -> None:
    """Emits what puts back the mode that `emit_flush_to_zero` gave. Call it at every exit."""
    if target.host().architecture != "x86_64":
        return
    slot = _slot(builder)
    builder.store(saved, slot)
    builder.call(_mode_function(module, "llvm.x86.sse.ldmxcsr"), [slot])


def _int(bits: int) -> Any:
    return _ir.IntType(bits)


def _slot(builder: Any) -> Any:
    with builder.goto_entry_block():
        return builder.alloca(_int(32))


def _mode_function(module: Any, name: str) -> Any:
    return _declared(module, name, _ir.VoidType(), [_ir.PointerType()])


def _declared(module: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    known = module.globals.get(name)
    if known is not None:
        return known
    return _ir.Function(module, _ir.FunctionType(result, arguments), name)


def _barrier(module: Any, name: str) -> Any:
    """The function of two numbers in memory: threads that have come, and barriers passed.

    The last to come sets the first back to zero, then counts the second up, and all others wait
    for the second to change. A thread can be at the next barrier before a slow one has left this
    one: it counts in the first number, which nobody looks at while waiting.
    """
    word = _int(64)
    kind = _ir.FunctionType(_ir.VoidType(), [_ir.PointerType(), word])
    function = _ir.Function(module, kind, name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    count, threads = function.args
    blocks = {
        label: function.append_basic_block(label)
        for label in ("entry", "come", "last", "wait", "spin", "yield", "done")
    }
    builder = _ir.IRBuilder(blocks["entry"])
    alone = builder.icmp_signed("<=", threads, word(1))
    builder.cbranch(alone, blocks["done"], blocks["come"])

    builder.position_at_end(blocks["come"])
    passed = builder.gep(count, [word(_GENERATION)], source_etype=_int(8))
    before = builder.load_atomic(passed, "monotonic", 8, typ=word)
    others = builder.atomic_rmw("add", count, word(1), "acq_rel")
    is_last = builder.icmp_signed("==", others, builder.sub(threads, word(1)))
    builder.cbranch(is_last, blocks["last"], blocks["wait"])

    builder.position_at_end(blocks["last"])
    # Exchanges, since llvmlite's atomic store wants to know what the pointer points to.
    builder.atomic_rmw("xchg", count, word(0), "monotonic")
    builder.atomic_rmw("xchg", passed, builder.add(before, word(1)), "release")
    builder.branch(blocks["done"])

    builder.position_at_end(blocks["wait"])
    spins = builder.phi(word)
    now = builder.load_atomic(passed, "acquire", 8, typ=word)
    waiting = builder.icmp_signed("==", now, before)
    builder.cbranch(waiting, blocks["spin"], blocks["done"])

    builder.position_at_end(blocks["spin"])
    _pause(module, builder)
    more = builder.add(spins, word(1))
    spins.add_incoming(word(0), blocks["come"])
    spins.add_incoming(more, blocks["spin"])
    spins.add_incoming(more, blocks["yield"])
    patient = builder.icmp_signed("<", more, word(_SPINS))
    builder.cbranch(patient, blocks["wait"], blocks["yield"])

    builder.position_at_end(blocks["yield"])
    if os.name == "posix":
        # With more threads than processors the one that is waited for may need this one's place.
        builder.call(_declared(module, "sched_yield", _int(32), []), [])
    builder.branch(blocks["wait"])

    builder.position_at_end(blocks["done"])
    builder.ret_void()
    return function


def _pause(module: Any, builder: Any) -> None:
    """Tells the processor that this is a waiting loop."""
    architecture = target.host().architecture
    if architecture == "x86_64":
        builder.call(_declared(module, "llvm.x86.sse2.pause", _ir.VoidType(), []), [])
    elif architecture == "aarch64":
        hint = _declared(module, "llvm.aarch64.hint", _ir.VoidType(), [_int(32)])
        builder.call(hint, [_int(32)(1)])
