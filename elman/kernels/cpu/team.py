"""Kernels on several threads, and what generated code needs to run there.

A kernel is a function `void kernel(void *context, int64 thread, int64 threads)`. Where torch's
operators run on an OpenMP runtime that offers `GOMP_parallel` (libgomp, and the compatible parts of
libomp and libiomp5 on Linux), kernels run on the very same team: its workers spin for a while after
each of torch's operators, and a second pool would have to fight them for the processors. Elsewhere
a pool of this module's own does the work.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import threading
from collections.abc import Callable

import torch

from elman.kernels import openmp
from elman.kernels.cpu import cache, target
from elman.kernels.cpu.barrier import (
    BARRIER_BYTES,
    emit_barrier,
    emit_flush_to_zero,
    emit_restore,
)

__all__ = [
    "BARRIER_BYTES",
    "available",
    "emit_barrier",
    "emit_flush_to_zero",
    "emit_restore",
    "run",
]

# `direct` runs one thread's share. `spread` runs the kernel on the team of the OpenMP runtime whose
# functions stand in the table, `openmp.runtime`. A team is never made smaller than torch has it,
# since the runtime would end threads and start them again; members above the number wanted have
# nothing to do.
_DISPATCH = """
define void @direct(ptr %kernel, ptr %context, i64 %thread, i64 %threads) {
  tail call void %kernel(ptr %context, i64 %thread, i64 %threads)
  ret void
}

define void @spread(ptr %table, ptr %kernel, ptr %context, i64 %threads, i64 %team) {
  %block = alloca [4 x i64], align 8
  %parallel = load ptr, ptr %table, align 8
  store ptr %table, ptr %block, align 8
  %second = getelementptr i64, ptr %block, i64 1
  store ptr %kernel, ptr %second, align 8
  %third = getelementptr i64, ptr %block, i64 2
  store ptr %context, ptr %third, align 8
  %fourth = getelementptr i64, ptr %block, i64 3
  store i64 %threads, ptr %fourth, align 8
  %size = trunc i64 %team to i32
  call void %parallel(ptr @member, ptr %block, i32 %size, i32 0)
  ret void
}

define internal void @member(ptr %block) {
  %table = load ptr, ptr %block, align 8
  %second = getelementptr i64, ptr %block, i64 1
  %kernel = load ptr, ptr %second, align 8
  %third = getelementptr i64, ptr %block, i64 2
  %context = load ptr, ptr %third, align 8
  %fourth = getelementptr i64, ptr %block, i64 3
  %wanted = load i64, ptr %fourth, align 8
  %number_at = getelementptr ptr, ptr %table, i64 1
  %number_of = load ptr, ptr %number_at, align 8
  %size_at = getelementptr ptr, ptr %table, i64 2
  %size_of = load ptr, ptr %size_at, align 8
  %number = call i32 %number_of()
  %size = call i32 %size_of()
  %thread = sext i32 %number to i64
  %there = sext i32 %size to i64
  %fewer = icmp slt i64 %there, %wanted
  %threads = select i1 %fewer, i64 %there, i64 %wanted
  %needed = icmp slt i64 %thread, %threads
  br i1 %needed, label %work, label %done
work:
  call void %kernel(ptr %context, i64 %thread, i64 %threads)
  br label %done
done:
  ret void
}
"""


def available() -> int:
    """Threads that a kernel may use: as many as torch's own operators."""
    return 1 if openmp.state.lost else torch.get_num_threads()


def run(kernel: int, context: int, threads: int) -> None:
    """Runs the kernel at address `kernel` on up to `threads` threads and waits for all of them.

    The kernel is told how many threads there really are, and they all run at the same time, so that
    they may wait for each other. Other Python threads go on meanwhile, and may call this too.
    """
    if threads <= 1 or openmp.state.lost:
        _direct()(kernel, context, 0, 1)
        return
    runtime = openmp.runtime() if openmp.state.shares_runtime else None
    if runtime is None:
        _pool.run(kernel, context, threads)
        return
    openmp.state.used = True
    team = max(threads, torch.get_num_threads())
    _spread()(ctypes.addressof(runtime), kernel, context, threads, team)


class _Pool:
    """Threads of our own, for where torch's cannot be had. One kernel at a time."""

    def __init__(self) -> None:
        self._busy = threading.Lock()
        self._workers: list[_Worker] = []

    def forget(self) -> None:
        """Starts afresh: in a forked child the threads do not exist."""
        self.__init__()

    def run(self, kernel: int, context: int, threads: int) -> None:
        """As the module's `run`; alone in the caller while another kernel has the pool."""
        if not self._busy.acquire(blocking=False):
            _direct()(kernel, context, 0, 1)
            return
        try:
            workers = self._ready(threads - 1)
            share = functools.partial(_direct(), kernel, context)
            total = len(workers) + 1
            for number, worker in enumerate(workers, start=1):
                worker.start(functools.partial(share, number, total))
            try:
                share(0, total)
            finally:
                for worker in workers:
                    worker.wait()
        finally:
            self._busy.release()

    def _ready(self, count: int) -> list[_Worker]:
        # At a limit on threads, or while the interpreter ends, those that there are must do.
        with contextlib.suppress(RuntimeError):
            while len(self._workers) < count:
                self._workers.append(_Worker())
        return self._workers[:count]


class _Worker:
    """A parked thread that does one piece of work at a time."""

    def __init__(self) -> None:
        self._work: Callable[[], None] | None = None
        self._given = threading.Semaphore(0)
        self._done = threading.Semaphore(0)
        threading.Thread(target=self._serve, name="elman-kernel", daemon=True).start()

    def start(self, work: Callable[[], None]) -> None:
        """Hands over `work`."""
        self._work = work
        self._given.release()

    def wait(self) -> None:
        """Returns when the work is done, and not before: it uses the caller's memory."""
        interrupted: KeyboardInterrupt | None = None
        waiting = True
        while waiting:
            try:
                waiting = not self._done.acquire()
            except KeyboardInterrupt as interrupt:
                interrupted = interrupt
        if interrupted is not None:
            raise interrupted

    def _serve(self) -> None:
        while True:
            self._given.acquire()
            if self._work is not None:
                self._work()
            self._done.release()


@functools.cache
def _library() -> cache.Library:
    return cache.load(_DISPATCH, lambda: _DISPATCH, target.host())


@functools.cache
def _direct() -> Callable[[int, int, int, int], None]:
    kinds = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]
    return ctypes.CFUNCTYPE(None, *kinds)(_library().address("direct"))


@functools.cache
def _spread() -> Callable[[int, int, int, int, int], None]:
    kinds = [ctypes.c_void_p] * 3 + [ctypes.c_int64] * 2
    return ctypes.CFUNCTYPE(None, *kinds)(_library().address("spread"))


_pool = _Pool()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.forget)
