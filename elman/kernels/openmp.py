"""The OpenMP runtime on which torch's operators run: its functions, and its team at a fork.

A fork copies the thread that forks and no other, but the copy of the runtime still counts on its
workers and waits for them for ever; torch's own operators hang then, its LSTM among them. So the
team is dissolved before a fork, which OpenMP 5 allows at any time, and both sides start a new one
when they need it. Every kernel wants that, so the whole room does it from its import on.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import multiprocessing
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

__all__ = ["dissolve", "runtime", "state", "survive_forks"]

_PARALLEL = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")
_PAUSE = "omp_pause_resource_all"
_PAUSE_SOFTLY = 1


class State:
    """What this process may do with the runtime's team."""

    def __init__(self) -> None:
        # A child that was forked before this module was imported may hold the remains of a team
        # that torch had in its parent.
        here = multiprocessing.current_process()
        self.shares_runtime = type(here).__name__ != "ForkProcess"
        self.used = False  # kernels have run on the team
        self.lost = False  # the team was in use and stayed behind in the parent
        self._dissolved = True

    def before_fork(self) -> None:
        """Ends the team's threads; the next parallel region of either side starts new ones."""
        pause = dissolve() if self.shares_runtime else None
        self._dissolved = pause is not None and pause(_PAUSE_SOFTLY) == 0

    def after_fork_in_child(self) -> None:
        """Notes what is left of the parent's team."""
        if self.shares_runtime and not self._dissolved:
            self.shares_runtime = False
            self.lost = self.used


@functools.cache
def runtime() -> Any:
    """Addresses of the functions in `_PARALLEL` that torch itself runs on, or None."""
    if sys.platform != "linux" or not torch.backends.openmp.is_available():
        return None
    for handle in _handles():
        with contextlib.suppress(AttributeError):
            found = [ctypes.cast(getattr(handle, name), ctypes.c_void_p) for name in _PARALLEL]
            return (ctypes.c_void_p * len(found))(*(entry.value for entry in found))
    return None


@functools.cache
def dissolve() -> Callable[[int], int] | None:
    """The runtime's function that ends the threads of the caller's team, or None."""
    if runtime() is None:
        return None
    for handle in _handles():
        with contextlib.suppress(AttributeError):
            return getattr(handle, _PAUSE)
    return None


def _handles() -> list[ctypes.CDLL]:
    """The scopes in which the loader looks for the symbols of torch's library, in its order."""
    handles = [ctypes.CDLL(None)]
    with contextlib.suppress(OSError, StopIteration):
        mapped = Path("/proc/self/maps").read_text(errors="replace").splitlines()
        path = next(line.split(maxsplit=5)[5] for line in mapped if "libtorch_cpu" in line)
        handles.append(ctypes.CDLL(path))
    return handles


def survive_forks() -> None:
    """From now on a forked child may run torch's operators; call it once."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=state.before_fork, after_in_child=state.after_fork_in_child)


state = State()
