"""Machine code on disk: what is used again, what is not trusted, and who may write."""

from __future__ import annotations

import ctypes
import math
import multiprocessing
import os
import threading
from collections.abc import Callable
from pathlib import Path

import llvmlite.binding
import pytest

from elman.kernels.cpu import cache, target

FLOATS = """acos asin atan atan2 cbrt ceil cos cosh erf erfc exp exp2 expm1 fabs floor fma fmax fmin
fmod hypot log log10 log1p log2 pow round sin sinh sqrt tan tanh tgamma lgamma trunc""".split()
TWO = {"atan2", "fmax", "fmin", "fmod", "hypot", "pow"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "kernels"
    monkeypatch.setenv("ELMAN_CACHE_DIR", str(place))
    monkeypatch.setattr(cache, "_libraries", {})
    return place


def _constant(value: int) -> str:
    return f"define i64 @answer() {{\n  ret i64 {value}\n}}"


def _answer(key: str, make: Callable[[], str] | None = None) -> int:
    """Loads without what this process remembers; without `make`, only the disk may answer."""
    cache._libraries.clear()
    library = cache.load(key, make or _never, target.host())
    return ctypes.CFUNCTYPE(ctypes.c_int64)(library.address("answer"))()


def _never() -> str:
    raise AssertionError("compiled although it was kept")


def _only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_a_second_process_compiles_nothing(folder: Path) -> None:
    assert _answer("a", lambda: _constant(7)) == 7
    assert _answer("a") == 7
    assert cache.entries() == cache.Entries(folder, 1, _only_file(folder).stat().st_size)


def test_a_change_of_whatever_plans_code_makes_it_stale(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Code made after one schedule and called after another reads memory that is not there.
    names = {path.name for path in cache._sources()}
    assert {"schedule.py", "lower.py", "differentiate.py", "saving.py", "tile.py"} <= names
    source = tmp_path / "schedule.py"
    source.write_text("one")
    monkeypatch.setattr(cache, "_sources", lambda: [source])
    cache._writers.cache_clear()
    assert _answer("a", lambda: _constant(7)) == 7
    source.write_text("two")
    cache._writers.cache_clear()
    assert _answer("a", lambda: _constant(8)) == 8
    cache._writers.cache_clear()


def test_a_process_loads_once(folder: Path) -> None:
    first = cache.load("a", lambda: _constant(7), target.host())
    _only_file(folder).unlink()
    assert cache.load("a", _never, target.host()) is first


def test_keys_versions_and_targets_differ(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _answer("a", lambda: _constant(1)) == 1
    assert _answer("b", lambda: _constant(2)) == 2
    monkeypatch.setenv("ELMAN_CPU_BITS", "128")
    narrow = 1 if target.host() == target._described() else 3
    assert _answer("a", lambda: _constant(narrow)) == narrow
    monkeypatch.setattr("elman.__version__", "999")
    assert _answer("a", lambda: _constant(4)) == 4
    assert cache.entries().count == (3 if narrow == 1 else 4)


def test_unknown_functions_are_named(folder: Path) -> None:
    library = cache.load("a", lambda: _constant(7), target.host())
    with pytest.raises(KeyError, match="no function 'question'; there are: answer"):
        library.address("question")


@pytest.mark.parametrize("place", [0, 8, 20, 50, 60, 80, 200, -1])
def test_a_flipped_bit_is_noticed(folder: Path, place: int) -> None:
    assert _answer("a", lambda: _constant(7)) == 7
    path = _only_file(folder)
    good = path.read_bytes()
    bad = bytearray(good)
    bad[place] ^= 1
    path.write_bytes(bad)
    assert _answer("a", lambda: _constant(8)) == 8
    assert _answer("a") == 8


@pytest.mark.parametrize("length", [0, 1, 40, 91, 92, 300, -1])
def test_a_truncated_file_is_noticed(folder: Path, length: int) -> None:
    assert _answer("a", lambda: _constant(7)) == 7
    path = _only_file(folder)
    path.write_bytes(path.read_bytes()[:length])
    assert _answer("a", lambda: _constant(8)) == 8
    path.write_bytes(path.read_bytes() + b"\0")
    assert _answer("a", lambda: _constant(9)) == 9


def test_another_kernels_file_is_not_used(folder: Path) -> None:
    assert _answer("a", lambda: _constant(7)) == 7
    other = _only_file(folder)
    assert _answer("b", lambda: _constant(8)) == 8
    (path,) = set(folder.iterdir()) - {other}
    path.write_bytes(other.read_bytes())
    assert _answer("b", lambda: _constant(9)) == 9


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="the system has no owners of files")
@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646])
def test_a_file_that_others_may_write_is_not_used(folder: Path, mode: int) -> None:
    assert _answer("a", lambda: _constant(7)) == 7
    _only_file(folder).chmod(mode)
    assert _answer("a", lambda: _constant(8)) == 8


def test_where_nothing_can_be_written_memory_is_enough(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write_text("a file where the folder would have to be")
    assert _answer("a", lambda: _constant(7)) == 7
    assert _answer("a", lambda: _constant(8)) == 8
    assert cache.entries() == cache.Entries(folder, 0, 0)
    folder.unlink()
    folder.mkdir(mode=0o500)
    if not os.access(folder, os.W_OK):  # the administrator may write everywhere
        assert _answer("a", lambda: _constant(9)) == 9
        assert not list(folder.iterdir())


def test_without_a_home_memory_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ELMAN_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/paths/do/not/count")
    monkeypatch.setattr(cache, "_libraries", {})
    assert _answer("homeless", lambda: _constant(7)) == 7
    assert cache.entries() == cache.Entries(None, 0, 0)


def test_the_usual_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ELMAN_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.entries().folder == tmp_path / "elman" / "kernels"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.entries().folder == tmp_path / ".cache" / "elman" / "kernels"


def test_what_was_not_used_for_long_goes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        _answer(str(number), lambda: _constant(7))
    for age, path in enumerate(sorted(folder.iterdir())):
        os.utime(path, (1000 + age, 1000 + age))
    assert _answer("1") == 7  # used just now
    left = folder / ".x.kernel.tmp-1"
    left.touch()
    os.utime(left, (1000, 1000))
    size = cache.entries().bytes // 4
    monkeypatch.setattr(cache, "LIMIT", 3 * size)
    assert _answer("new", lambda: _constant(8)) == 8
    assert cache.entries().count == 2
    assert not left.exists()
    assert _answer("1") == 7
    assert _answer("new") == 8


def test_bad_code_is_an_error_and_leaves_nothing(folder: Path) -> None:
    for text in ("nonsense", "define i64 @answer() {\n  ret i32 1\n}"):
        with pytest.raises(RuntimeError):
            _answer("a", lambda text=text: text)
    with pytest.raises(RuntimeError):
        _answer("a", lambda: "declare void @no_such()\n" + _calling("void @no_such()"))
    assert not folder.exists()


def _calling(what: str) -> str:
    return f"define i64 @answer() {{\n  call {what}\n  ret i64 1\n}}"


def _four_at_once(key: str, meeting: threading.Barrier, failures: multiprocessing.Queue) -> None:
    cache._libraries.clear()
    meeting.wait(20)
    try:
        assert _answer(key, lambda: _constant(7)) == 7
    except BaseException as error:
        failures.put(repr(error))
        raise


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_processes_may_compile_the_same_at_once(folder: Path) -> None:
    context = multiprocessing.get_context("fork")
    meeting, failures = context.Barrier(4), context.Queue()
    arguments = ("a", meeting, failures)
    children = [context.Process(target=_four_at_once, args=arguments) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(30)
        child.kill()
    assert [child.exitcode for child in children] == [0] * 4
    assert failures.empty()
    assert _answer("a") == 7
    assert cache.entries().count == 1


def test_threads_compile_once(folder: Path) -> None:
    made: list[int] = []
    found: list[cache.Library] = []

    def make() -> str:
        made.append(1)
        return _constant(7)

    threads = [
        threading.Thread(target=lambda: found.append(cache.load("a", make, target.host())))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]
    assert len(found) == 4 and len(set(map(id, found))) == 1


def _wrapper(name: str, kind: str) -> str:
    inputs = 3 if name == "fma" else 2 if name in TWO else 1
    symbol = name + "f" * (kind == "float")
    types = ", ".join([kind] * inputs)
    values = ", ".join([f"{kind} %x"] * inputs)
    return (
        f"declare {kind} @{symbol}({types})\n"
        f"define {kind} @use_{symbol}({kind} %x) {{\n"
        f"  %y = call {kind} @{symbol}({values}) nobuiltin\n  ret {kind} %y\n}}\n"
    )


def test_the_mathematical_library_is_there(folder: Path) -> None:
    text = "".join(_wrapper(name, kind) for name in FLOATS for kind in ("float", "double"))
    library = cache.load("test.libm", lambda: text, target.host())
    for name in ("exp", "sin", "tanh", "log1p", "erf"):
        double = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)
        single = ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_float)
        wanted = getattr(math, name)(0.625)
        assert double(library.address(f"use_{name}"))(0.625) == pytest.approx(wanted, rel=1e-14)
        assert single(library.address(f"use_{name}f"))(0.625) == pytest.approx(wanted, rel=1e-6)


def test_memory_can_be_copied_and_set(folder: Path) -> None:
    text = """
    declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
    declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1)
    declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
    define void @use(ptr %a, ptr %b, ptr %c, i64 %n) {
      call void @llvm.memset.p0.i64(ptr %a, i8 3, i64 %n, i1 false)
      call void @llvm.memcpy.p0.p0.i64(ptr %b, ptr %a, i64 %n, i1 false)
      call void @llvm.memmove.p0.p0.i64(ptr %c, ptr %b, i64 %n, i1 false)
      ret void
    }"""
    library = cache.load("test.memory", lambda: text, target.host())
    rooms = [ctypes.create_string_buffer(1000) for _ in range(3)]
    kinds = [ctypes.c_void_p] * 3 + [ctypes.c_int64]
    ctypes.CFUNCTYPE(None, *kinds)(library.address("use"))(*map(ctypes.addressof, rooms), 999)
    assert rooms[2].raw == b"\3" * 999 + b"\0"


@pytest.mark.parametrize("host", [target.host(), target.restricted(128)])
def test_no_tables_for_exceptions(host: target.Target) -> None:
    """libgcc registers them under a lock; held at a fork, it stops the child's first new code."""
    calls = (
        "declare void @f()\ndefine internal void @g() noinline {\n  call void @f()\n  ret void\n}"
    )
    text = calls + "\ndefine void @h() {\n  call void @g()\n  call void @f()\n  ret void\n}"
    names, code = cache.build(text, host)
    assert names == ("h",)
    sections = llvmlite.binding.ObjectFileRef.from_data(code).sections()
    assert not [one.name() for one in sections if b"eh_frame" in (one.name() or b"")]
