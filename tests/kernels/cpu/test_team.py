"""Kernels on several threads: races, callers at once, forks, and the float mode."""

from __future__ import annotations

import functools
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from llvmlite import ir

from elman.kernels import openmp
from elman.kernels.cpu import cache, target, team

I8, I64, FLOAT = ir.IntType(8), ir.IntType(64), ir.FloatType()
POINTER = ir.PointerType()
KIND = ir.FunctionType(ir.VoidType(), [POINTER, I64, I64])
# What a context holds: the barrier, then rounds, threads seen, and a number for every thread.
ROUNDS, SEEN, VALUES = team.BARRIER_BYTES // 8, team.BARRIER_BYTES // 8 + 1, 40
SIZE = VALUES + 64


def _kernel(module: ir.Module, name: str) -> tuple[ir.IRBuilder, list[ir.Value]]:
    function = ir.Function(module, KIND, name)
    return ir.IRBuilder(function.append_basic_block()), list(function.args)


def _at(builder: ir.IRBuilder, context: ir.Value, index: ir.Value) -> ir.Value:
    return builder.gep(context, [index], source_etype=I64)


def _rounds(module: ir.Module) -> None:
    """Every thread adds its number to what its neighbour has, again and again."""
    builder, (context, thread, threads) = _kernel(module, "rounds")
    builder.store(threads, _at(builder, context, I64(SEEN)))
    rounds = builder.load(_at(builder, context, I64(ROUNDS)), typ=I64)
    mine = _at(builder, context, builder.add(thread, I64(VALUES)))
    neighbour = builder.urem(builder.add(thread, I64(1)), threads)
    theirs = _at(builder, context, builder.add(neighbour, I64(VALUES)))
    start, body = builder.block, builder.append_basic_block()
    builder.branch(body)
    builder.position_at_end(body)
    done = builder.phi(I64)
    value = builder.load(theirs, typ=I64)
    team.emit_barrier(module, builder, context, threads)
    total = builder.add(value, builder.load(mine, typ=I64))
    builder.store(builder.add(total, builder.add(thread, I64(1))), mine)
    team.emit_barrier(module, builder, context, threads)
    following = builder.add(done, I64(1))
    done.add_incoming(I64(0), start)
    done.add_incoming(following, builder.block)
    out = builder.append_basic_block()
    builder.cbranch(builder.icmp_signed("<", following, rounds), body, out)
    builder.position_at_end(out)
    builder.ret_void()


def _product(module: ir.Module, name: str, flush: bool) -> None:
    """Every thread multiplies the two floats in its own place; the product takes the place."""
    builder, (context, thread, _) = _kernel(module, name)
    saved = team.emit_flush_to_zero(module, builder) if flush else None
    place = _at(builder, context, builder.add(thread, I64(VALUES)))
    second = builder.gep(place, [I64(1)], source_etype=FLOAT)
    product = builder.fmul(builder.load(place, typ=FLOAT), builder.load(second, typ=FLOAT))
    builder.store(product, place)
    if flush:
        team.emit_restore(module, builder, saved)
    builder.ret_void()


def _text() -> str:
    module = ir.Module()
    _rounds(module)
    _product(module, "flushed", flush=True)
    _product(module, "plain", flush=False)
    return str(module)


@functools.cache
def _address(name: str) -> int:
    text = _text()
    return cache.load(text, lambda: text, target.host()).address(name)


def _expected(threads: int, rounds: int) -> np.ndarray:
    values = np.zeros(threads, dtype=np.int64)
    with np.errstate(over="ignore"):
        for _ in range(rounds):
            values = values + np.roll(values, -1) + np.arange(1, threads + 1)
    return values


def _check_rounds(threads: int, rounds: int = 1000) -> int:
    """Runs the kernel, compares, and gives how many threads there really were."""
    context = np.zeros(SIZE + 8, dtype=np.int64)
    context[ROUNDS] = rounds
    team.run(_address("rounds"), context.ctypes.data, threads)
    seen = int(context[SEEN])
    np.testing.assert_array_equal(context[VALUES : VALUES + seen], _expected(seen, rounds))
    assert not context[VALUES + seen :].any()
    assert context[0] == 0
    return seen


@pytest.fixture(autouse=True)
def _two_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("ELMAN_CACHE_DIR", str(tmp_path))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def own_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openmp.state, "shares_runtime", False)


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
def test_barriers_keep_threads_together(threads: int) -> None:
    assert _check_rounds(threads) == threads


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
@pytest.mark.usefixtures("own_pool")
def test_the_pool_does_the_same(threads: int) -> None:
    assert _check_rounds(threads) == threads


def test_team_of_torch_is_shared() -> None:
    if openmp.runtime() is None:
        pytest.skip("torch's threads are not to be had")
    torch.tanh(torch.zeros(1_000_000))
    before = set(Path("/proc/self/task").iterdir())
    assert _check_rounds(2) == 2
    assert set(Path("/proc/self/task").iterdir()) <= before  # no new one; others may end


def test_torch_decides_how_many() -> None:
    assert team.available() == 2
    torch.set_num_threads(1)
    assert team.available() == 1
    torch.set_num_threads(3)
    assert team.available() == 3


def test_a_smaller_team_than_torch_has() -> None:
    torch.set_num_threads(4)
    for threads in (2, 3, 1, 4):
        assert _check_rounds(threads, rounds=100) == threads


def _at_once() -> list[int]:
    seen: list[int] = []
    callers = [
        threading.Thread(target=lambda: seen.extend(_check_rounds(2, 300) for _ in range(5)))
        for _ in range(4)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    return seen


def test_several_callers_at_once() -> None:
    assert _at_once() == [2] * 20


@pytest.mark.usefixtures("own_pool")
def test_several_callers_of_the_pool_at_once() -> None:
    seen = _at_once()
    assert len(seen) == 20 and set(seen) <= {1, 2}


class _InBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        assert _check_rounds(2, 50) == 2
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        assert _check_rounds(2, 50) == 2
        return gradient


def test_inside_autograd() -> None:
    def work() -> None:
        x = torch.ones(3, requires_grad=True)
        _InBackward.apply(x).sum().backward()
        passed.append(bool((x.grad == 1).all()))

    passed: list[bool] = []
    work()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    assert passed == [True, True]


def _in_child(answers: multiprocessing.Queue) -> None:
    total = float(torch.ones(1_000_000).tanh().sum()) if not openmp.state.lost else 0.0
    answers.put((team.available(), _check_rounds(2), total > 0))


def _forked() -> tuple[int, int, bool]:
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=_in_child, args=(answers,))
    child.start()
    try:
        return answers.get(timeout=30)
    finally:
        child.join(10)
        child.kill()


fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
quiet = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@fork
@quiet
def test_after_a_fork_both_sides_have_a_team() -> None:
    torch.ones(1_000_000).tanh()  # torch's own operators would hang in the child
    assert _check_rounds(2) == 2
    assert _forked() == (2, 2, True)
    assert _check_rounds(2) == 2
    assert _forked() == (2, 2, True)


@fork
@quiet
def test_where_the_team_cannot_be_dissolved_the_child_is_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if openmp.runtime() is None:
        pytest.skip("torch's threads are not to be had")
    monkeypatch.setattr(openmp, "dissolve", lambda: None)
    assert _check_rounds(2) == 2
    assert _forked() == (1, 1, False)
    assert _check_rounds(2) == 2


@fork
@quiet
@pytest.mark.usefixtures("own_pool")
def test_after_a_fork_the_pool_starts_afresh() -> None:
    assert _check_rounds(2) == 2
    context = multiprocessing.get_context("fork")
    child = context.Process(target=_check_rounds, args=(2,))
    child.start()
    child.join(30)
    child.kill()
    assert child.exitcode == 0


_LIMITED = """
import ctypes, torch
from elman.kernels.cpu import cache, target, team
text = '''define void @count(ptr %to, i64 %thread, i64 %threads) {
  %at = getelementptr i64, ptr %to, i64 %thread
  store i64 %threads, ptr %at
  ret void
}'''
address = cache.load("test.limited", lambda: text, target.host()).address("count")
seen = (ctypes.c_int64 * 8)()
team.run(address, ctypes.addressof(seen), 4)
print(list(seen))
"""


def test_a_kernel_knows_how_many_there_really_are() -> None:
    if openmp.runtime() is None:
        pytest.skip("torch's threads are not to be had")
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED],
        env={**os.environ, "OMP_THREAD_LIMIT": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str([3, 3, 3, 0, 0, 0, 0, 0])


@pytest.mark.parametrize("threads", [1, 2])
def test_denormals_are_zero_in_the_kernel_only(threads: int) -> None:
    if target.host().architecture != "x86_64":
        pytest.skip("nothing is emitted for this processor")

    def products(name: str) -> np.ndarray:
        context = np.zeros(SIZE, dtype=np.int64)
        floats = context.view(np.float32)[2 * VALUES : 2 * VALUES + 2 * threads]
        floats[:] = np.array([1e-30, 1e-10] * threads, dtype=np.float32)
        team.run(_address(name), context.ctypes.data, threads)
        return floats[::2]

    assert (products("plain") > 0).all()
    assert (products("flushed") == 0).all()
    assert (products("plain") > 0).all()
    assert np.float32(1e-30) * np.float32(1e-10) > 0


@pytest.mark.usefixtures("own_pool")
def test_the_pool_runs_one_kernel_at_a_time() -> None:
    with team._pool._busy:
        assert _check_rounds(2) == 1
    assert _check_rounds(2) == 2


@pytest.mark.usefixtures("own_pool")
def test_without_new_threads_the_pool_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(team, "_pool", team._Pool())
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert _check_rounds(4) == 1
