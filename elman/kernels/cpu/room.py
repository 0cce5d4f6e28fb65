"""Memory that is used again: what a loop keeps for its adjoint, and the adjoint's own columns.

Fresh memory costs a page fault for every 4 kB, about as much as the arithmetic on it. Buffers of
a megabyte and more are therefore kept when nobody uses them any longer, and handed out again. Only
what never leaves the kernels may live here.
"""

from __future__ import annotations

import math
import os
import weakref

import torch
from torch import Tensor

_LEAST = 1 << 20
_ALIGN = 64
_ALONE = 2  # users of the memory of a tensor that nobody else has: it, and the storage's object


class Pool:
    """Buffers on loan.

    Args:
        limit: bytes that may lie idle; above it, what has lain longest goes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        # By id, oldest first. Other threads and the garbage collector come in between any two
        # operations, and a lock might be held in a process that forks.
        self._idle: dict[int, Tensor] = {}

    @property
    def idle(self) -> int:
        """Bytes that lie idle."""
        return sum(buffer.numel() for buffer in self._idle.copy().values())

    def take(self, *shape: int, dtype: torch.dtype) -> Tensor:
        """A tensor, not filled; its memory comes back when it and every view of it are gone.

        It comes back with this one tensor object, and is lent again when no other tensor has it.
        """
        size = math.prod(shape) * dtype.itemsize
        if size < _LEAST:
            return torch.empty(shape, dtype=dtype)
        buffer = self._found(size)
        if buffer is None:
            buffer = torch.empty(size + size // 8 + _ALIGN, dtype=torch.uint8)
        start = -buffer.data_ptr() % _ALIGN
        tensor = buffer[start : start + size].view(dtype).view(shape)
        weakref.finalize(tensor, self._back, buffer).atexit = False
        return tensor

    def _found(self, size: int) -> Tensor | None:
        """The smallest idle buffer that is large enough, and not twice as large."""
        idle = self._idle.copy().values()
        fitting = [b for b in idle if size + _ALIGN <= b.numel() <= 2 * size + _ALIGN]
        for buffer in sorted(fitting, key=Tensor.numel):
            if not _is_seen(buffer) and self._idle.pop(id(buffer), None) is not None:
                return buffer
        return None

    def _back(self, buffer: Tensor) -> None:
        self._idle[id(buffer)] = buffer
        for place in self._idle.copy():
            if self.idle <= self.limit:
                break
            self._idle.pop(place, None)


def _is_seen(buffer: Tensor) -> bool:
    """Whether another tensor has the memory too, such as a copy that a hook of autograd made."""
    storage = buffer.untyped_storage()
    return torch._C._storage_Use_Count(storage._cdata) > _ALONE


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 4 << 30


POOL = Pool(_memory() // 8)
