"""Machine code on disk: what was compiled once is loaded in about a millisecond.

A file holds a header, the names of the functions and the object code. Its name is a hash of
everything that the code depends on. A file is used only if its header, its length and its hash are
right; anything else is compiled again and replaced. Where no folder can be written the code lives
in memory alone.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import os
import struct
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as _llvm

import elman
from elman.errors import ElmanError
from elman.files import replacing
from elman.kernels.cpu.target import Target

_binding: Any = _llvm

LIMIT = 500_000_000
"""Bytes that the folder may hold; above it, what was used least recently goes."""

_MAGIC = b"elmanobj"
_FORMAT = 1
# Magic, format, digest of the key, length of the names, length of the code, SHA-256 of both.
_HEADER = struct.Struct("<8sI32sQQ32s")
_SUFFIX = ".kernel"
_SPEED = 2
_STALE_SECONDS = 3600

_lock = threading.RLock()
_libraries: dict[tuple[str, Target], Library] = {}
_serial = itertools.count()

if hasattr(os, "register_at_fork"):
    # A child must not inherit a lock, or an LLVM, that another thread was in the middle of.
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
    )


@dataclass(frozen=True)
class Library:
    """Loaded machine code; its functions stay callable until the process ends."""

    names: tuple[str, ...]
    _tracker: Any

    def address(self, name: str) -> int:
        """Where the function `name` begins.

        Raises:
            KeyError: the code has no such function, or the function is private to it.
        """
        if name not in self.names:
            raise KeyError(f"no function {name!r}; there are: {', '.join(self.names)}")
        return self._tracker[name]


@dataclass(frozen=True)
class Entries:
    """What is on disk; `folder` is None where the user has no home."""

    folder: Path | None
    count: int
    bytes: int


def load(key: str, make: Callable[[], str], target: Target) -> Library:
    """The library of `key` for `target`: from this process, from disk, or compiled.

    Args:
        key: says everything that decides what `make` returns.
        make: gives LLVM's intermediate code as text; called only when nothing usable is kept.
        target: the processor that the code is for.

    Raises:
        RuntimeError: LLVM refuses the code, or a function that it calls does not exist.
    """
    known = _libraries.get((key, target))
    if known is not None:
        return known
    with _lock:
        known = _libraries.get((key, target))
        if known is None:
            known = _libraries[key, target] = _fetch(key, make, target)
    return known


def entries() -> Entries:
    """The folder of compiled kernels, how many there are and their size."""
    place = _folder()
    sizes = [size for _, size, _ in _listing(place)] if place else []
    return Entries(place, len(sizes), sum(sizes))


def _fetch(key: str, make: Callable[[], str], target: Target) -> Library:
    digest = _digest(key, target)
    place = _folder()
    path = place / (digest.hex() + _SUFFIX) if place else None
    kept = _read(path, digest) if path else None
    if kept is not None:
        with contextlib.suppress(RuntimeError):
            return _link(*kept, target)
    names, code = build(make(), target)
    library = _link(names, code, target)
    if path is not None:
        _write(path, digest, names, code)
    return library


def build(text: str, target: Target) -> tuple[tuple[str, ...], bytes]:
    """The names of the public functions in LLVM's `text`, and its object code for `target`.

    Raises:
        RuntimeError: LLVM refuses the code.
    """
    machine = target.machine()
    context = _binding.create_context()
    module = _binding.parse_assembly(text, context)
    module.triple = target.triple
    module.data_layout = str(machine.target_data)
    module.verify()
    # Nothing is thrown through this code. Tables for it would be registered with libgcc, under a
    # lock that a thread on its end may hold while another one forks: the child would wait for ever.
    for function in module.functions:
        if not function.is_declaration:
            function.add_function_attribute("nounwind")
    # The code has its vectors and its unrolling already; looking for more only costs time.
    tuning = _binding.create_pipeline_tuning_options(speed_level=_SPEED)
    tuning.loop_vectorization = False
    tuning.slp_vectorization = False
    tuning.loop_unrolling = False
    tuning.loop_interleaving = False
    passes = _binding.create_pass_builder(machine, tuning)
    passes.getModulePassManager().run(module, passes)
    public = tuple(
        sorted(
            function.name
            for function in module.functions
            if not function.is_declaration and function.linkage == _binding.Linkage.external
        )
    )
    return public, machine.emit_object(module)


@functools.cache
def _engine(target: Target) -> Any:
    if sys.platform == "linux":
        # The interpreter nearly always brings it; one that does not must not make expf unknown.
        with contextlib.suppress(RuntimeError):
            _binding.load_library_permanently("libm.so.6")
    modern = target.architecture in ("x86_64", "aarch64")
    engine = _binding.create_lljit_compiler(target.machine(), use_jit_link=modern)
    return _kept(engine)


def _link(names: tuple[str, ...], code: bytes, target: Target) -> Library:
    builder = _binding.JITLibraryBuilder().add_object_img(code).add_current_process()
    for name in names:
        builder.export_symbol(name)
    tracker = builder.link(_engine(target), f"elman-{next(_serial)}")
    return Library(names, _kept(tracker))


def _kept(reference: Any) -> Any:
    # LLVM must not free it: daemon threads may run the code while the interpreter ends.
    reference._owned = True
    return reference


def _sources() -> list[Path]:
    """The files that decide what code is made: the schedule's too, not only the writers'."""
    here = Path(__file__).parent
    folders = (here, here.parents[1] / "compiler")
    return [path for folder in folders for path in sorted(folder.glob("*.py"))]


@functools.cache
def _writers() -> str:
    """A digest of the code that plans and writes code: a change of it makes every entry stale."""
    digest = hashlib.sha256()
    for path in _sources():
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _digest(key: str, target: Target) -> bytes:
    llvm_version = ".".join(map(str, _binding.llvm_version_info))
    parts = (
        key,
        elman.__version__,
        _writers(),
        llvmlite.__version__,
        llvm_version,
        f"{_FORMAT} {_SPEED}",
        target.triple,
        target.name,
        target.features,
        str(target.bits),
    )
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        digest.update(struct.pack("<Q", len(encoded)) + encoded)
    return digest.digest()


def _folder() -> Path | None:
    named = os.environ.get("ELMAN_CACHE_DIR")
    if named:
        return Path(named).expanduser()
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    with contextlib.suppress(RuntimeError):  # there is no home
        base = base.expanduser()
    return base / "elman" / "kernels" if base.is_absolute() else None


def _read(path: Path, digest: bytes) -> tuple[tuple[str, ...], bytes] | None:
    """Names and code, or None if the file is missing, damaged, foreign or not to be trusted."""
    try:
        with path.open("rb") as file:
            if not _is_trusted(os.fstat(file.fileno())):
                return None
            content = file.read()
        with contextlib.suppress(OSError):  # the time of the last use, which pruning goes by
            os.utime(path)
    except OSError:
        return None
    if len(content) < _HEADER.size:
        return None
    magic, form, owner, named, coded, checksum = _HEADER.unpack_from(content)
    payload = content[_HEADER.size :]
    if (magic, form, owner, named + coded) != (_MAGIC, _FORMAT, digest, len(payload)):
        return None
    if hashlib.sha256(payload).digest() != checksum:
        return None
    return tuple(payload[:named].decode().split()), payload[named:]


def _is_trusted(facts: os.stat_result) -> bool:
    """Whether nobody but this user and the administrator can have written the file."""
    if not hasattr(os, "geteuid"):
        return True
    return facts.st_uid in (0, os.geteuid()) and not facts.st_mode & 0o022


def _write(path: Path, digest: bytes, names: tuple[str, ...], code: bytes) -> None:
    named = "\n".join(names).encode()
    payload = named + code
    checksum = hashlib.sha256(payload).digest()
    header = _HEADER.pack(_MAGIC, _FORMAT, digest, len(named), len(code), checksum)
    # No folder, no right to write, a full disk: the code is in memory, and that is enough.
    with contextlib.suppress(ElmanError):
        with replacing(path) as temporary:
            temporary.write_bytes(header + payload)
            temporary.chmod(0o644)
        _prune(path.parent)


def _prune(folder: Path) -> None:
    """Removes what was used least recently, and what a crash left half-written."""
    found = sorted(_listing(folder))
    total = sum(size for _, size, _ in found)
    if total > LIMIT:
        for _, size, path in found:
            if total <= LIMIT * 4 // 5:
                break
            with contextlib.suppress(OSError):
                path.unlink()
                total -= size
    oldest = time.time() - _STALE_SECONDS
    for path in folder.glob(f".*{_SUFFIX}.tmp-*"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < oldest:
                path.unlink()


def _listing(folder: Path) -> list[tuple[float, int, Path]]:
    """Time of the last use, size and path of every kept kernel."""
    found: list[tuple[float, int, Path]] = []
    with contextlib.suppress(OSError), os.scandir(folder) as scan:
        for entry in scan:
            if entry.name.endswith(_SUFFIX) and not entry.name.startswith("."):
                with contextlib.suppress(OSError):  # another process removed it
                    facts = entry.stat()
                    found.append((facts.st_mtime, facts.st_size, Path(entry.path)))
    return found
