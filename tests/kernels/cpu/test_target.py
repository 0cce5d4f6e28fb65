"""The host, narrower targets on the same machine, and what code for them looks like."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest

from elman.errors import ConfigError
from elman.kernels.cpu import cache, target


def _widths() -> list[int]:
    return [bits for bits in (512, 256, 128) if bits <= target._described().bits]


def _squares(bits: int) -> str:
    """x * x + x over whole vectors, and one number that needs a fused multiplication at the end."""
    lanes = target.restricted(bits).lanes(False)
    vector = f"<{lanes} x float>"
    return f"""
    declare {vector} @llvm.fmuladd.v{lanes}f32({vector}, {vector}, {vector})
    declare float @llvm.fma.f32(float, float, float)
    define void @squares(ptr %x, i64 %count) {{
    entry:
      br label %loop
    loop:
      %i = phi i64 [0, %entry], [%next, %loop]
      %at = getelementptr float, ptr %x, i64 %i
      %v = load {vector}, ptr %at, align 4
      %y = call {vector} @llvm.fmuladd.v{lanes}f32({vector} %v, {vector} %v, {vector} %v)
      store {vector} %y, ptr %at, align 4
      %next = add i64 %i, {lanes}
      %more = icmp slt i64 %next, %count
      br i1 %more, label %loop, label %out
    out:
      %s = load float, ptr %x, align 4
      %f = call float @llvm.fma.f32(float %s, float %s, float 1.0)
      store float %f, ptr %x, align 4
      ret void
    }}"""


def test_host_has_a_known_width() -> None:
    here = target.host()
    assert here.bits in (128, 256, 512)
    assert here.lanes(False) == 2 * here.lanes(True) == here.bits // 32
    assert here.registers in (16, 32)
    assert here is target.host()


@pytest.mark.parametrize("bits", _widths())
def test_every_width_gives_the_same_numbers(
    bits: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELMAN_CACHE_DIR", str(tmp_path))
    narrow = target.restricted(bits)
    assert narrow.bits == bits
    library = cache.load("test.squares", lambda: _squares(bits), narrow)
    x = np.arange(64, dtype=np.float32)
    expected = x * x + x
    expected[0] = 1
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(library.address("squares"))
    call(x.ctypes.data, x.size)
    np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize("bits", _widths())
def test_wider_registers_are_not_touched(bits: int) -> None:
    narrow = target.restricted(bits)
    if narrow.architecture != "x86_64":
        pytest.skip("only x86-64 has several widths")
    # The widest vectors asked for, whatever the target: LLVM has to split them.
    module = llvm.parse_assembly(_squares(_widths()[0]))
    assembly = narrow.machine().emit_assembly(module)
    used = set(re.findall(r"%([xyz])mm", assembly))
    allowed = {128: {"x"}, 256: {"x", "y"}, 512: {"x", "y", "z"}}[bits]
    assert used <= allowed
    assert {128: "x", 256: "y", 512: "z"}[bits] in used
    assert narrow.registers == (32 if bits == 512 else 16)
    assert narrow.fused == ("vfmadd" in assembly)


def test_processors_that_prefer_narrow_vectors_get_wide_ones() -> None:
    if target._described().bits != 512:
        pytest.skip("the machine has no 512-bit vectors")
    wide = target._described()
    picky = target.Target(wide.triple, "icelake-server", wide.features, 512)
    assembly = picky.machine().emit_assembly(llvm.parse_assembly(_squares(512)))
    assert "%zmm" in assembly


def test_the_environment_restricts_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELMAN_CPU_BITS", "128")
    assert target.host().bits == 128
    monkeypatch.setenv("ELMAN_CPU_BITS", "100")
    with pytest.raises(ConfigError, match=r"ELMAN_CPU_BITS: 100 bits .* It has .*128"):
        target.host()
    monkeypatch.setenv("ELMAN_CPU_BITS", "wide")
    with pytest.raises(ConfigError, match=r'ELMAN_CPU_BITS: "wide" is not a number'):
        target.host()
